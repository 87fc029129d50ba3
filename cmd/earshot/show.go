package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// shownModel is models show's JSON.
type shownModel struct {
	listedModel
	Files    []shownFile   `json:"files"`
	Sessions []string      `json:"sessions"`
	Inputs   []models.Port `json:"inputs"` // of the first session
	Outputs  []models.Port `json:"outputs"`
	Labels   []string      `json:"labels,omitempty"`
	Nodes    []string      `json:"nodes"` // that run it, in the graph in force
	Card     []string      `json:"card,omitempty"`
	manifest models.Manifest
}

type shownFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// cardLines is how much of a model's card show gives.
const cardLines = 12

func (a *app) describe(m *models.Model) (*shownModel, error) {
	f := m.Manifest
	s := &shownModel{
		listedModel: listed(m),
		Sessions:    f.Sessions, Inputs: f.Inputs, Outputs: f.Outputs, Nodes: []string{}, manifest: f,
	}
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		info, err := fs.Stat(m.Files, name)
		if err != nil {
			return nil, err
		}
		s.Files = append(s.Files, shownFile{name, info.Size(), f.Files[name]})
	}
	for _, l := range f.Labels {
		s.Labels = append(s.Labels, l.Name)
	}
	if card, err := fs.ReadFile(m.Files, "README.md"); err == nil { // a card is not mandatory
		lines := bufio.NewScanner(strings.NewReader(string(card)))
		for lines.Scan() && len(s.Card) < cardLines {
			s.Card = append(s.Card, lines.Text())
		}
	}
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	catalog, err := cfg.catalog()
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	spec, err := cfg.spec(catalog)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		if used, err := catalog.Get(n.Model); err == nil && used.SHA256 == m.SHA256 {
			s.Nodes = append(s.Nodes, n.Name)
		}
	}
	return s, nil
}

func (s *shownModel) print(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-11s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("model", "%s (sha256 %.12s)", s.Model, s.SHA256)
	line("task", "%s, family %s", s.Task, s.Family)
	line("precision", "%s", s.precisions())
	line("licence", "%s", s.Licence)
	line("languages", "%s", cmp.Or(few(s.Languages, 30), "–"))
	line("nodes", "%s", cmp.Or(strings.Join(s.Nodes, ", "), "none in the graph in force"))
	for i, f := range s.Files {
		line(first(i, "files"), "%s, %d bytes, sha256 %s", f.Name, f.Bytes, f.SHA256)
	}
	line("sessions", "%s", strings.Join(s.Sessions, ", "))
	for i, p := range s.Inputs {
		line(first(i, "inputs"), "%s %s[%s]", p.Name, p.Type, strings.Join(p.Shape, ", "))
	}
	for i, p := range s.Outputs {
		line(first(i, "outputs"), "%s %s[%s]", p.Name, p.Type, strings.Join(p.Shape, ", "))
	}
	if f := s.manifest.Frontend; f != nil {
		line("front end", "%s, %d mel channels", f.Kind, f.Mels)
	}
	line("batch", "%s items", s.batch())
	if len(s.Labels) > 0 {
		line("labels", "%d: %s", len(s.Labels), strings.Join(s.Labels[:min(len(s.Labels), 20)], ", "))
	}
	if len(s.Card) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(s.Card, "\n"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// precisions are that of the model, and by which references the others are had.
func (s *shownModel) precisions() string {
	bare, _, _ := strings.Cut(s.Model, ":")
	var others []string
	for _, p := range s.Precisions {
		if p != s.Precision {
			others = append(others, fmt.Sprintf("%s:%s", bare, p))
		}
	}
	if len(others) == 0 {
		return s.Precision
	}
	return fmt.Sprintf("%s (also %s)", s.Precision, strings.Join(others, ", "))
}

func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}
