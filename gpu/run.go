package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// execute runs a batch under its lease and answers each of its items.
func (s *Scheduler) execute(b *batch) {
	defer s.finish(b)
	if err := s.load(b.ctx, b); err != nil {
		s.unloaded(b, err)
		return
	}
	b.begun = true
	sessions := b.resident.sessions
	before, grows := use{}, s.grows(b)
	if grows {
		before, grows = s.usedBy(b.ctx, b.device)
	}
	if b.line.refill != nil {
		s.refill(b.ctx, b, sessions)
	} else {
		s.run(b.ctx, b, sessions, b.items)
	}
	s.conclude(b, sessions)
	if !grows {
		return
	}
	if after, ok := s.usedBy(b.ctx, b.device); ok {
		s.raiseRun(b, before.until(after))
	}
}

// grows tells whether a batch is larger than any that its model has run on the
// device, so that the arena may grow.
func (s *Scheduler) grows(b *batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.cost > b.resident.grown
}

// begin marks an item as running in a batch. The caller holds s.mu.
func (s *Scheduler) begin(b *batch, it *item) {
	it.batch, it.began = b, time.Now()
	side := b.line.of(it)
	side.queued.Dec()
	side.waited.Observe(it.began.Sub(it.came).Seconds())
}

// run takes items through the runner. A failing run is split in two until the
// item at fault is alone: one bad item among n costs 2·log2(n) more runs.
func (s *Scheduler) run(ctx context.Context, b *batch, sessions models.Sessions, items []*item) {
	clocked := newClock(sessions)
	began := time.Now()
	watched, dog := s.watch(ctx, b.line, items)
	err := protect(watched, b.line.run, clocked.sessions, items)
	err = dog.called(watched, err)
	took := time.Since(began)
	s.record(b, items, took, clocked.inside())
	switch {
	case err == nil:
		s.learn(b, items, took)
		s.answer(b, items, nil)
	case ctx.Err() != nil || errors.Is(err, models.ErrDeviceLost):
		s.giveUp(ctx, b, items, err)
	case len(items) > 1:
		reason := splitFault
		switch {
		case errors.Is(err, models.ErrOutOfMemory):
			reason = splitMemory
			s.shrink(b, items)
		case errors.Is(err, ErrStuck):
			reason = splitStuck
		}
		s.metrics.splits.WithLabelValues(b.line.ref, reason).Inc()
		half := len(items) / 2
		s.run(ctx, b, sessions, items[:half])
		s.run(ctx, b, sessions, items[half:])
	case errors.Is(err, models.ErrOutOfMemory):
		s.metrics.memory.WithLabelValues(b.line.ref, b.device.Name).Inc()
		s.answer(b, items, err)
	default:
		b.failed = append(b.failed, failure{items[0], err})
	}
}

// giveUp answers items of a batch that was stopped, or whose device or model
// cannot be used.
func (s *Scheduler) giveUp(ctx context.Context, b *batch, items []*item, err error) {
	if errors.Is(err, models.ErrDeviceLost) {
		s.Lose(b.device.Name, err)
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.answer(b, items, err)
}

// conclude answers the items that failed. Where nothing of the batch ran well it
// asks first whether it is the device that fails, by an item that it has done
// before.
func (s *Scheduler) conclude(b *batch, sessions models.Sessions) {
	if len(b.failed) == 0 {
		return
	}
	s.mu.Lock()
	var probe *item
	if good := b.line.good; good != nil && b.done == 0 && b.device.worked[b.line.model.SHA256] {
		probe = b.line.copy(good)
	}
	s.mu.Unlock()
	var broken error
	if probe != nil {
		watched, dog := s.watch(b.ctx, b.line, []*item{probe})
		broken = dog.called(watched, protect(watched, b.line.run, sessions, []*item{probe}))
	}
	switch {
	case b.ctx.Err() != nil:
		broken = context.Cause(b.ctx)
	case errors.Is(broken, models.ErrDeviceLost):
		s.Lose(b.device.Name, broken)
	case broken != nil:
		broken = s.blame(b.device, broken)
	}
	for _, f := range b.failed {
		err := broken
		if err == nil {
			err = &models.ItemError{Model: b.line.ref, Err: f.err}
		}
		s.answer(b, []*item{f.item}, err)
	}
}

// unloaded answers the items of a batch whose model did not open.
func (s *Scheduler) unloaded(b *batch, err error) {
	s.mu.Lock()
	worked := b.device.worked[b.line.model.SHA256]
	s.mu.Unlock()
	// Want of memory, or of the model's files, says nothing against the device.
	elsewhere := errors.Is(err, models.ErrOutOfMemory) || errors.Is(err, ErrNoRoom) || errors.As(err, new(*fs.PathError))
	if worked && b.ctx.Err() == nil && !elsewhere && !errors.Is(err, models.ErrDeviceLost) {
		err = s.blame(b.device, err)
	}
	s.giveUp(b.ctx, b, b.items, err)
}

// mostFaults in a row leave a device out.
const mostFaults = 3

// blame counts a fault of a device, and leaves out one that fails again and
// again.
func (s *Scheduler) blame(d *device, err error) error {
	err = fmt.Errorf("%w: %s: %w", ErrFault, d.Name, err)
	s.mu.Lock()
	d.faults++
	s.metrics.faults.WithLabelValues(d.Name).Inc()
	out := d.faults >= mostFaults && !d.out
	last := true
	if out {
		d.out = true
		s.leftOut(d, err)
	}
	for _, other := range s.devices {
		last = last && other.out
	}
	s.mu.Unlock()
	if out && last {
		s.Lose(d.Name, err)
	}
	return err
}

func (s *Scheduler) leftOut(d *device, err error) {
	s.metrics.out.WithLabelValues(d.Name).Set(1)
	s.options.Log.Error("a device has failed again and again: it is left out", "device", d.Name, "error", err)
}

// shrink keeps later batches to half the cost that the device had no memory
// for, until runs go well for a while.
func (s *Scheduler) shrink(b *batch, items []*item) {
	cost := costOf(items)
	s.metrics.memory.WithLabelValues(b.line.ref, b.device.Name).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if cost > 0 {
		b.line.maxCost = min(b.line.maxCost, cost/2)
		b.line.calm = 0
	}
}

// calmRuns at the greatest cost are tried before a greater one.
const calmRuns = 64

// learn takes in that a run went well.
func (s *Scheduler) learn(b *batch, items []*item, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := b.line
	b.done += len(items)
	b.device.faults = 0
	b.device.worked[q.model.SHA256] = true
	q.good = items[0]
	q.paced(burden(items), took)
	if cost := costOf(items); q.maxCost < q.mostCost() && cost > q.maxCost/2 {
		if q.calm++; q.calm >= calmRuns {
			q.maxCost, q.calm = min(q.mostCost(), q.maxCost*1.25), 0
		}
	}
}

func costOf(items []*item) float64 {
	cost := 0.0
	for _, it := range items {
		cost += it.cost
	}
	return cost
}

// use is how much of a device's memory is in use, for the difference between
// two.
type use struct {
	bytes int64
	named bool // they are this process's: the driver says so
}

// until is the difference, which is not less than nothing: where it is, another
// gave memory back.
func (u use) until(later use) use {
	return use{max(0, later.bytes-u.bytes), u.named && later.named}
}

// usedBy is what a device's readings say of our memory there; ok is false where the device does not tell, or a
// difference means nothing: under more than one lease, and on the CPU, whose
// memory is used by all that the process and the machine do.
func (s *Scheduler) usedBy(ctx context.Context, d *device) (u use, ok bool) {
	if d.Read == nil || d.leases() != 1 || d.ledger.common != nil {
		return use{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	r, err := d.Read(ctx)
	if err != nil {
		return use{}, false // the monitor tells of it
	}
	return use{cmp.Or(r.OwnBytes, r.UsedBytes), r.OwnBytes > 0}, true
}

// raiseRun raises the model's profile when a run, larger than any before it, has
// made the arena grow beyond what it said.
func (s *Scheduler) raiseRun(b *batch, grew use) {
	s.mu.Lock()
	raised := s.growth(b, grew.bytes)
	s.mu.Unlock()
	s.keep(raised, grew)
}

// growth raises account and profile by what a run has made the arena grow, and
// gives the profile; nil: it was not raised. The caller holds s.mu.
func (s *Scheduler) growth(b *batch, grew int64) *Profile {
	d, r := b.device, b.resident
	_, said := r.account.Bytes()
	if r.grown == 0 && grew <= said+firstRunBytes {
		grew = min(grew, said)
	}
	r.grown = b.cost
	r.seen += grew
	if r.seen <= said {
		return nil
	}
	r.account.Raise(0, r.seen-said)
	return s.raised(d, r.model, func(p *Profile) { p.Raise(b.cost, r.seen) }, "a run", r.seen, said)
}

// firstRunBytes are for what libraries set up with the first run of a model, and
// no later one takes.
const firstRunBytes = 64 << 20

// raiseWeights does the same for a model that was opened. The caller holds s.mu.
func (s *Scheduler) raiseWeights(d *device, r *resident, grew int64) *Profile {
	said, _ := r.account.Bytes()
	if grew <= said {
		return nil
	}
	r.account.Raise(grew-said, 0)
	return s.raised(d, r.model, func(p *Profile) { p.WeightsBytes = grew }, "its weights", grew, said)
}

func (s *Scheduler) raised(d *device, m *models.Model, raise func(*Profile), what string, saw, said int64) *Profile {
	p := *s.profile(d, m)
	raise(&p)
	d.profiles[m.SHA256] = &p
	s.options.Log.Warn("a model takes more of a device than its profile says, which is raised",
		"model", m.Manifest.Ref(), "device", d.Name, "what", what, "saw_bytes", saw, "said_bytes", said)
	return &p
}

// keep writes a profile down that was raised, unless it is nil, guessed, or
// another process's beginning may have raised it: the next start is to know
// better. The caller does not hold s.mu: a disk may be slow.
func (s *Scheduler) keep(p *Profile, grew use) {
	if p == nil || !p.Measured() || !grew.named || s.options.Profiles == nil {
		return
	}
	if err := s.options.Profiles.Put(*p); err != nil {
		s.options.Log.Warn("the profile is not kept", "error", err)
	}
}

func (s *Scheduler) answer(b *batch, items []*item, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		s.settle(b, it, len(items), err)
	}
}

// settle answers one item and counts it. The caller holds s.mu.
func (s *Scheduler) settle(b *batch, it *item, ranWith int, err error) {
	switch {
	case it.withdrawn:
		s.metrics.items.WithLabelValues(b.line.ref, outcomeCancelled).Inc()
	case err != nil:
		s.metrics.items.WithLabelValues(b.line.ref, outcomeFailed).Inc()
	default:
		b.line.of(it).done.Inc()
	}
	it.answer(ranWith, err)
}

// PanicError is what a runner's panic becomes.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

func protect(ctx context.Context, run func(context.Context, models.Sessions, []*item) error, sessions models.Sessions, items []*item) (err error) {
	defer recovered(&err)
	return run(ctx, sessions, items)
}

func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
