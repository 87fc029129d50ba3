package models

import (
	"context"
	"sync"
)

// Stream runs items through a queue while they are still being made: windows
// of a tape that is still being decoded. Add may be called until Wait; both
// from one goroutine.
type Stream[In, Out any] struct {
	ctx    context.Context // lives from NewStream to Wait, as an errgroup's does
	cancel context.CancelFunc
	q      Queue[In, Out]
	slots  chan struct{}
	wg     sync.WaitGroup

	mu    sync.Mutex
	out   []Out
	usage Usage
	err   error
}

// NewStream starts a stream with at most inFlight items between Add and their
// answer.
func NewStream[In, Out any](ctx context.Context, q Queue[In, Out], inFlight int) *Stream[In, Out] {
	ctx, cancel := context.WithCancel(ctx)
	return &Stream[In, Out]{ctx: ctx, cancel: cancel, q: q, slots: make(chan struct{}, max(1, inFlight))}
}

// Add gives one item to the queue. It waits while inFlight items are under
// way, and reports false when the stream has failed: stop making items and
// call Wait.
func (s *Stream[In, Out]) Add(item In) bool {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return false
	}
	s.mu.Lock()
	i := len(s.out)
	var zero Out
	s.out = append(s.out, zero)
	s.mu.Unlock()
	s.wg.Go(func() {
		defer func() { <-s.slots }()
		a, err := s.q.Do(s.ctx, item)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			if s.err == nil {
				s.err = err
				s.cancel()
			}
			return
		}
		s.out[i] = a.Value
		s.usage.Add(a.Usage())
	})
	return true
}

// Wait returns the outputs in the order of Add, or the first error.
func (s *Stream[In, Out]) Wait() ([]Out, Usage, error) {
	s.wg.Wait()
	err := s.err
	if err == nil {
		err = s.ctx.Err()
	}
	s.cancel()
	if err != nil {
		return nil, s.usage, err
	}
	return s.out, s.usage, nil
}
