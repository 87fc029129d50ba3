// Package dag is a build system for one episode at a time, though it knows
// nothing of episodes: a Graph of named nodes, each a function of the nodes it
// needs. What a node makes is kept under a key, the hash of everything that
// decides it: the node's version and the content of what it needs. An Engine
// runs what a request asks for and finds stored nothing under its key, side by
// side, and says of every node what became of it and why. So a retry, a run
// that was killed, a changed model and a partial request are all one thing: a
// run that finds some of its work done.
//
// Nothing runs for its own sake. Demand flows from the targets up: a node runs
// when its result is wanted and not stored, or when a node that must run wants
// from it what the store cannot give, a value that lives only while it runs
// (Need.Live) or bytes that are gone. That is how a changed topic model does
// not decode audio again.
package dag

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Graph is a checked set of nodes and the names of the inputs that every run
// gives. It is immutable and may serve any number of runs at once.
type Graph struct {
	nodes  []Node // needs before those who need them
	index  map[string]int
	inputs []string

	neededLive []bool // by index in nodes
}

// Node is one step of a graph.
type Node struct {
	Name string

	// Needs are what the node takes, in the order in which they enter its key.
	Needs []Need

	// Version says all that decides the node's result besides its needs: the
	// version of its code, of its model, its parameters, its engine's build,
	// the class of device.
	Version string

	// Effect marks a node that changes the world outside the store: it runs
	// whenever it is wanted, is never reused, and must be idempotent.
	Effect bool

	// OnDemand marks a node that is wanted only by the nodes that need it: it
	// is not a target unless a request names it.
	OnDemand bool

	// Off, when not empty, is why the node is left out: it is a gap with this
	// reason and never runs.
	Off string

	Func Func
}

// Func does a node's work and gives what it made, nil for nothing. The engine
// stores all that the reader gives and closes it if it is an io.Closer. A Func
// must return soon after its context ends, and leave no goroutine behind. Its
// error may be Retry, Reject, Gap or LastingGap; any other is a Retry.
type Func func(ctx context.Context, t *Task) (io.Reader, error)

// Need names what a node takes: another node, or an input of the graph.
type Need struct {
	Name string

	// Live asks for the value that the node publishes while it runs, not for
	// its artifact. The needed node's key stands for it in the key of the
	// needing one, so it must follow from that key; and the needed node runs
	// only if the needing one must. The needing node starts once the value is
	// published, and its result is kept only if the publisher ends well.
	Live bool

	// Optional lets the node run when the need is a gap. Without it a gap
	// among its needs makes the node a gap too.
	Optional bool
}

// On is a need for each name: artifacts or inputs, all required.
func On(names ...string) []Need {
	needs := make([]Need, len(names))
	for i, name := range names {
		needs[i].Name = name
	}
	return needs
}

// New checks that names are unique, that needs exist and that there is no
// cycle. It gives the faults it finds joined in one error.
func New(inputs []string, nodes ...Node) (*Graph, error) {
	g := &Graph{index: map[string]int{}, inputs: slices.Clone(inputs)}
	var faults faults
	byName := map[string]*Node{}
	for i := range nodes {
		n := &nodes[i]
		switch {
		case n.Name == "":
			faults.add("graph: node %d has no name", i)
		case byName[n.Name] != nil:
			faults.add("graph: two nodes are named %q", n.Name)
		case slices.Contains(inputs, n.Name):
			faults.add("graph: node %q has the name of an input", n.Name)
		case n.Func == nil && n.Off == "":
			faults.add("graph: node %q has no function", n.Name)
		}
		byName[n.Name] = n
	}
	for i := range nodes {
		n := &nodes[i]
		seen := map[string]bool{}
		for _, need := range n.Needs {
			isInput := slices.Contains(inputs, need.Name)
			switch {
			case byName[need.Name] == nil && !isInput:
				faults.add("graph: node %q needs %q, which is neither a node nor an input (%s)",
					n.Name, need.Name, has(sortedKeys(byName), inputs))
			case seen[need.Name]:
				faults.add("graph: node %q needs %q twice", n.Name, need.Name)
			case need.Live && isInput:
				faults.add("graph: node %q needs input %q live: only nodes publish values", n.Name, need.Name)
			case need.Live && need.Optional:
				// The key of a live need is known before it is known whether
				// it will be a gap, so a key could not tell the two apart.
				faults.add("graph: node %q needs %q live and optional: a live need is always required", n.Name, need.Name)
			}
			seen[need.Name] = true
		}
	}
	if err := faults.err(); err != nil {
		return nil, err
	}
	order, cycle := sortByNeeds(nodes, func(n Node) (string, []string) {
		return n.Name, needNames(n.Needs)
	})
	if cycle != nil {
		return nil, fmt.Errorf("graph: nodes need each other in a circle: %s", joinArrows(cycle))
	}
	for i, n := range order {
		g.index[n.Name] = i
	}
	g.nodes = order
	g.neededLive = make([]bool, len(order))
	for _, n := range order {
		for _, need := range n.Needs {
			if need.Live {
				g.neededLive[g.index[need.Name]] = true
			}
		}
	}
	return g, nil
}

// Nodes gives the nodes, each after all that it needs.
func (g *Graph) Nodes() []Node { return slices.Clone(g.nodes) }

// Inputs gives the names of the inputs that a run must be given.
func (g *Graph) Inputs() []string { return slices.Clone(g.inputs) }

func needNames(needs []Need) []string {
	names := make([]string, len(needs))
	for i, n := range needs {
		names[i] = n.Name
	}
	return names
}

// sortByNeeds orders items so that each follows what it needs, and keeps the
// given order otherwise. Where that cannot be done it gives one circle of
// names instead, its first name repeated at the end. Needs that are not among
// the items are passed over.
func sortByNeeds[T any](items []T, describe func(T) (name string, needs []string)) (order []T, cycle []string) {
	const visiting, done = 1, 2
	byName := map[string]T{}
	for _, item := range items {
		name, _ := describe(item)
		byName[name] = item
	}
	mark := map[string]int{}
	var path []string
	var visit func(T) bool
	visit = func(item T) bool {
		name, needs := describe(item)
		if mark[name] == done {
			return true
		}
		path = append(path, name)
		if mark[name] == visiting {
			cycle = slices.Clone(path[slices.Index(path, name):])
			return false
		}
		mark[name] = visiting
		for _, need := range needs {
			if m, ok := byName[need]; ok && !visit(m) {
				return false
			}
		}
		mark[name] = done
		path = path[:len(path)-1]
		order = append(order, item)
		return true
	}
	for _, item := range items {
		if !visit(item) {
			return nil, cycle
		}
	}
	return order, nil
}
