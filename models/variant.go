package models

import (
	"fmt"
	"slices"
	"strings"
)

// precisions are those that a model's arithmetic, or the most of it, may be in.
var precisions = []string{"fp32", "fp16", "int8"}

// Precisions are those that there are of the model: its own first.
func (m *Model) Precisions() []string {
	own := m.own()
	return append([]string{own.Manifest.Precision}, sorted(own.Manifest.Variants)...)
}

// In is the model in one of its Precisions. A variant's manifest has the
// variant's precision, sessions and batch, its Ref names the variant, and its
// SHA256 is not the model's.
func (m *Model) In(precision string) (*Model, error) {
	own := m.own()
	if precision == own.Manifest.Precision {
		return own, nil
	}
	v, ok := own.Manifest.Variants[precision]
	if !ok {
		return nil, fmt.Errorf("models: %s: %w in precision %q (has %s)", own.Manifest.Ref(), ErrNoModel, precision, strings.Join(own.Precisions(), ", "))
	}
	pinned := *own
	pinned.unpinned = own
	pinned.SHA256 = hash([]byte(own.SHA256 + ":" + precision))
	f := &pinned.Manifest
	f.pinned, f.Precision, f.Sessions = true, precision, v.Sessions
	if v.Batch != nil {
		f.Batch = *v.Batch
	}
	return &pinned, nil
}

// All is the model in each of its Precisions.
func (m *Model) All() []*Model {
	var all []*Model
	for _, p := range m.Precisions() {
		v, err := m.In(p)
		if err != nil {
			panic(err) // it is one of those that there are
		}
		all = append(all, v)
	}
	return all
}

// own is the model in its own precision.
func (m *Model) own() *Model {
	if m.unpinned != nil {
		return m.unpinned
	}
	return m
}

// graphPlace is where a manifest names a graph.
type graphPlace struct {
	file    string
	variant string // "": the manifest's own sessions
	index   int    // in the sessions
}

// path is that of a field about the graph's ports.
func (p graphPlace) path(field string) string {
	if p.variant == "" {
		return field
	}
	return fmt.Sprintf("variants.%s.sessions[%d]: %s", p.variant, p.index, field)
}

func (f *Manifest) graphs() []graphPlace {
	var places []graphPlace
	add := func(variant string, sessions []string) {
		for i, file := range sessions {
			places = append(places, graphPlace{file, variant, i})
		}
	}
	add("", f.Sessions)
	for _, p := range sorted(f.Variants) {
		add(p, f.Variants[p].Sessions)
	}
	return places
}

func (m *mistakes) checkVariants(f *Manifest) {
	for _, p := range sorted(f.Variants) {
		v, at := f.Variants[p], "variants."+p
		switch {
		case !slices.Contains(precisions, p):
			m.add(at, "want %s as the precision of a variant", anyOf(precisions))
		case p == f.Precision:
			m.add(at, "is the manifest's own precision: a variant has another")
		}
		if len(v.Sessions) != len(f.Sessions) {
			m.add(at+".sessions", "want one for each of the manifest's %d, got %d", len(f.Sessions), len(v.Sessions))
		} else if len(v.Sessions) > 0 && slices.Equal(v.Sessions, f.Sessions) {
			m.add(at+".sessions", "are the manifest's own: a variant has other graphs")
		}
		for i, name := range v.Sessions {
			if _, ok := f.Files[name]; !ok {
				m.add(fmt.Sprintf("%s.sessions[%d]", at, i), "%q is not in files", name)
			}
		}
		if v.Batch != nil {
			m.checkBatch(at+".batch", *v.Batch)
		}
	}
}

// checkSamePorts compares a variant's graph with the graph in whose place it
// stands, where the manifest does not say its ports.
func (m *mistakes) checkSamePorts(p graphPlace, what string, own, graph []Port) {
	for _, a := range own {
		i := slices.IndexFunc(graph, func(b Port) bool { return b.Name == a.Name })
		switch {
		case i < 0:
			m.add(p.path("the graph"), "has no %s %q, which the graph of the manifest's sessions[%d] has", what, a.Name, p.index)
		case graph[i].Type != a.Type:
			m.add(p.path("the graph"), "has %s %q of type %s, and that of the manifest's sessions[%d] is %s", what, a.Name, graph[i].Type, p.index, a.Type)
		case graph[i].Shape != nil && a.Shape != nil && len(graph[i].Shape) != len(a.Shape):
			m.add(p.path("the graph"), "has %s %q of shape [%s], and that of the manifest's sessions[%d] is [%s]", what, a.Name, strings.Join(graph[i].Shape, ", "), p.index, strings.Join(a.Shape, ", "))
		}
	}
	for _, b := range graph {
		if !slices.ContainsFunc(own, func(a Port) bool { return a.Name == b.Name }) {
			m.add(p.path("the graph"), "has %s %q, which the graph of the manifest's sessions[%d] has not", what, b.Name, p.index)
		}
	}
}
