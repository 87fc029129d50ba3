package gpu

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// execute runs a batch under its lease and answers each of its items.
func (s *Scheduler) execute(ctx context.Context, b *batch) {
	defer s.finish(b)
	s.mu.Lock()
	for _, it := range b.items {
		s.begin(b, it)
	}
	s.mu.Unlock()
	sessions, err := s.loads.open(ctx, s, b.line.model, b.device)
	if err != nil {
		s.giveUp(ctx, b, b.items, err)
		return
	}
	if b.line.refill != nil {
		s.refill(ctx, b, sessions)
		return
	}
	s.run(ctx, b, sessions, b.items)
}

// begin marks an item as running in a batch. The caller holds s.mu.
func (s *Scheduler) begin(b *batch, it *item) {
	it.batch, it.began = b, time.Now()
	s.metrics.queued.WithLabelValues(b.line.ref, it.priority()).Dec()
	s.metrics.waited.WithLabelValues(b.line.ref, it.priority()).Observe(it.began.Sub(it.came).Seconds())
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
	s.record(b, len(items), took, clocked.inside())
	switch {
	case err == nil:
		s.pace(b.line, items, took)
		s.answer(b, items, nil)
	case ctx.Err() != nil || errors.Is(err, models.ErrDeviceLost):
		s.giveUp(ctx, b, items, err)
	case len(items) > 1:
		reason := splitFault
		switch {
		case errors.Is(err, models.ErrOutOfMemory):
			reason = splitMemory
			s.shrink(b.line, items)
		case errors.Is(err, ErrStuck):
			reason = splitStuck
		}
		s.metrics.splits.WithLabelValues(b.line.ref, reason).Inc()
		half := len(items) / 2
		s.run(ctx, b, sessions, items[:half])
		s.run(ctx, b, sessions, items[half:])
	case errors.Is(err, models.ErrOutOfMemory):
		s.answer(b, items, err)
	default:
		s.answer(b, items, &models.ItemError{Model: b.line.ref, Err: err})
	}
}

// giveUp answers items of a batch that was stopped, or whose device or model
// cannot be used.
func (s *Scheduler) giveUp(ctx context.Context, b *batch, items []*item, err error) {
	if errors.Is(err, models.ErrDeviceLost) {
		s.lose(b.device, err)
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	s.answer(b, items, err)
}

// shrink keeps later batches to half the cost that the device had no memory
// for.
func (s *Scheduler) shrink(q *line, items []*item) {
	cost := 0.0
	for _, it := range items {
		cost += it.cost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cost > 0 {
		q.maxCost = min(q.maxCost, cost/2)
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
	outcome := outcomeDone
	switch {
	case it.withdrawn:
		outcome = outcomeCancelled
	case err != nil:
		outcome = outcomeFailed
	}
	s.metrics.items.WithLabelValues(b.line.ref, outcome).Inc()
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
