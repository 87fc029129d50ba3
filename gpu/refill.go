package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// refill runs a batch with a runner that can give a finished item's place to
// another: further items of the same queue and bucket join it under its lease.
// What the runner fails to deliver runs again as an ordinary batch, which finds
// the item at fault.
func (s *Scheduler) refill(ctx context.Context, b *batch, sessions models.Sessions) {
	clocked := newClock(sessions)
	began := time.Now()
	f := &feed{scheduler: s, batch: b, ctx: ctx, bucket: b.items[0].bucket, waiting: b.items, under: map[int]*item{}}
	watched, dog := watchdog(ctx, firstPatience)
	f.dog = dog
	err := protectRefill(watched, b.line.refill, clocked.sessions, f)
	err = dog.called(watched, err)
	took := time.Since(began)
	s.record(b, f.all, took, clocked.inside())
	s.mu.Lock()
	left := slices.Clone(b.items)
	if err == nil && len(f.all) > 0 {
		b.line.paced(burden(f.all), took)
	}
	s.mu.Unlock()
	switch {
	case len(left) == 0:
	case ctx.Err() != nil || errors.Is(err, models.ErrDeviceLost):
		s.giveUp(ctx, b, left, err)
	default:
		s.run(ctx, b, sessions, left)
	}
}

func protectRefill(ctx context.Context, refill func(context.Context, models.Sessions, *feed) error, sessions models.Sessions, f *feed) (err error) {
	defer recovered(&err)
	return refill(ctx, sessions, f)
}

// feed gives a running batch the items that it was cut with, then those that
// wait, and takes their outputs. batch.items are those not yet answered.
type feed struct {
	scheduler *Scheduler
	batch     *batch
	ctx       context.Context // of the run, which the feed does not outlive
	dog       *dog            // that each delivery calms
	bucket    int
	waiting   []*item       // of the cut batch, not yet taken
	under     map[int]*item // taken and not delivered
	all       []*item       // taken
	liveInRow int           // live items taken from the queue since the backlog's last one, while it waited
}

// take gives up to n items without waiting.
func (f *feed) take(n int) []*item {
	s := f.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, f.batch.maxItems-len(f.under))
	var items []*item
	for len(items) < n {
		it := f.next()
		if it == nil {
			break
		}
		f.under[len(f.all)] = it
		f.all = append(f.all, it)
		items = append(items, it)
	}
	return items
}

// next takes one item, or none. The caller holds Scheduler.mu.
func (f *feed) next() *item {
	if len(f.waiting) > 0 {
		it := f.waiting[0]
		f.waiting = f.waiting[1:]
		return it
	}
	l := f.batch.line.lanes[f.bucket]
	if l == nil || f.ctx.Err() != nil || f.batch.resident.leaving || f.scheduler.othersWait(l) {
		return nil
	}
	share := (f.scheduler.options.BacklogShare - 1) * f.batch.line.maxItems
	it := l.head(f.liveInRow >= share)
	cost := it.cost
	for _, other := range f.under {
		cost += other.cost
	}
	if cost > f.batch.maxCost { // for which its memory was promised
		return nil
	}
	f.batch.cost = max(f.batch.cost, cost)
	switch {
	case it.backlog:
		f.liveInRow = 0
	case l.backlog.n > 0:
		f.liveInRow++
	}
	l.remove(it)
	f.scheduler.queued--
	f.batch.items = append(f.batch.items, it)
	f.scheduler.begin(f.batch, it)
	return it
}

// deliver answers item i, whose output is in place.
func (f *feed) deliver(i int, put func(*item)) {
	f.scheduler.mu.Lock()
	defer f.scheduler.mu.Unlock()
	it, ok := f.under[i]
	if !ok {
		panic(fmt.Sprintf("item %d is delivered, and it was not taken or is delivered already", i))
	}
	put(it)
	f.dog.calm()
	f.batch.done++
	f.batch.device.faults = 0
	f.batch.device.worked[f.batch.line.model.SHA256] = true
	f.batch.line.good = it
	beside := len(f.batch.items)
	delete(f.under, i)
	f.batch.items = slices.DeleteFunc(slices.Clone(f.batch.items), func(other *item) bool { return other == it })
	f.scheduler.settle(f.batch, it, beside, nil)
}

// othersWait tells whether a batch of another model or bucket is ready to run:
// then a running one takes no more items, and its lease comes free. The caller
// holds s.mu.
func (s *Scheduler) othersWait(own *lane) bool {
	now := time.Now()
	for _, q := range s.lines {
		for _, l := range q.lanes {
			if l != own && (l.full() || !now.Before(s.dueAt(l))) {
				return true
			}
		}
	}
	return false
}

// typedFeed is a feed with the queue's types; it fits models.Feed.
type typedFeed[In, Out any] struct{ feed *feed }

func (f typedFeed[In, Out]) Take(n int) []In {
	items := f.feed.take(n)
	in := make([]In, len(items))
	for i, it := range items {
		in[i] = it.payload.(*exchange[In, Out]).in
	}
	return in
}

func (f typedFeed[In, Out]) Deliver(i int, out Out) {
	f.feed.deliver(i, func(it *item) { it.payload.(*exchange[In, Out]).out = out })
}
