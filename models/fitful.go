package models

import (
	"context"
	"fmt"
)

// fitfulFeed fills a Refiller's places, and has one more item now and then,
// while others run, as a queue that several episodes fill.
type fitfulFeed[In, Out any] struct {
	places int
	items  []In
	order  []int // indices of items, in the order in which they are given

	given   int
	asked   int
	under   map[int]bool // given and not delivered, by turn
	outputs map[int]Out  // by turn
	joined  int          // given after a delivery, while others were under way
	misused error
}

// newFitfulFeed gives each place to two items, so that every item stands beside
// others, and follows others, than in its batches.
func newFitfulFeed[In, Out any](places int, items []In, members []int) *fitfulFeed[In, Out] {
	f := &fitfulFeed[In, Out]{places: places, items: items, under: map[int]bool{}, outputs: map[int]Out{}}
	for i := range 2 * places {
		f.order = append(f.order, members[(i+i/len(members))%len(members)])
	}
	return f
}

// Take fills the places at first; then it gives one item, and every second
// time none while others are under way.
func (f *fitfulFeed[In, Out]) Take(n int) []In {
	n = min(n, f.places-len(f.under), len(f.order)-f.given)
	if len(f.outputs) > 0 {
		f.asked++
		if n = min(n, 1); len(f.under) > 0 && f.asked%2 == 0 {
			n = 0
		}
	}
	var taken []In
	for range n {
		if len(f.outputs) > 0 && len(f.under) > 0 {
			f.joined++
		}
		taken = append(taken, f.items[f.order[f.given]])
		f.under[f.given] = true
		f.given++
	}
	return taken
}

func (f *fitfulFeed[In, Out]) Deliver(i int, out Out) {
	if !f.under[i] {
		f.misused = fmt.Errorf("the runner delivers item %d, which it has not taken or has delivered already", i)
		return
	}
	delete(f.under, i)
	f.outputs[i] = out
}

// drain calls Refill until all items are done. The numbers that a Refiller
// knows them by begin at 0 in each call.
func (f *fitfulFeed[In, Out]) drain(ctx context.Context, r Refiller[In, Out], sessions Sessions) error {
	for f.given < len(f.order) {
		first := f.given
		err := r.Refill(ctx, sessions, offsetFeed[In, Out]{f, first})
		switch {
		case err != nil:
			return err
		case f.misused != nil:
			return f.misused
		case len(f.under) > 0:
			return fmt.Errorf("the runner ended, and %d of the items that it took are not delivered", len(f.under))
		case f.given == first:
			return fmt.Errorf("the runner ended, and took none of the %d items that wait", len(f.order)-first)
		}
	}
	return nil
}

// offsetFeed numbers the items of one Refill from 0.
type offsetFeed[In, Out any] struct {
	*fitfulFeed[In, Out]
	first int
}

func (f offsetFeed[In, Out]) Deliver(i int, out Out) { f.fitfulFeed.Deliver(f.first+i, out) }
