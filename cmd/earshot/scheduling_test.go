package main

import (
	"cmp"
	"context"
	"flag"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"github.com/earshot-fm/earshot/models/ort"
)

// The benchmarks of scheduling, for .ci/bench/scheduling.py: each runs once,
// whatever b.N, and compares two sides that take turns. A ratio is the median
// over its rounds.
var (
	benchDevices  = flag.String("bench.devices", devicesCPU, "what the benchmarks of scheduling run on: cpu or cuda")
	benchProfiles = flag.String("bench.profiles", "", "profiles of the models, as models bench leaves them (profiles.json)")
	benchRounds   = flag.Int("bench.rounds", 3, "how often the sides of a benchmark take turns; in that of each model three times as often")
	benchEpisodes = flag.Int("bench.episodes", 64, "episodes that wait")
	benchSlots    = flag.Int("bench.slots", 0, "episodes under way at a time; 0: all that wait")
	benchCopies   = flag.Int("bench.copies", 4, "of each model, of which an episode goes through one: the built-in ones together are hardly more than the largest of them takes while it opens")
	benchSeconds  = flag.Float64("bench.seconds", 0.25, "of work for one model in a round, at least")
)

// bench is what all of them run on.
type bench struct {
	runtime  *ort.Runtime
	device   gpu.Device // without a bound on memory, on the CPU
	profiles *gpu.Profiles
	take     *take
}

func newBench(b *testing.B) *bench {
	b.Helper()
	h, err := openHardware(b.Context(), deviceConfig{Kind: *benchDevices}, newProbers(), func(string) string { return "" })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.close(); err != nil {
			b.Error(err)
		}
	})
	k := &bench{runtime: h.runtime, device: h.devices[0]}
	if k.onCPU() {
		k.device = gpu.Device{Name: k.device.Name, Kind: k.device.Kind}
	}
	kept, err := gpu.OpenProfiles(*benchProfiles)
	if err != nil {
		b.Fatal(err)
	}
	if k.profiles, err = gpu.OpenProfiles(""); err != nil {
		b.Fatal(err)
	}
	onCPU, err := ort.New(ort.Options{})
	if err != nil {
		b.Fatal(err)
	}
	k.take = record(b, onCPU)
	for _, n := range k.take.nodes {
		p, _ := kept.Get(gpu.KeyOf(n.model, k.device, k.runtime))
		if !p.Measured() {
			b.Fatalf("-bench.profiles %q has no profile of %s in %s: earshot models bench makes one", *benchProfiles, n.model.Manifest.Ref(), k.device.Kind)
		}
		for c := range *benchCopies {
			p.ProfileKey = gpu.KeyOf(copyOf(n.model, c), k.device, k.runtime)
			if err := k.profiles.Put(p); err != nil {
				b.Fatal(err)
			}
		}
	}
	return k
}

func (k *bench) onCPU() bool { return k.device.Name == "cpu" }

// leases are the batches that run at a time.
func (k *bench) leases() int {
	switch {
	case k.device.Leases > 0:
		return k.device.Leases
	case k.onCPU():
		return runtime.GOMAXPROCS(0)
	}
	return 1
}

func (k *bench) scheduler(b *testing.B, o gpu.Options) *gpu.Scheduler {
	b.Helper()
	if o.Runtime == nil {
		o.Runtime = k.runtime
	}
	if o.Devices == nil {
		o.Devices = []gpu.Device{k.device}
	}
	o.Profiles = k.profiles
	o.Log = slog.New(slog.NewTextHandler(b.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return gpu.New(o)
}

func closeScheduler(b *testing.B, s *gpu.Scheduler) {
	b.Helper()
	if err := s.Close(context.WithoutCancel(b.Context())); err != nil {
		b.Error(err)
	}
}

// spent is what something took, in seconds.
type spent struct{ clock, processor float64 }

func measured(b *testing.B, do func()) spent {
	b.Helper()
	runtime.GC()
	began, before := time.Now(), modelstest.ProcessorSeconds(b)
	do()
	return spent{time.Since(began).Seconds(), modelstest.ProcessorSeconds(b) - before}
}

// ratio is the median of how much quicker the second is, by the processors' time
// and by the clock.
func ratio(slower, quicker []spent) (processor, clock float64) {
	var p, c []float64
	for i := range slower {
		p = append(p, slower[i].processor/quicker[i].processor)
		c = append(c, slower[i].clock/quicker[i].clock)
	}
	return quantile(p, 0.5), quantile(c, 0.5)
}

// quantile is by the nearest rank.
func quantile(of []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[max(1, int(math.Ceil(share*float64(len(sorted)))))-1]
}

// BenchmarkModels is each model's throughput through the scheduler, many
// episodes' items waiting, against its runner in a bare loop at its best size of
// batch, and against one item a run through the same scheduler.
func BenchmarkModels(b *testing.B) {
	k := newBench(b)
	for i := range k.take.nodes {
		n := &k.take.nodes[i]
		b.Run(n.model.Manifest.Name, func(b *testing.B) { k.benchmarkModel(b, n) })
	}
}

func (k *bench) benchmarkModel(b *testing.B, n *takeNode) {
	sessions := open(b, k.runtime, n.model, k.device.Name)
	defer func() {
		if err := closeSessions(sessions); err != nil {
			b.Error(err)
		}
	}()
	var episodes [][]int
	var items []int
	more := func(times int) {
		for range times {
			for e := range k.take.episodes {
				episodes = append(episodes, n.of(e))
				items = append(items, n.of(e)...)
			}
		}
	}
	bare := func(batches [][]int) spent {
		return measured(b, func() {
			var next atomic.Int64
			var loops sync.WaitGroup
			for range k.leases() {
				loops.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= len(batches) {
							return
						}
						if err := n.items.run(b.Context(), sessions, batches[i]); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			loops.Wait()
		})
	}
	more(1)
	bare(n.batches(items, 1)) // warms up
	once := bare(n.batches(items, n.model.Manifest.Batch.MaxItems)).clock
	more(int(*benchSeconds / once))

	var sizes [][][]int
	for size := 1; size <= n.model.Manifest.Batch.MaxItems; size *= 2 {
		sizes = append(sizes, n.batches(items, size))
	}
	took := make([][]float64, len(sizes))
	for range *benchRounds {
		for i, batches := range sizes {
			took[i] = append(took[i], k.of(bare(batches)))
		}
	}
	best, least := 0, math.Inf(1)
	for i := range sizes {
		t := quantile(took[i], 0.5)
		b.Logf("a loop of batches of %d: %.4g µs/item", 1<<i, t/float64(len(items))*1e6)
		if t < least {
			best, least = i, t
		}
	}
	batches := sizes[best]
	alone := *n.model
	alone.Manifest.Batch.MaxItems, alone.Manifest.Batch.Fixed = 1, false
	var queues []replayQueue
	var stats []*gpu.Scheduler
	for _, m := range []*models.Model{n.model, &alone} {
		s := k.scheduler(b, gpu.Options{})
		defer closeScheduler(b, s)
		q, err := n.items.queue(s, m)
		if err != nil {
			b.Fatal(err)
		}
		queues, stats = append(queues, q), append(stats, s)
	}
	scheduled := func(q replayQueue) spent {
		return measured(b, func() {
			var wg sync.WaitGroup
			for _, e := range episodes {
				wg.Go(func() {
					if _, _, err := each(b.Context(), e, inFlight, q); err != nil {
						b.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
	scheduled(queues[0])
	scheduled(queues[1])
	var loop, batched, single []spent
	for range 3 * *benchRounds {
		loop = append(loop, bare(batches))
		batched = append(batched, scheduled(queues[0]))
		single = append(single, scheduled(queues[1]))
	}
	processor, clock := ratio(loop, batched)
	b.ReportMetric(processor, "x-loop-cpu")
	b.ReportMetric(clock, "x-loop-clock")
	processor, clock = ratio(single, batched)
	b.ReportMetric(processor, "x-single-cpu")
	b.ReportMetric(clock, "x-single-clock")
	each := func(all []spent) float64 {
		var took []float64
		for _, s := range all {
			took = append(took, k.of(s))
		}
		return quantile(took, 0.5) / float64(len(items)) * 1e6
	}
	b.ReportMetric(each(batched), "µs/item")
	b.ReportMetric(each(loop), "loop-µs/item")
	b.ReportMetric(float64(int(1)<<best), "loop-batch")
	b.ReportMetric(stats[0].Stats()[0].MeanBatch(), "mean-batch")
	b.ReportMetric(0, "ns/op")
}

// of is the time that counts: a GPU's is not the processors'.
func (k *bench) of(s spent) float64 {
	if k.onCPU() {
		return s.processor
	}
	return s.clock
}

// counting is a runtime that counts what it opens.
type counting struct {
	*ort.Runtime
	opened atomic.Int64
	then   func()
}

func (c *counting) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	s, err := c.Runtime.Open(ctx, graph, device)
	c.opened.Add(1)
	if c.then != nil {
		c.then()
	}
	return s, err
}

// ofMany is what it took to take many episodes through their models.
type ofMany struct {
	spent
	loads     int
	residents []gpu.Resident
	weights   int64 // bytes, the most at a time
}

// many plays the waiting episodes on a device of so much memory (0:
// no bound).
func (k *bench) many(b *testing.B, memory int64, lru bool) (m ofMany) {
	b.Helper()
	c := &counting{Runtime: k.runtime}
	d := k.device
	if memory > 0 {
		d.MemoryBytes, d.ReserveBytes = memory, 0
	}
	s := k.scheduler(b, gpu.Options{Runtime: c, Devices: []gpu.Device{d}, EvictLeastRecentlyUsed: lru})
	defer closeScheduler(b, s)
	var mu sync.Mutex
	c.then = func() {
		mu.Lock()
		defer mu.Unlock()
		m.weights = max(m.weights, s.Devices()[0].Balance.Weights)
	}
	var queues [][]replayQueue
	for c := range *benchCopies {
		queues = append(queues, k.take.queues(b, s, c))
	}
	m.spent = measured(b, func() { k.playAll(b, queues, *benchEpisodes) })
	m.loads = int(c.opened.Load())
	m.residents = s.Devices()[0].Residents
	return m
}

func (k *bench) playAll(b *testing.B, queues [][]replayQueue, episodes int) {
	ctx, stop := context.WithCancelCause(models.WithBacklogPriority(b.Context()))
	defer stop(nil)
	slots := make(chan struct{}, cmp.Or(*benchSlots, episodes))
	var wg sync.WaitGroup
	for e := range episodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if _, err := k.take.play(ctx, queues[e%len(queues)], e/len(queues)%k.take.episodes); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		b.Fatal(err)
	}
}

// half is the memory that holds half of the models, or what the largest one
// takes while it opens where that is more, and on the CPU, where all share an arena,
// what the largest batch needs among those that the profiles call best.
func (k *bench) half(b *testing.B, all ofMany) (budget, arena int64) {
	b.Helper()
	sum, most := int64(0), int64(0)
	for _, r := range all.residents {
		sum += r.Weights + r.Arena
	}
	for _, n := range k.take.nodes {
		p, _ := k.profiles.Get(gpu.KeyOf(n.model, k.device, k.runtime))
		best := p.Best()
		need := p.Need(best.Items, best.Cost)
		most = max(most, p.WeightsBytes, p.OpeningBytes)
		if k.onCPU() {
			arena = max(arena, need)
		}
	}
	return max(sum/2, most) + arena, arena
}

// BenchmarkHalfOfTheModels takes many episodes through their models with memory
// for half of them: in phases, and as a cache that drops what was used least
// recently, against all of them resident.
func BenchmarkHalfOfTheModels(b *testing.B) {
	k := newBench(b)
	first := k.many(b, 0, false)
	budget, arena := k.half(b, first)
	var all, phases, lru []spent
	var phaseLoads, lruLoads []float64
	weights := int64(0)
	for range *benchRounds {
		all = append(all, k.many(b, 0, false).spent)
		p := k.many(b, budget, false)
		phases, phaseLoads, weights = append(phases, p.spent), append(phaseLoads, float64(p.loads)), max(weights, p.weights)
		l := k.many(b, budget, true)
		lru, lruLoads = append(lru, l.spent), append(lruLoads, float64(l.loads))
	}
	processor, clock := ratio(all, phases)
	b.ReportMetric(processor, "x-all-cpu")
	b.ReportMetric(clock, "x-all-clock")
	processor, clock = ratio(all, lru)
	b.ReportMetric(processor, "lru-x-all-cpu")
	b.ReportMetric(clock, "lru-x-all-clock")
	b.ReportMetric(quantile(phaseLoads, 0.5), "loads")
	b.ReportMetric(quantile(lruLoads, 0.5), "lru-loads")
	sum := int64(0)
	for _, r := range first.residents {
		sum += r.Weights
	}
	b.ReportMetric(float64(budget)/(1<<20), "budget-MiB")
	b.ReportMetric(float64(arena)/(1<<20), "arena-MiB")
	b.ReportMetric(float64(sum)/(1<<20), "all-weights-MiB")
	b.ReportMetric(float64(weights)/(1<<20), "most-weights-MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemoryOfHalfTheModels is what the process takes of the machine's
// memory, but for Go's, while it does that in phases, against its budget. It
// wants a process for itself.
func BenchmarkMemoryOfHalfTheModels(b *testing.B) {
	meter := gpu.ResidentMeter{Trim: ort.Trim}
	if _, err := ort.New(ort.Options{}); err != nil {
		b.Fatal(err)
	}
	before, err := meter.Held(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	k := newBench(b)
	sizes := ofMany{}
	for _, n := range k.take.nodes {
		p, _ := k.profiles.Get(gpu.KeyOf(n.model, k.device, k.runtime))
		sizes.residents = append(sizes.residents, gpu.Resident{Weights: int64(*benchCopies) * p.WeightsBytes})
	}
	budget, _ := k.half(b, sizes)
	if _, err := meter.Held(b.Context()); err != nil { // what the recording left is given back
		b.Fatal(err)
	}
	meter.Trim = nil
	most, ended := int64(0), make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			held, err := meter.Held(b.Context())
			if err != nil {
				b.Error(err)
				return
			}
			most = max(most, held)
			select {
			case <-tick.C:
			case <-ended:
				return
			}
		}
	})
	k.many(b, budget, false)
	close(ended)
	watch.Wait()
	b.ReportMetric(float64(most-before)/(1<<20), "used-MiB")
	b.ReportMetric(float64(budget)/(1<<20), "budget-MiB")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLiveBesideBacklog is how much longer live work waits while backlog
// saturates the device than it does on an idle one.
func BenchmarkLiveBesideBacklog(b *testing.B) {
	k := newBench(b)
	s := k.scheduler(b, gpu.Options{})
	defer closeScheduler(b, s)
	queues := k.take.queues(b, s, 0)
	live := func(times int) (courses []course) {
		for i := range times * k.take.episodes {
			c, err := k.take.play(b.Context(), queues, i%k.take.episodes)
			if err != nil {
				b.Fatal(err)
			}
			courses = append(courses, c)
		}
		return courses
	}
	live(1) // opens the sessions
	idle := live(*benchRounds)

	var longest atomic.Int64
	watched := make([]replayQueue, len(queues))
	for i, q := range queues {
		watched[i] = func(ctx context.Context, item int) (models.Usage, error) {
			u, err := q(ctx, item)
			for {
				if was := longest.Load(); int64(u.Ran) <= was || longest.CompareAndSwap(was, int64(u.Ran)) {
					return u, err
				}
			}
		}
	}
	ctx, stop := context.WithCancel(models.WithBacklogPriority(b.Context()))
	var backlog sync.WaitGroup
	for e := range *benchEpisodes {
		backlog.Go(func() {
			for ctx.Err() == nil {
				if _, err := k.take.play(ctx, watched, e%k.take.episodes); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	queues = watched
	busy := live(*benchRounds)
	stop()
	backlog.Wait()

	// Each item, and each episode, is held against the median of what the same one
	// waited on the idle device.
	n := k.take.episodes
	usual := func(of func(course) float64, e int) float64 {
		var all []float64
		for i := e; i < len(idle); i += n {
			all = append(all, of(idle[i]))
		}
		return quantile(all, 0.5)
	}
	var items, whole []float64
	for i, c := range busy {
		e := i % n
		whole = append(whole, c.waited.Seconds()-usual(func(c course) float64 { return c.waited.Seconds() }, e))
		for node, laps := range c.laps {
			for at, l := range laps {
				items = append(items, l.waited.Seconds()-usual(func(c course) float64 { return c.laps[node][at].waited.Seconds() }, e))
			}
		}
	}
	ms := func(v float64) float64 { return max(0, v*1e3) }
	b.ReportMetric(ms(time.Duration(longest.Load()).Seconds()), "longest-batch-ms")
	b.ReportMetric(ms(quantile(items, 0.5)), "item-p50-ms")
	b.ReportMetric(ms(quantile(items, 0.99)), "item-p99-ms")
	b.ReportMetric(ms(quantile(whole, 0.5)), "episode-p50-ms")
	b.ReportMetric(ms(quantile(whole, 0.99)), "episode-p99-ms")
	b.ReportMetric(float64(len(items)), "items")
	b.ReportMetric(float64(len(whole)), "episodes")
	b.ReportMetric(0, "ns/op")
}
