package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// MeasureOptions say on what and how Measure measures.
type MeasureOptions struct {
	Runtime     models.Runtime
	Device      string // as the Runtime names it: "cpu", "cuda:0"
	Name        string // of the device, for the profile: "Tesla T4"
	Meter       Meter  // of the device
	Rounds      int    // timed runs of each size, at least; 0: 8
	MemoryBytes int64  // sizes that would take more, with the weights, are left out; 0: no bound
}

const (
	usualRounds = 8
	// The memory of a size is the most of a few rounds, each of batches of all
	// shapes: what an arena keeps of one shape does not always serve another. There
	// are more while the last one still took more by a share worth the time.
	memoryRounds     = 3
	memoryMostRounds = 8
	memoryGrowth     = 0.005
	// Quick runs are timed more often, so that their median is no chance.
	timedAtLeast = 200 * time.Millisecond
	timedAtMost  = 100 // rounds, unless more are asked for
)

// Workload makes batches of the items that a task gives its model.
type Workload struct {
	// Batch makes batches of n items, one of each bucket, the costliest last:
	// what that one costs, in the model's unit, and what runs them.
	Batch func(n int) (cost float64, runs []Run)
}

// Run takes one batch through a model's sessions.
type Run func(context.Context, models.Sessions) error

// NewWorkload makes batches of items, each repeated as needed.
func NewWorkload[In, Out any](m *models.Model, r models.Runner[In, Out], items []In) (Workload, error) {
	if len(items) == 0 {
		return Workload{}, fmt.Errorf("gpu: measure %s: the task gave the model nothing to do", m.Manifest.Ref())
	}
	byBucket := map[int][]In{}
	for _, it := range items {
		byBucket[r.Bucket(it)] = append(byBucket[r.Bucket(it)], it)
	}
	var buckets [][]In
	for _, bucket := range slices.Sorted(maps.Keys(byBucket)) {
		members := byBucket[bucket]
		slices.SortStableFunc(members, func(a, b In) int { return cmp.Compare(r.Cost(b), r.Cost(a)) })
		buckets = append(buckets, members)
	}
	slices.SortStableFunc(buckets, func(a, b []In) int { return cmp.Compare(r.Cost(a[0]), r.Cost(b[0])) })
	return Workload{Batch: func(n int) (cost float64, runs []Run) {
		for _, members := range buckets {
			batch := make([]In, n)
			cost = 0
			for i := range batch {
				batch[i] = members[i%len(members)]
				cost += r.Cost(batch[i])
			}
			runs = append(runs, func(ctx context.Context, sessions models.Sessions) error {
				_, err := models.RunBatch(ctx, m, r, sessions, batch)
				return err
			})
		}
		return cost, runs
	}}, nil
}

// Measure finds out what a model needs of a device: the memory of its open
// sessions, and of runs of 1, 2, 4, 8, … items as far as the manifest's
// batch allows, with their times. It wants the device's memory for itself: no
// other model may be open in the process, nor have been.
//
// rehearse is called once, while no session is open, and makes a workload for
// each of the model's tasks, of which the first is timed. It leaves nothing in
// the arena that the runtime's sessions share: tasks give their items in no fixed
// order, and what an arena keeps hangs on that. A size for which the device has
// no memory ends the sizes, without an error if there was a smaller one.
func Measure(ctx context.Context, m *models.Model, o MeasureOptions, rehearse func(context.Context) ([]Workload, error)) (p Profile, err error) {
	p = Profile{
		ProfileKey: ProfileKey{SHA256: m.SHA256, Device: o.Name, Build: o.Runtime.Build(), Precision: m.Manifest.Precision},
		Model:      m.Manifest.Ref(),
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("gpu: measure %s on %s: %w", p.Model, o.Device, err)
		}
	}()
	o.Rounds = cmp.Or(o.Rounds, usualRounds)
	sleep, err := awaken(ctx, o.Runtime, o.Device)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, sleep()) }()
	if err := p.measureWeights(ctx, m, o); err != nil {
		return p, err
	}
	work, err := rehearse(ctx)
	if err != nil {
		return p, err
	}
	sessions, err := openAll(ctx, m, o)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, closeAll(sessions)) }()
	open, err := o.Meter.Held(ctx)
	if err != nil {
		return p, err
	}
	for i, w := range work {
		points, err := measureSizes(ctx, m, o, sessions, w, p.WeightsBytes, open)
		if err != nil {
			return p, err
		}
		if i == 0 {
			p.Points = points
			continue
		}
		for _, pt := range points {
			if float64(pt.Bytes) > p.envelope(pt.Cost) {
				p.Raise(pt.Cost, pt.Bytes)
			}
		}
	}
	if len(p.Points) == 0 {
		return p, fmt.Errorf("not one item can be run: %w", models.ErrOutOfMemory)
	}
	return p, nil
}

// measureWeights opens the model for the first time, and closes it: what is
// measured later would lie in memory that something else has left.
func (p *Profile) measureWeights(ctx context.Context, m *models.Model, o MeasureOptions) error {
	before, err := o.Meter.Held(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var sessions models.Sessions
	peak, err := o.Meter.Peak(ctx, func() (err error) {
		sessions, err = openAll(ctx, m, o)
		return err
	})
	if err != nil {
		return err
	}
	p.LoadSeconds = time.Since(began).Seconds()
	open, err := o.Meter.Held(ctx)
	p.WeightsBytes = max(1, open-before)
	p.OpeningBytes = max(p.WeightsBytes, peak-before)
	return errors.Join(err, closeAll(sessions))
}

func openAll(ctx context.Context, m *models.Model, o MeasureOptions) (models.Sessions, error) {
	sessions := models.Sessions{}
	for _, name := range m.Manifest.Sessions {
		s, err := m.Open(ctx, o.Runtime, name, o.Device)
		if err != nil {
			return nil, errors.Join(err, closeAll(sessions))
		}
		sessions[name] = s
	}
	return sessions, nil
}

// measureSizes measures batches of growing size. open is what the meter showed
// when the sessions were open and had not run.
func measureSizes(ctx context.Context, m *models.Model, o MeasureOptions, sessions models.Sessions, w Workload, weights, open int64) ([]Point, error) {
	var points []Point
	var runs []func() error
	for _, n := range sizes(m.Manifest.Batch, w) {
		cost, batches := w.Batch(n)
		pt := Point{Items: n, Cost: cost}
		if len(points) > 0 {
			last := points[len(points)-1]
			if grown := float64(last.Bytes) * float64(n) / float64(last.Items); o.MemoryBytes > 0 && float64(weights)+grown > float64(o.MemoryBytes) {
				break
			}
			pt.Bytes = last.Bytes // a larger batch never needs less
		}
		var once func() error // the costliest, in the end
		err := error(nil)
		for round, grows := 0, true; err == nil && (round < memoryRounds || grows && round < memoryMostRounds); round++ {
			before := pt.Bytes
			for _, run := range batches {
				once = func() error { return run(ctx, sessions) }
				var peak int64
				if peak, err = o.Meter.Peak(ctx, once); err != nil {
					break
				}
				pt.Bytes = max(pt.Bytes, peak-open)
			}
			grows = float64(pt.Bytes-before) > memoryGrowth*float64(before)
		}
		if errors.Is(err, models.ErrOutOfMemory) {
			break
		}
		if err != nil {
			return nil, err
		}
		points, runs = append(points, pt), append(runs, once)
	}
	return points, measureTimes(o.Rounds, o.Device == "cpu", points, runs)
}

// measureTimes times the sizes by turns: what else the machine does for a while
// then falls on all of them, and does not decide which is the fastest.
func measureTimes(rounds int, onCPU bool, points []Point, runs []func() error) error {
	took := make([][]time.Duration, len(points))
	worked := make([][]time.Duration, len(points))
	abreast := 1
	if onCPU {
		abreast = Device{Name: "cpu"}.leases() // cores share caches, and not all runs suffer from that alike
	}
	spent := make([]time.Duration, len(points))
	for again := true; again; {
		again = false
		for i, run := range runs {
			if n := len(took[i]); n >= rounds && (spent[i] >= timedAtLeast || n >= timedAtMost) {
				continue
			}
			began, before := time.Now(), processorTime()
			if err := together(abreast, run); err != nil {
				return err
			}
			t := time.Since(began)
			worked[i] = append(worked[i], (processorTime()-before)/time.Duration(abreast))
			took[i] = append(took[i], t)
			spent[i] += t
			again = true
		}
	}
	for i := range points {
		slices.Sort(took[i])
		points[i].Median, points[i].P99 = rank(took[i], 0.5), rank(took[i], 0.99)
		if slices.Sort(worked[i]); onCPU {
			points[i].Work = rank(worked[i], 0.5)
		}
	}
	return nil
}

// together does something so many times at once.
func together(n int, run func() error) error {
	if n == 1 {
		return run()
	}
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = run() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// processorTime is what this process has taken of the processors so far; 0 where
// the system does not tell.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rank is a quantile of sorted times by the nearest rank, in seconds.
func rank(sorted []time.Duration, share float64) float64 {
	return sorted[max(1, int(math.Ceil(share*float64(len(sorted)))))-1].Seconds()
}

// sizes are 1, 2, 4, 8, … and the most that a batch may have.
func sizes(b models.Batch, w Workload) []int {
	fits := func(n int) bool {
		cost, _ := w.Batch(n)
		return n == 1 || n <= b.MaxItems && (b.MaxCost <= 0 || cost <= b.MaxCost)
	}
	var all []int
	n := 1
	for ; fits(n); n *= 2 {
		all = append(all, n)
	}
	last := all[len(all)-1]
	for n--; n > last && !fits(n); n-- {
	}
	if n > last {
		all = append(all, n)
	}
	return all
}

// Include takes what another measure of the same model saw into the envelope.
// Of the times those of the quicker one count: what disturbs a run only makes it
// longer.
func (p *Profile) Include(other *Profile) {
	p.WeightsBytes = max(p.WeightsBytes, other.WeightsBytes)
	p.OpeningBytes = max(p.OpeningBytes, other.OpeningBytes)
	p.LoadSeconds = min(p.LoadSeconds, other.LoadSeconds)
	p.Points = slices.Clone(p.Points)
	for _, pt := range other.Points {
		same := func(own Point) bool { return own.Items == pt.Items && own.Cost == pt.Cost }
		if i := slices.IndexFunc(p.Points, same); i >= 0 {
			own := &p.Points[i]
			own.Bytes = max(own.Bytes, pt.Bytes)
			if pt.Median < own.Median {
				own.Median, own.P99 = pt.Median, pt.P99
			}
			own.Work = min(own.Work, pt.Work)
		} else if float64(pt.Bytes) > p.envelope(pt.Cost) {
			p.Raise(pt.Cost, pt.Bytes)
		}
	}
}
