package models

import "context"

// Refiller is a Runner whose items end at different times (a recogniser that
// writes token by token) and that can give the place of one that is done to
// another, without waiting for the rest of the batch. The scheduler then feeds
// it from the queue under the same lease.
type Refiller[In, Out any] interface {
	Runner[In, Out]
	// Refill runs items until feed has none left and all that it took are
	// done. An error is about the items that were not delivered.
	Refill(ctx context.Context, sessions Sessions, feed Feed[In, Out]) error
}

// Feed is where a Refiller's items come from and where their outputs go. A
// Refiller calls it from one goroutine.
type Feed[In, Out any] interface {
	// Take gives up to n items, none when there are none now; it never waits.
	// Items are numbered from 0 in the order in which Take gives them.
	Take(n int) []In
	// Deliver gives item i its output, once.
	Deliver(i int, out Out)
}

// RunByRefill is the Run of a Refiller: the batch is all that there is to
// take, and its outputs come back in order.
func RunByRefill[In, Out any](ctx context.Context, r Refiller[In, Out], sessions Sessions, batch []In) ([]Out, error) {
	f := &fixedFeed[In, Out]{waiting: batch, out: make([]Out, len(batch))}
	if err := r.Refill(ctx, sessions, f); err != nil {
		return nil, err
	}
	return f.out, nil
}

type fixedFeed[In, Out any] struct {
	waiting []In
	out     []Out
}

func (f *fixedFeed[In, Out]) Take(n int) []In {
	n = min(n, len(f.waiting))
	taken := f.waiting[:n]
	f.waiting = f.waiting[n:]
	return taken
}

func (f *fixedFeed[In, Out]) Deliver(i int, out Out) { f.out[i] = out }
