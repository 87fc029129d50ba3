package gpu

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// line is one model's queue without its types.
type line struct {
	model *models.Model
	ref   string
	run   func(context.Context, models.Sessions, []*item) error
	// refill runs a batch that takes further items while it runs; nil: the
	// runner cannot.
	refill func(context.Context, models.Sessions, *feed) error

	live, backlog chan struct{} // one element for each item that waits

	// Guarded by Scheduler.mu.
	lanes   map[int]*lane // by bucket; none is empty
	maxCost float64       // the manifest's, or less after the device ran out of memory
	stats   Stats
	slowest time.Duration // that a run took for each unit of burden
}

func newLine(m *models.Model, run func(context.Context, models.Sessions, []*item) error, places int) *line {
	maxCost := m.Manifest.Batch.MaxCost
	if maxCost <= 0 {
		maxCost = math.Inf(1)
	}
	return &line{
		model: m, ref: m.Manifest.Ref(), run: run,
		live: make(chan struct{}, places), backlog: make(chan struct{}, places),
		lanes: map[int]*lane{}, maxCost: maxCost,
		stats: Stats{Model: m.Manifest.Ref()},
	}
}

func (q *line) places(it *item) chan struct{} {
	if it.backlog {
		return q.backlog
	}
	return q.live
}

func (q *line) add(it *item) {
	l := q.lanes[it.bucket]
	if l == nil {
		l = &lane{line: q}
		q.lanes[it.bucket] = l
	}
	it.lane = l
	l.cost += it.cost
	if it.backlog {
		l.backlog = append(l.backlog, it)
	} else {
		l.live = append(l.live, it)
	}
}

// item is one Do's item without its type. Fields below done are guarded by
// Scheduler.mu until done is closed.
type item struct {
	payload any
	cost    float64
	bucket  int
	backlog bool
	came    time.Time
	done    chan struct{} // closed by answer

	lane      *lane // nil: not in a queue
	batch     *batch
	began     time.Time
	withdrawn bool
	ranWith   int // items in the run that gave the answer
	ended     time.Time
	err       error
}

// answer is called exactly once for each item.
func (it *item) answer(ranWith int, err error) {
	it.ranWith, it.err, it.ended = ranWith, err, time.Now()
	close(it.done)
}

func (it *item) priority() string {
	if it.backlog {
		return "backlog"
	}
	return "live"
}

// lane holds a model's waiting items of one bucket, which may share a batch.
type lane struct {
	line          *line
	live, backlog []*item // in the order in which they came
	cost          float64 // of all
}

// oldest is when the item that has waited longest came.
func (l *lane) oldest() time.Time {
	if len(l.live) == 0 || len(l.backlog) > 0 && l.backlog[0].came.Before(l.live[0].came) {
		return l.backlog[0].came
	}
	return l.live[0].came
}

// full tells whether there is a whole batch: waiting longer gains nothing.
func (l *lane) full() bool {
	return len(l.live)+len(l.backlog) >= l.line.model.Manifest.Batch.MaxItems || l.cost >= l.line.maxCost
}

// remove takes an item that waits out of its queue.
func (l *lane) remove(it *item) {
	same := func(other *item) bool { return other == it }
	l.live = slices.DeleteFunc(l.live, same)
	l.backlog = slices.DeleteFunc(l.backlog, same)
	l.left(it)
}

// left does the accounts for an item that is in neither list any more.
func (l *lane) left(it *item) {
	it.lane = nil
	l.cost -= it.cost
	<-l.line.places(it)
	if len(l.live)+len(l.backlog) == 0 {
		delete(l.line.lanes, it.bucket)
	}
}

// batch is a set of items that run together under one lease.
type batch struct {
	line   *line
	items  []*item
	device *device
	cancel context.CancelCauseFunc
}

// cut takes the next batch off the lane: as many items as size and cost allow,
// in order, live before backlog. With backlogFirst the backlog's oldest item is
// the first. One item may cost more than a batch should: it runs alone.
func (l *lane) cut(backlogFirst bool) *batch {
	b := &batch{line: l.line}
	cost := 0.0
	take := func(items []*item, most int) []*item {
		for len(items) > 0 && most > 0 && len(b.items) < l.line.model.Manifest.Batch.MaxItems {
			it := items[0]
			if len(b.items) > 0 && cost+it.cost > l.line.maxCost {
				break
			}
			b.items = append(b.items, it)
			cost += it.cost
			items, most = items[1:], most-1
		}
		return items
	}
	if backlogFirst {
		l.backlog = take(l.backlog, 1)
	}
	l.live = take(l.live, math.MaxInt)
	if len(l.live) == 0 {
		l.backlog = take(l.backlog, math.MaxInt)
	}
	for _, it := range b.items {
		it.batch = b
		l.left(it)
	}
	return b
}
