// Package latency says what a listener waited for: the critical path of one
// run, and percentiles over many, of the preview latency and of every node's
// waiting and running.
package latency

import (
	"cmp"
	"maps"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Step is one node on a critical path.
type Step struct {
	Node   string          `json:"node"`
	Start  episode.Seconds `json:"start"`  // since the run began
	Finish episode.Seconds `json:"finish"` // since the run began
	Added  episode.Seconds `json:"added"`  // by how much it moved the finish of the step before it
}

// CriticalPath is the chain of nodes that decided when target finished:
// target itself, before it the one of its needs that finished last, and so on.
// A node may start before what it needs has finished (it reads audio while that
// is being decoded); then, too, it could not finish before. needs gives each
// node's direct needs; nodes that did not run at all are passed over, in favour
// of what they need. The steps' Added sum to the target's finish. Nil when the
// target has no part in the run.
func CriticalPath(nodes map[string]episode.NodeRun, needs map[string][]string, target string) []Step {
	if !took(nodes, target) {
		return nil
	}
	var (
		chain   []string
		visited = map[string]bool{}
	)
	for node := target; node != ""; node = last(nodes, needs, node, visited) {
		visited[node] = true
		chain = append(chain, node)
	}
	slices.Reverse(chain)
	steps := make([]Step, len(chain))
	var before episode.Seconds
	for i, node := range chain {
		run := nodes[node]
		finish := run.Started + run.Ran
		steps[i] = Step{Node: node, Start: run.Started, Finish: finish, Added: finish - before}
		before = finish
	}
	return steps
}

// took reports whether the node took time in the run.
func took(nodes map[string]episode.NodeRun, node string) bool {
	run, ok := nodes[node]
	return ok && run.Status != "skipped"
}

// last is the need of node that finished last, by name among equals; needs
// that took no time stand for their own needs, and a need that finished after
// the node was not waited for. Empty: there is none.
func last(nodes map[string]episode.NodeRun, needs map[string][]string, node string, visited map[string]bool) string {
	var (
		best   string
		finish episode.Seconds
		end    = nodes[node].Started + nodes[node].Ran
		seen   = map[string]bool{node: true}
		search func(node string)
	)
	search = func(node string) {
		for _, need := range needs[node] {
			if seen[need] || visited[need] {
				continue
			}
			seen[need] = true
			if !took(nodes, need) {
				search(need)
				continue
			}
			f := nodes[need].Started + nodes[need].Ran
			if f > end {
				continue
			}
			if best == "" || f > finish || f == finish && need < best {
				best, finish = need, f
			}
		}
	}
	search(node)
	return best
}

// Names are the steps' nodes, as a record states its critical path.
func Names(steps []Step) []string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Node
	}
	return names
}

// sorted are a map's keys in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
