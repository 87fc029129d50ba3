// Package latency says what a listener waited for: percentiles over many runs
// of the preview latency and of every node's waiting and running.
package latency

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Collector gathers runs. The zero value is ready; its methods may be called
// from many goroutines. It keeps the times of every run it was given.
type Collector struct {
	mu        sync.Mutex
	episodes  int
	firstSeen []episode.Seconds
	received  []episode.Seconds
	nodes     map[string]*samples
	paths     map[string]int
}

type samples struct {
	ran, waited []episode.Seconds
	statuses    map[string]int
}

// Add takes a run's times. Runs that made no preview count for their nodes only.
func (c *Collector) Add(run *episode.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil {
		c.nodes, c.paths = map[string]*samples{}, map[string]int{}
	}
	c.episodes++
	if l := run.Latency; l.FirstSeenToPreview > 0 {
		c.firstSeen = append(c.firstSeen, l.FirstSeenToPreview)
		c.received = append(c.received, l.ReceivedToPreview)
	}
	if path := run.Latency.CriticalPath; len(path) > 0 {
		c.paths[strings.Join(path, " > ")]++
	}
	for name, node := range run.Nodes {
		s := c.nodes[name]
		if s == nil {
			s = &samples{statuses: map[string]int{}}
			c.nodes[name] = s
		}
		s.statuses[node.Status]++
		if node.Status == "ran" {
			s.ran = append(s.ran, node.Ran)
			s.waited = append(s.waited, node.Waited)
		}
	}
}

// Distribution sums up times: percentiles are by nearest rank, so each is a
// time that was measured.
type Distribution struct {
	Count int             `json:"count"`
	P50   episode.Seconds `json:"p50"`
	P90   episode.Seconds `json:"p90"`
	P99   episode.Seconds `json:"p99"`
	Max   episode.Seconds `json:"max"`
}

func distribution(times []episode.Seconds) Distribution {
	if len(times) == 0 {
		return Distribution{}
	}
	ordered := slices.Sorted(slices.Values(times))
	rank := func(p float64) episode.Seconds {
		return ordered[max(1, int(math.Ceil(p*float64(len(ordered)))))-1]
	}
	return Distribution{Count: len(ordered), P50: rank(0.50), P90: rank(0.90), P99: rank(0.99), Max: ordered[len(ordered)-1]}
}

// Report is what many runs' times come to.
type Report struct {
	Episodes           int          `json:"episodes"`
	FirstSeenToPreview Distribution `json:"first_seen_to_preview"` // what a listener waits
	ReceivedToPreview  Distribution `json:"received_to_preview"`   // without the wait in the queue
	Nodes              []Node       `json:"nodes"`                 // longest first, by the median of running
	CriticalPaths      []Path       `json:"critical_paths"`        // most frequent first
}

// Node is one node's share in the runs. Times are of the runs in which it ran.
type Node struct {
	Name     string         `json:"name"`
	Statuses map[string]int `json:"statuses"`
	Ran      Distribution   `json:"ran"`
	Waited   Distribution   `json:"waited"`
}

// Path is a critical path and how many runs had it.
type Path struct {
	Nodes []string `json:"nodes"`
	Count int      `json:"count"`
}

// Report sums up what was added so far.
func (c *Collector) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{
		Episodes:           c.episodes,
		FirstSeenToPreview: distribution(c.firstSeen),
		ReceivedToPreview:  distribution(c.received),
		Nodes:              []Node{},
		CriticalPaths:      []Path{},
	}
	for _, name := range sorted(c.nodes) {
		s := c.nodes[name]
		statuses := make(map[string]int, len(s.statuses))
		for status, count := range s.statuses {
			statuses[status] = count
		}
		r.Nodes = append(r.Nodes, Node{Name: name, Statuses: statuses, Ran: distribution(s.ran), Waited: distribution(s.waited)})
	}
	slices.SortStableFunc(r.Nodes, func(a, b Node) int { return cmp.Compare(b.Ran.P50, a.Ran.P50) })
	for _, path := range sorted(c.paths) {
		r.CriticalPaths = append(r.CriticalPaths, Path{Nodes: strings.Split(path, " > "), Count: c.paths[path]})
	}
	slices.SortStableFunc(r.CriticalPaths, func(a, b Path) int { return cmp.Compare(b.Count, a.Count) })
	return r
}

// WriteText writes the report for people to read.
func (r Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, d Distribution, more string) {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", name, d.Count, text(d.P50, d), text(d.P90, d), text(d.P99, d), text(d.Max, d), more)
	}
	fmt.Fprintf(t, "%d episodes\tcount\tp50\tp90\tp99\tmax\twaited p50\n", r.Episodes)
	row("first seen to preview", r.FirstSeenToPreview, "")
	row("received to preview", r.ReceivedToPreview, "")
	for _, n := range r.Nodes {
		row("  "+n.Name, n.Ran, text(n.Waited.P50, n.Waited))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("latency: write the report: %w", err)
	}
	for _, p := range r.CriticalPaths {
		if _, err := fmt.Fprintf(w, "critical path of %d: %s\n", p.Count, strings.Join(p.Nodes, " → ")); err != nil {
			return fmt.Errorf("latency: write the report: %w", err)
		}
	}
	return nil
}

// text is a time in a table; a dash where nothing was measured.
func text(s episode.Seconds, of Distribution) string {
	if of.Count == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3f s", float64(s))
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
