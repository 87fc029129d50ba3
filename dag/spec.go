package dag

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// Spec is a graph as its configuration describes it, checked against a
// Vocabulary. What each node does is for whoever owns the vocabulary to say.
//
//	nodes:
//	  transcript: {model: earshot-en}
//	  topics:
//	    needs: [transcript, text]
//	    model: earshot-topics
//	    parameters: {at_most: 3}
//	  ads: {enabled: false}
type Spec struct {
	Nodes []NodeSpec // each after those it needs
}

// NodeSpec is one node of a Spec.
type NodeSpec struct {
	Name       string
	Needs      []string // nodes and inputs, in the order of the vocabulary
	Model      string
	Parameters any // what the vocabulary's Parameters gave, filled in; nil if it has none
	Enabled    bool
}

// Vocabulary is what a Spec may name.
type Vocabulary struct {
	Nodes  map[string]Word
	Inputs []string            // of the graph
	Models map[string][]string // the catalog's models by task
}

// Word is what can be said of one node.
type Word struct {
	Requires   []string   // what the node must need
	Accepts    []string   // what it may need besides
	Task       string     // of its model; "": it has none
	Modelless  bool       // it may be without a model, and is then a gap
	Parameters func() any // gives a pointer to a struct of defaults with yaml tags; nil: it has none
}

// SpecError is one fault of a configuration.
type SpecError struct {
	Path    string // graph.nodes.topics.model
	Line    int
	Message string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("config: %s: %s [line %d]", e.Path, e.Message, e.Line)
}

// ParseSpec reads a document that is a graph. Its error joins a *SpecError for
// every fault, or is that of the YAML parser.
func ParseSpec(doc []byte, v Vocabulary) (*Spec, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(doc, &node); err != nil {
		return nil, fmt.Errorf("config: graph: %w", err)
	}
	if len(node.Content) == 0 {
		return nil, &SpecError{Path: "graph", Line: 1, Message: "is empty; it must have nodes"}
	}
	return DecodeSpec(node.Content[0], v)
}

// DecodeSpec reads a graph that is part of a larger document.
func DecodeSpec(node *yaml.Node, v Vocabulary) (*Spec, error) {
	d := &specDecoder{vocabulary: v, lines: map[string]int{}}
	for _, f := range d.fields("field", "graph", node, "nodes") {
		for _, n := range d.fields("node", f.path, f.value, sortedKeys(v.Nodes)...) {
			d.lines[n.name] = n.line
			d.nodes = append(d.nodes, d.node(n, v.Nodes[n.name]))
		}
	}
	if len(d.faults) == 0 && len(d.nodes) == 0 {
		d.fault("graph.nodes", node.Line, "has no node (%s)", has(sortedKeys(v.Nodes)))
	}
	d.connect()
	if err := d.faults.err(); err != nil {
		return nil, err
	}
	return &Spec{Nodes: d.nodes}, nil
}

type specDecoder struct {
	vocabulary Vocabulary
	nodes      []NodeSpec
	lines      map[string]int // of each node
	faults     faults
}

func (d *specDecoder) fault(path string, line int, format string, args ...any) {
	d.faults = append(d.faults, &SpecError{Path: path, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (d *specDecoder) node(at field, word Word) NodeSpec {
	n := NodeSpec{Name: at.name, Enabled: true}
	if word.Parameters != nil {
		n.Parameters = word.Parameters()
	}
	faultless := len(d.faults)
	modelled := false
	for _, f := range d.fields("field", at.path, at.value, "enabled", "model", "needs", "parameters") {
		switch f.name {
		case "enabled":
			d.value(f, &n.Enabled)
		case "model":
			modelled = d.value(f, &n.Model) && n.Model != ""
			if modelled {
				d.checkModel(f, n.Model, word)
			}
		case "needs":
			n.Needs = d.needs(f, n.Name, word)
		case "parameters":
			if n.Parameters == nil {
				d.fault(f.path, f.line, "node %q takes no parameters", n.Name)
				continue
			}
			d.fill(f, n.Parameters)
		}
	}
	if word.Task != "" && !word.Modelless && !modelled && n.Enabled && len(d.faults) == faultless {
		d.fault(at.path+".model", at.line, "is missing: node %q runs a model (%s)", n.Name, has(d.vocabulary.Models[word.Task]))
	}
	return n
}

func (d *specDecoder) checkModel(f field, model string, word Word) {
	switch models := d.vocabulary.Models[word.Task]; {
	case word.Task == "":
		d.fault(f.path, f.line, "this node runs no model")
	case !slices.Contains(models, model):
		d.fault(f.path, f.line, "no model %q in the catalog (%s)", model, has(models))
	}
}

// needs reads the needs that a node names, in the vocabulary's order.
func (d *specDecoder) needs(f field, node string, word Word) []string {
	var named []string
	if !d.value(f, &named) {
		return nil
	}
	known := slices.Concat(word.Requires, word.Accepts)
	for i, need := range named {
		path := fmt.Sprintf("%s[%d]", f.path, i)
		switch {
		case !slices.Contains(known, need):
			d.fault(path, f.line, "node %q cannot use %q (%s)", node, need, has(known))
		case slices.Contains(named[:i], need):
			d.fault(path, f.line, "%q is named twice", need)
		}
	}
	for _, need := range word.Requires {
		if !slices.Contains(named, need) {
			d.fault(f.path, f.line, "node %q cannot do without %q", node, need)
		}
	}
	return slices.DeleteFunc(known, func(need string) bool { return !slices.Contains(named, need) })
}

// connect checks that what nodes need is there, gives those that name no needs
// all that they can use, and puts every node after its needs.
func (d *specDecoder) connect() {
	present := func(name string) bool {
		return slices.Contains(d.vocabulary.Inputs, name) || d.lines[name] != 0
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		word, path, line := d.vocabulary.Nodes[n.Name], "graph.nodes."+n.Name+".needs", d.lines[n.Name]
		if n.Needs == nil {
			n.Needs = slices.Clone(word.Requires)
			n.Needs = append(n.Needs, slices.DeleteFunc(slices.Clone(word.Accepts), func(need string) bool { return !present(need) })...)
		}
		for _, need := range n.Needs {
			if !present(need) {
				d.fault(path, line, "node %q needs %q, which the graph does not have (%s)", n.Name, need, has(sortedKeys(d.lines), d.vocabulary.Inputs))
			}
		}
	}
	order, cycle := sortByNeeds(d.nodes, func(n NodeSpec) (string, []string) { return n.Name, n.Needs })
	if cycle != nil {
		d.fault("graph.nodes."+cycle[0]+".needs", d.lines[cycle[0]], "nodes need each other in a circle: %s", joinArrows(cycle))
		return
	}
	d.nodes = order
}
