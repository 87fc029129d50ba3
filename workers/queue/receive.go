package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/workers"
)

// settleTimeout bounds how long acting on a verdict may take during a stop.
const settleTimeout = 30 * time.Second

// Receive implements workers.Source. Several may run at once, in one process
// or in many.
func (q *Queue) Receive(ctx context.Context, slots int, handle workers.Handler) error {
	return q.receive(ctx, backlog, slots, handle)
}

// Removals is a source of the queue's removals alone, beside the queue itself:
// with slots of its own they wait for no episode.
func (q *Queue) Removals() workers.Source { return onlyRemovals{q} }

type onlyRemovals struct{ q *Queue }

func (r onlyRemovals) Receive(ctx context.Context, slots int, handle workers.Handler) error {
	return r.q.receive(ctx, removals, slots, handle)
}

// receive receives what is in the lanes up to last.
func (q *Queue) receive(ctx context.Context, last, slots int, handle workers.Handler) error {
	var (
		running sync.WaitGroup
		free    = make(chan struct{}, slots)
		failMu  sync.Mutex
		failed  error
		stopped = make(chan struct{})
	)
	fail := func(err error) {
		failMu.Lock()
		defer failMu.Unlock()
		if failed == nil {
			close(stopped)
		}
		failed = errors.Join(failed, err)
	}
	for range slots {
		free <- struct{}{}
	}
	err := q.each(ctx, last, free, stopped, func(l *lease) {
		running.Go(func() {
			if err := q.work(context.WithoutCancel(ctx), l, handle); err != nil {
				fail(err)
			}
			free <- struct{}{}
			q.signal() // a failed event may be ready again, an empty queue may now be seen to be
		})
	})
	running.Wait()
	return errors.Join(err, failed)
}

// each starts work on every event there is, as slots are free, until ctx ends.
func (q *Queue) each(ctx context.Context, last int, free <-chan struct{}, stopped <-chan struct{}, start func(*lease)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-stopped:
			return nil
		case <-free:
		}
		l, err := q.next(ctx, last, stopped)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if l == nil {
			return nil
		}
		start(l)
	}
}

// next waits for an event; nil when receiving is over.
func (q *Queue) next(ctx context.Context, last int, stopped <-chan struct{}) (*lease, error) {
	for {
		woken := q.woken()
		// A lease that is taken while ctx ends must not be forgotten: it would
		// stay hidden until its visibility is over.
		if ctx.Err() != nil {
			return nil, nil
		}
		l, err := q.lease(context.WithoutCancel(ctx), last)
		if err != nil || l != nil {
			return l, err
		}
		at, empty, err := q.outlook(ctx, last)
		if err != nil {
			return nil, err
		}
		if empty && q.options.UntilEmpty {
			return nil, nil
		}
		wait := q.options.Poll
		if !at.IsZero() {
			wait = max(time.Millisecond, min(wait, at.Sub(q.options.Now())))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-stopped:
			timer.Stop()
			return nil, nil
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// work handles one event with its lease kept alive, and acts on the verdict.
func (q *Queue) work(ctx context.Context, l *lease, handle workers.Handler) error {
	handling, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	beating, stop := context.WithCancel(ctx)
	var heart sync.WaitGroup
	heart.Go(func() { q.beat(beating, l, func() { lost(workers.ErrLeaseLost) }) })

	verdict := handle(handling, l.delivery)
	stop()
	heart.Wait()

	settling, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	_, err := q.settle(settling, l, verdict)
	return err
}

// beat extends the lease three times per visibility until ctx ends, and calls
// lost when the lease is gone or could not be extended in time.
func (q *Queue) beat(ctx context.Context, l *lease, lost func()) {
	ticker := time.NewTicker(q.options.Visibility / 3)
	defer ticker.Stop()
	held := q.options.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		ours, err := q.extend(ctx, l)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && ours:
			held = q.options.Now()
		case err == nil, q.options.Now().Sub(held) >= q.options.Visibility:
			lost()
			return
		}
	}
}
