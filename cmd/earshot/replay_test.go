package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// take is what the sample's episodes gave their models to do, kept so that it can
// be done again without audio: what the benchmarks of scheduling replay.
type take struct {
	nodes    []takeNode // each after those it needs
	episodes int
}

// takeNode is a node that runs a model.
type takeNode struct {
	name  string
	model *models.Model
	needs []int // places in nodes
	items replayed
	first []int // by episode, its first item; and behind the last the end
}

// of are the items of one episode.
func (n *takeNode) of(episode int) []int {
	var items []int
	for i := n.first[episode]; i < n.first[episode+1]; i++ {
		items = append(items, i)
	}
	return items
}

// replayed are the items that a rehearsal kept, without their types.
type replayed interface {
	count() int
	bucket(i int) int
	cost(i int) float64
	// queue makes a queue of them in a scheduler, for the model as it is given.
	queue(*gpu.Scheduler, *models.Model) (replayQueue, error)
	// run takes a batch through the runner itself.
	run(context.Context, models.Sessions, []int) error
}

// replayQueue puts an item into a scheduler's queue and waits for its answer.
type replayQueue func(ctx context.Context, i int) (models.Usage, error)

func (q *rehearsed[In, Out]) count() int         { return len(q.items) }
func (q *rehearsed[In, Out]) bucket(i int) int   { return q.runner.Bucket(q.items[i]) }
func (q *rehearsed[In, Out]) cost(i int) float64 { return q.runner.Cost(q.items[i]) }

func (q *rehearsed[In, Out]) queue(s *gpu.Scheduler, m *models.Model) (replayQueue, error) {
	line, err := gpu.NewQueue[In, Out](s, m, q.runner)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, i int) (models.Usage, error) {
		a, err := line.Do(ctx, q.items[i])
		return a.Usage(), err
	}, nil
}

func (q *rehearsed[In, Out]) run(ctx context.Context, sessions models.Sessions, batch []int) error {
	items := make([]In, len(batch))
	for i, at := range batch {
		items[i] = q.items[at]
	}
	_, err := models.RunBatch(ctx, q.model, q.runner, sessions, items)
	return err
}

// record takes the sample's episodes through the graph, one after the other, and
// keeps what each gave its models to do.
func record(t testing.TB, runtime models.Runtime) *take {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	state := t.TempDir()
	base, stop, err := serveSample("../../sample/feed", state)
	must(err)
	cfg := defaultConfig()
	cfg.Device.Kind, cfg.Device.WarmUp = devicesCPU, warmUpNever // the items are the same whatever they will run on
	cfg.Fetch.AllowPrivate = append(cfg.Fetch.AllowPrivate, "127.0.0.0/8")
	a := &app{err: t.Output(), probers: newProbers()}
	p, err := a.openPipeline(ctx, cfg, state)
	must(err)
	catalog, err := cfg.catalog()
	must(err)
	spec, err := cfg.spec(catalog)
	must(err)
	ports := enrich.Ports{Fetch: p.fetch, Documents: p.published, Audio: decoding{p.decoder}}
	k, targets := &take{}, []string{}
	rehearsals := map[string]*rehearsal{}
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		m, err := catalog.Get(n.Model)
		must(err)
		r := &rehearsal{sessions: open(t, runtime, m, "cpu")}
		must(fit(host{rehearsal: r}, n.Name, m, &ports))
		rehearsals[n.Name] = r
		targets = append(targets, n.Name)
	}
	graph, err := enrich.New(enrich.Options{Spec: spec, Ports: ports, Generation: cfg.Generation, Store: p.store, Scratch: p.layout.scratch})
	must(err)
	behind := map[string][]string{} // the models' nodes that a node needs, by whatever way
	for _, n := range graph.Nodes() {
		var needs []string
		for _, need := range n.Needs {
			if rehearsals[need.Name] != nil {
				needs = append(needs, need.Name)
			} else {
				needs = append(needs, behind[need.Name]...)
			}
		}
		slices.Sort(needs)
		behind[n.Name] = slices.Compact(needs)
		if r := rehearsals[n.Name]; r != nil {
			node := takeNode{name: n.Name, items: r.kept.(replayed)}
			node.model, err = catalog.Get(spec.Nodes[slices.IndexFunc(spec.Nodes, func(s dag.NodeSpec) bool { return s.Name == n.Name })].Model)
			must(err)
			for _, need := range behind[n.Name] {
				node.needs = append(node.needs, slices.IndexFunc(k.nodes, func(other takeNode) bool { return other.name == need }))
			}
			k.nodes = append(k.nodes, node)
		}
	}
	events, _, err := sampleEpisodes(ctx, base, "../../sample")
	must(err)
	for _, ev := range events {
		k.mark()
		ev.Control = episode.Control{Targets: targets}
		_, err := graph.Enrich(ctx, ev, nil)
		must(err)
		k.episodes++
	}
	k.mark()
	for _, r := range rehearsals {
		for _, s := range r.sessions {
			must(s.Close())
		}
	}
	must(p.close(ctx))
	must(stop())
	for _, n := range k.nodes {
		if n.items.count() == 0 {
			t.Fatalf("%s: the sample gives %s nothing to do", n.name, n.model.Manifest.Ref())
		}
	}
	return k
}

// mark notes where the next episode's items begin.
func (k *take) mark() {
	for i := range k.nodes {
		k.nodes[i].first = append(k.nodes[i].first, k.nodes[i].items.count())
	}
}

func open(t testing.TB, runtime models.Runtime, m *models.Model, device string) models.Sessions {
	t.Helper()
	sessions := models.Sessions{}
	for _, name := range m.Manifest.Sessions {
		s, err := m.Open(t.Context(), runtime, name, device)
		if err != nil {
			t.Fatal(err)
		}
		sessions[name] = s
	}
	return sessions
}

// copyOf is a model like another, and not the same.
func copyOf(m *models.Model, n int) *models.Model {
	other := *m
	if n > 0 {
		other.SHA256 = fmt.Sprintf("%s-%d", m.SHA256, n)
	}
	return &other
}

// queues are the nodes' queues in a scheduler, for a copy of the models.
func (k *take) queues(t testing.TB, s *gpu.Scheduler, n int) []replayQueue {
	t.Helper()
	queues := make([]replayQueue, len(k.nodes))
	for i, node := range k.nodes {
		q, err := node.items.queue(s, copyOf(node.model, n))
		if err != nil {
			t.Fatal(err)
		}
		queues[i] = q
	}
	return queues
}

// inFlight is how many items of one episode's node wait at a time: as the tasks
// of the built-in models have it, more or less.
const inFlight = 32

// lap is what one item took.
type lap struct {
	waited, ran time.Duration
}

// course is what became of one episode: its items, by node, and the longest time
// that it waited for leases along its path through the graph.
type course struct {
	laps   [][]lap
	waited time.Duration
}

// play takes an episode's items through the queues in the graph's order: a node
// begins when those it needs have ended.
func (k *take) play(ctx context.Context, queues []replayQueue, episode int) (course, error) {
	laps := make([][]lap, len(k.nodes))
	waits := make([]time.Duration, len(k.nodes))
	errs, failed := make([]error, len(k.nodes)), make([]bool, len(k.nodes))
	done := make([]chan struct{}, len(k.nodes))
	for i := range done {
		done[i] = make(chan struct{})
	}
	for i := range k.nodes {
		go func() {
			defer close(done[i])
			for _, need := range k.nodes[i].needs {
				<-done[need]
				waits[i] = max(waits[i], waits[need])
				failed[i] = failed[i] || failed[need]
			}
			if failed[i] {
				return
			}
			var own time.Duration
			laps[i], own, errs[i] = each(ctx, k.nodes[i].of(episode), inFlight, queues[i])
			waits[i] += own
			failed[i] = errs[i] != nil
		}()
	}
	for _, d := range done {
		<-d
	}
	return course{laps, slices.Max(waits)}, errors.Join(errs...)
}

// each puts items into a queue, so many at a time, and tells what each took and
// how long the one who waited most has waited, of those that share the places.
func each(ctx context.Context, items []int, atOnce int, queue replayQueue) ([]lap, time.Duration, error) {
	laps := make([]lap, len(items))
	places := min(atOnce, len(items))
	waited := make([]time.Duration, max(1, places))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for place := range places {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(items) {
					return
				}
				u, err := queue(ctx, items[i])
				if err != nil {
					cancel(err)
					return
				}
				laps[i] = lap{u.Waited, u.Ran}
				waited[place] += u.Waited
			}
		})
	}
	wg.Wait()
	return laps, slices.Max(waited), context.Cause(ctx)
}

// batches cuts items into batches of their bucket, of up to n items and the
// model's greatest cost, in order.
func (n *takeNode) batches(items []int, most int) [][]int {
	open := map[int][]int{}
	cost := map[int]float64{}
	var all [][]int
	for _, i := range items {
		b, c := n.items.bucket(i), n.items.cost(i)
		limit := n.model.Manifest.Batch.MaxCost
		if len(open[b]) == most || len(open[b]) > 0 && limit > 0 && cost[b]+c > limit {
			all = append(all, open[b])
			open[b], cost[b] = nil, 0
		}
		open[b] = append(open[b], i)
		cost[b] += c
	}
	for _, b := range slices.Sorted(maps.Keys(open)) {
		all = append(all, open[b])
	}
	return all
}

// numbered are items that are nothing but their numbers.
type numbered struct{ replayed }

func (numbered) bucket(i int) int { return i % 2 }
func (numbered) cost(int) float64 { return 4 }

func TestAReplayKeepsTheGraphsOrder(t *testing.T) {
	m := &models.Model{Manifest: models.Manifest{Batch: models.Batch{MaxItems: 8, MaxCost: 10}}}
	k := &take{episodes: 2, nodes: []takeNode{
		{name: "first", model: m, items: numbered{}, first: []int{0, 3, 4}},
		{name: "second", model: m, items: numbered{}, first: []int{0, 1, 2}, needs: []int{0}},
		{name: "aside", model: m, items: numbered{}, first: []int{0, 0, 1}},
	}}
	var before, mixed atomic.Int64
	queues := []replayQueue{
		func(context.Context, int) (models.Usage, error) {
			before.Add(1)
			return models.Usage{Waited: 3 * time.Second}, nil
		},
		func(context.Context, int) (models.Usage, error) {
			if before.Load() != 1 {
				mixed.Add(1)
			}
			return models.Usage{Waited: 5 * time.Second}, nil
		},
		func(context.Context, int) (models.Usage, error) { return models.Usage{Waited: time.Second}, nil },
	}
	c, err := k.play(t.Context(), queues, 1)
	if err != nil || mixed.Load() != 0 {
		t.Errorf("%d items of a node began before those that it needs had ended: %v", mixed.Load(), err)
	}
	if c.waited != 8*time.Second || len(c.laps[0]) != 1 || len(c.laps[1]) != 1 || len(c.laps[2]) != 1 {
		t.Errorf("waited %v, %d, %d and %d items; want 8s and one each", c.waited, len(c.laps[0]), len(c.laps[1]), len(c.laps[2]))
	}
	fault := errors.New("a fault")
	queues[0] = func(context.Context, int) (models.Usage, error) { return models.Usage{}, fault }
	if _, err := k.play(t.Context(), queues, 0); !errors.Is(err, fault) {
		t.Errorf("%v; want %v", err, fault)
	}
	// Of one bucket, and of no more than the model's greatest cost.
	if got := fmt.Sprint(k.nodes[0].batches([]int{0, 1, 2, 3, 4}, 8)); got != "[[0 2] [4] [1 3]]" {
		t.Errorf("batches %s", got)
	}
}

func TestARatioIsTheMedianOfItsTurns(t *testing.T) {
	slower := []spent{{4, 2}, {9, 6}, {10, 30}}
	quicker := []spent{{2, 2}, {3, 2}, {10, 3}}
	if p, c := ratio(slower, quicker); p != 3 || c != 2 {
		t.Errorf("by the processors' time %v and by the clock %v; want 3 and 2", p, c)
	}
}
