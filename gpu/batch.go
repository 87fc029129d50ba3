package gpu

import (
	"context"
	"math"
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
	// copy makes an item of another's input, for which nobody waits.
	copy func(*item) *item

	live, backlog priority
	closing       chan struct{} // closed when the queue takes no more

	// Guarded by Scheduler.mu.
	lanes    map[int]*lane // by bucket; none is empty
	maxItems int           // the manifest's, or less where more gains nothing
	bestCost float64       // from which a larger batch gains nothing; 0: not known
	maxCost  float64       // mostCost, or less after the device ran out of memory
	calm     int           // runs at maxCost since it changed
	good     *item         // the last that ran well
	stats    Stats
	slowest  time.Duration // that a run took for each unit of burden
	pace     float64       // nanoseconds that a unit of burden takes, on average of late
	runs     int           // batches that go on
	closed   bool
	warned   bool // that it has no room
}

// priority is a line's side for live items, or for the backlog's.
type priority struct {
	places chan struct{} // one element for each item that waits
	itemMetrics
}

func newLine(m *models.Model, places int, counted *metrics) *line {
	side := func(name string) priority {
		return priority{make(chan struct{}, places), counted.ofItems(m.Manifest.Ref(), name)}
	}
	q := &line{
		model: m, ref: m.Manifest.Ref(),
		live: side("live"), backlog: side("backlog"), closing: make(chan struct{}),
		lanes: map[int]*lane{}, maxItems: m.Manifest.Batch.MaxItems,
		stats: Stats{Model: m.Manifest.Ref()},
	}
	q.maxCost = q.mostCost()
	return q
}

// mostCost is what a batch may cost while memory is no matter.
func (q *line) mostCost() float64 {
	most := math.Inf(1)
	if q.model.Manifest.Batch.MaxCost > 0 {
		most = q.model.Manifest.Batch.MaxCost
	}
	if q.bestCost > 0 {
		most = min(most, q.bestCost)
	}
	return most
}

// bound keeps batches to the size from which they gain nothing.
func (q *line) bound(best Point) {
	switch {
	case best.Items == 0 || q.model.Manifest.Batch.Fixed:
	case best.Cost > 0:
		q.bestCost = max(q.bestCost, best.Cost)
		q.maxCost = q.mostCost()
	default:
		q.maxItems = min(q.maxItems, best.Items)
	}
}

// of is the side that an item is on.
func (q *line) of(it *item) *priority {
	if it.backlog {
		return &q.backlog
	}
	return &q.live
}

// need is what a run takes on a device with a profile, in bytes.
func (q *line) need(p *Profile, items int, cost float64) int64 {
	if q.model.Manifest.Batch.Fixed && items < q.model.Manifest.Batch.MaxItems {
		cost *= float64(q.model.Manifest.Batch.MaxItems) / float64(items)
		items = q.model.Manifest.Batch.MaxItems
	}
	return p.Need(items, cost)
}

func (q *line) add(it *item) {
	l := q.lanes[it.bucket]
	if l == nil {
		l = &lane{line: q, bucket: it.bucket}
		q.lanes[it.bucket] = l
	}
	it.lane = l
	l.cost += it.cost
	l.list(it).push(it)
}

// item is one Do's item without its type. Fields below done are guarded by
// Scheduler.mu until done is closed.
type item struct {
	payload any
	cost    float64
	length  float64 // of cost, without padding
	bucket  int
	backlog bool
	came    time.Time
	done    chan struct{} // closed by answer

	lane           *lane // nil: not in a queue
	before, behind *item // in the lane's list
	batch          *batch
	began          time.Time
	withdrawn      bool
	ranWith        int // items in the run that gave the answer
	ended          time.Time
	err            error
}

// answer is called exactly once for each item.
func (it *item) answer(ranWith int, err error) {
	it.ranWith, it.err, it.ended = ranWith, err, time.Now()
	close(it.done)
}

// list holds items in the order in which they came.
type list struct {
	first, last *item
	n           int
}

func (l *list) push(it *item) {
	it.before, it.behind = l.last, nil
	if l.last == nil {
		l.first = it
	} else {
		l.last.behind = it
	}
	l.last = it
	l.n++
}

func (l *list) remove(it *item) {
	if it.before == nil {
		l.first = it.behind
	} else {
		it.before.behind = it.behind
	}
	if it.behind == nil {
		l.last = it.before
	} else {
		it.behind.before = it.before
	}
	it.before, it.behind = nil, nil
	l.n--
}

// lane holds a model's waiting items of one bucket, which may share a batch.
type lane struct {
	line          *line
	bucket        int
	live, backlog list
	cost          float64   // of all
	cramped       time.Time // since when it has found no room, whatever goes; zero: it has
}

func (l *lane) list(it *item) *list {
	if it.backlog {
		return &l.backlog
	}
	return &l.live
}

func (l *lane) waiting() int { return l.live.n + l.backlog.n }

// burden is what the duration of running all that waits grows with.
func (l *lane) burden() float64 { return max(l.cost, float64(l.waiting())) }

// head is the item that the next batch is cut for: the oldest live one or, where
// there is none or it is the backlog's turn, the backlog's.
func (l *lane) head(turn bool) *item {
	if l.live.first != nil && !(turn && l.backlog.first != nil) {
		return l.live.first
	}
	return l.backlog.first
}

// whole is how many items a batch has that memory does not bound.
func (l *lane) whole() int { return min(l.waiting(), l.line.maxItems) }

// wholeCost is such a batch's cost, about.
func (l *lane) wholeCost() float64 {
	return min(l.line.maxCost, l.cost*float64(l.whole())/float64(l.waiting()))
}

// oldest is when the item that has waited longest came.
func (l *lane) oldest() time.Time {
	live, backlog := l.live.first, l.backlog.first
	if live == nil || backlog != nil && backlog.came.Before(live.came) {
		return backlog.came
	}
	return live.came
}

// full tells whether there is a whole batch: waiting longer gains nothing.
func (l *lane) full() bool {
	return l.waiting() >= l.line.maxItems || l.cost >= l.line.maxCost
}

// remove takes an item that waits out of its queue.
func (l *lane) remove(it *item) {
	l.list(it).remove(it)
	it.lane = nil
	l.cost -= it.cost
	<-l.line.of(it).places
	if l.waiting() == 0 {
		delete(l.line.lanes, it.bucket)
	}
}

// batch is a set of items that run together under one lease.
type batch struct {
	line     *line
	items    []*item
	cost     float64
	device   *device
	resident *resident
	victims  []*resident // that are closed before it runs
	bytes    int64       // of activations that it was promised
	release  func(begun bool)
	begun    bool // the runner was called
	ctx      context.Context
	cancel   context.CancelCauseFunc

	// A batch under way may take more, up to these.
	maxItems int
	maxCost  float64

	done   int       // items that ran well
	failed []failure // items at fault, so it seems: answered when the batch is done
}

type failure struct {
	item *item
	err  error
}

// takes tells whether an item may join.
func (b *batch) takes(items int, cost float64, it *item, p *Profile, room int64) bool {
	return items == 0 ||
		items < b.maxItems && cost+it.cost <= b.maxCost && b.line.need(p, items+1, cost+it.cost) <= room
}

// cut takes the next batch off the lane: as many items as size, cost and room
// (bytes) allow, in order, live before backlog. With backlogFirst the backlog's
// oldest item is the first; without fill none of it joins live items. One item may cost more than a batch should: it runs
// alone.
func (l *lane) cut(backlogFirst, fill bool, p *Profile, room int64) *batch {
	b := &batch{line: l.line, maxItems: l.line.maxItems, maxCost: l.line.maxCost}
	take := func(from *list, most int) bool {
		for ; from.first != nil && most > 0; most-- {
			it := from.first
			if !b.takes(len(b.items), b.cost, it, p, room) {
				return false
			}
			l.remove(it)
			it.batch = b
			b.items = append(b.items, it)
			b.cost += it.cost
		}
		return true
	}
	if backlogFirst {
		take(&l.backlog, 1)
	}
	if take(&l.live, math.MaxInt) && (fill || len(b.items) == 0 || b.items[0].backlog) {
		take(&l.backlog, math.MaxInt)
	}
	if l.line.refill != nil && room < math.MaxInt64 {
		b.reserve(p, room)
		b.bytes = l.line.need(p, b.maxItems, b.maxCost)
	} else {
		b.bytes = l.line.need(p, len(b.items), b.cost)
	}
	return b
}

// reserve bounds a batch that takes more while it runs by what room allows for
// more items of the first one's size.
func (b *batch) reserve(p *Profile, room int64) {
	each := b.items[0].cost
	n, cost := len(b.items), b.cost
	for n < b.maxItems && cost+each <= b.maxCost && b.line.need(p, n+1, cost+each) <= room {
		n, cost = n+1, cost+each
	}
	b.maxItems, b.maxCost = n, cost
}
