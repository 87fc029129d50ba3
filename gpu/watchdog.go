package gpu

import (
	"context"
	"fmt"
	"time"
)

// How long a run may take. It is stopped only where something hangs: no slow or
// busy machine makes a run take thirty times as long as any before it.
const (
	firstPatience = 10 * time.Minute // with a model that has not run yet
	leastPatience = time.Minute
	patience      = 30 // times what the slowest run took, for its load
)

// dog cancels a run that takes too long.
type dog struct {
	timer *time.Timer
	limit time.Duration
}

// watchdog gives a context that ends with ErrStuck when limit has passed since
// the start, or since calm was called.
func watchdog(ctx context.Context, limit time.Duration) (context.Context, *dog) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &dog{
		timer: time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: stopped after %v", ErrStuck, limit)) }),
		limit: limit,
	}
}

// watch is a watchdog over a run of items.
func (s *Scheduler) watch(ctx context.Context, q *line, items []*item) (context.Context, *dog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := firstPatience
	if q.slowest > 0 {
		limit = max(leastPatience, time.Duration(patience*burden(items)*float64(q.slowest)))
	}
	return watchdog(ctx, limit)
}

func (d *dog) calm() { d.timer.Reset(d.limit) }

// called ends the watch and gives the run's error, which is the dog's when it
// stopped the run.
func (d *dog) called(ctx context.Context, err error) error {
	d.timer.Stop()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// paced learns how long a run took. The caller holds Scheduler.mu.
func (q *line) paced(burden float64, took time.Duration) {
	pace := float64(took) / burden
	q.slowest = max(q.slowest, time.Duration(pace))
	if q.pace == 0 {
		q.pace = pace
	}
	q.pace += (pace - q.pace) / 16
}

// burden is what a run's duration grows with: its items' cost, where they have
// one.
func burden(items []*item) float64 { return max(costOf(items), float64(len(items))) }
