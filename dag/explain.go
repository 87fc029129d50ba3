package dag

import (
	"fmt"
	"strings"
)

// reason says why a node runs, in words for people.
func (r *run) reason(i int, wants []want) string {
	n, f := &r.graph.nodes[i], &r.facts[i]
	switch {
	case n.Effect:
		return "an effect runs every time"
	case r.forced[i]:
		return "forced"
	case f.lookup == answered && f.hash == "":
		return r.changed(i)
	case f.check == answered && !f.there:
		return "its bytes are gone from the store"
	}
	var readers []string
	for j := range r.graph.nodes {
		for _, need := range r.graph.nodes[j].Needs {
			if need.Live && need.Name == n.Name && (r.mustRun(j, wants[j]) || wants[j] != 0 && r.facts[j].key == "") {
				readers = append(readers, r.graph.nodes[j].Name)
			}
		}
	}
	return "needed live by " + strings.Join(readers, ", ")
}

// changed says what differs from the last run in what makes a node's key.
func (r *run) changed(i int) string {
	n, f := &r.graph.nodes[i], &r.facts[i]
	last, known := r.page.Known[n.Name]
	switch {
	case !known:
		return "not made before"
	case last.Version != n.Version:
		return fmt.Sprintf("version changed: %s → %s", last.Version, n.Version)
	}
	var differ []string
	for _, need := range n.Needs {
		was, had := last.Needs[need.Name]
		switch {
		case !had:
			differ = append(differ, "need "+need.Name+" is new")
		case was != f.needs[need.Name]:
			differ = append(differ, "input "+need.Name+" changed")
		}
	}
	for _, name := range sortedKeys(last.Needs) {
		if _, still := f.needs[name]; !still {
			differ = append(differ, "need "+name+" is gone")
		}
	}
	switch {
	case len(differ) > 0:
		return strings.Join(differ, ", ")
	case last.Status == Gapped:
		return "was a gap: " + last.Reason
	}
	return "nothing is stored under its key any more"
}

// report gives what is known when the run has ended.
func (r *run) report() Report {
	rep := Report{
		Subject: r.req.Subject,
		Ping:    r.req.Ping,
		Started: r.started,
		Took:    r.now().Sub(r.started),
	}
	certain, possible := r.wants(false), r.wants(true)
	for i, n := range r.graph.nodes {
		f := &r.facts[i]
		d := f.decision
		d.Node, d.Version, d.Key, d.Needs, d.Hash = n.Name, n.Version, f.key, f.needs, f.hash
		switch {
		case d.Status == Failed:
		case f.gap != "":
			d.Status, d.Reason = Gapped, f.gap
		case f.ran:
			d.Status = Ran
		case r.req.Ping && r.mustRun(i, certain[i]):
			d.Status, d.Reason = WouldRun, r.reason(i, certain)
		case r.req.Ping && certain[i] != 0 && f.key == "" && (n.Effect || r.forced[i]):
			d.Status, d.Reason = WouldRun, r.reason(i, certain)
		case r.req.Ping && possible[i] != 0 && (f.key == "" || r.mustRun(i, possible[i])):
			d.Status, d.Reason = MayRun, r.pending(i)
		case f.hash != "":
			d.Status, d.Reason = Reused, "artifact present"
		default:
			d.Status, d.Reason = Skipped, r.idle(i, certain[i])
		}
		rep.Decisions = append(rep.Decisions, d)
	}
	return rep
}

// pending says, to a ping, what decides whether a node runs.
func (r *run) pending(i int) string {
	var on []string
	for _, need := range r.graph.nodes[i].Needs {
		if m, isNode := r.graph.index[need.Name]; isNode {
			if f := &r.facts[m]; f.gap == "" && (f.hash == "" && !need.Live || f.key == "") {
				on = append(on, need.Name)
			}
		}
	}
	if len(on) > 0 {
		return "depends on what comes of " + strings.Join(on, ", ")
	}
	return "if a node that needs it runs"
}

// idle says why a node was left alone.
func (r *run) idle(i int, w want) string {
	switch {
	case r.failure != nil && w != 0:
		return "the run ended before it: " + r.failure.Node + " failed"
	case r.req.Targets != nil && w == 0:
		return "not needed by the targets " + strings.Join(r.req.Targets, ", ")
	case w == wantKey || w == 0:
		return "nothing that ran needs it"
	}
	return "the run ended before it"
}
