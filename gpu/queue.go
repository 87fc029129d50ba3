package gpu

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// Queue gives one model's items to the scheduler; it fits models.Queue. Items
// are only read, and not after Do has returned.
type Queue[In, Out any] struct {
	scheduler *Scheduler
	line      *line
	runner    models.Runner[In, Out]
}

// NewQueue makes a queue for a model and the runner that reads it. The model's
// sessions are opened on a device with the first batch there, once for all
// queues of the model.
func NewQueue[In, Out any](s *Scheduler, m *models.Model, r models.Runner[In, Out]) (*Queue[In, Out], error) {
	if m.Manifest.Batch.MaxItems < 1 {
		return nil, fmt.Errorf("gpu: model %s: batch.max_items: want 1 or more, got %d", m.Manifest.Ref(), m.Manifest.Batch.MaxItems)
	}
	run := func(ctx context.Context, sessions models.Sessions, items []*item) error {
		batch := make([]In, len(items), max(len(items), m.Manifest.Batch.MaxItems))
		for i, it := range items {
			batch[i] = it.payload.(*exchange[In, Out]).in
		}
		for m.Manifest.Batch.Fixed && len(batch) < m.Manifest.Batch.MaxItems {
			batch = append(batch, batch[len(items)-1])
		}
		out, err := r.Run(ctx, sessions, batch)
		if err != nil {
			return err
		}
		if len(out) != len(batch) {
			return fmt.Errorf("the runner gave %d outputs for %d items", len(out), len(batch))
		}
		for i, it := range items {
			it.payload.(*exchange[In, Out]).out = out[i]
		}
		return nil
	}
	l := newLine(m, s.options.QueueItems, s.metrics)
	l.run = run
	l.copy = func(it *item) *item {
		x := &exchange[In, Out]{in: it.payload.(*exchange[In, Out]).in, item: item{cost: it.cost}}
		x.payload = x
		return &x.item
	}
	if f, ok := r.(models.Refiller[In, Out]); ok && !m.Manifest.Batch.Fixed {
		l.refill = func(ctx context.Context, sessions models.Sessions, feed *feed) error {
			return f.Refill(ctx, sessions, typedFeed[In, Out]{feed})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("gpu: model %s: %w", m.Manifest.Ref(), ErrClosed)
	}
	for _, d := range s.devices {
		p := s.profile(d, m)
		d.ledger.Keep(p.WeightsBytes + p.opening())
		l.bound(p.Best())
	}
	s.lines = append(s.lines, l)
	return &Queue[In, Out]{scheduler: s, line: l, runner: r}, nil
}

// Close takes no more items; those that it has are run. When no queue of the
// model is left, the model leaves its devices: that is how a new version takes
// an old one's place, beside which it loads if both fit.
func (q *Queue[In, Out]) Close() {
	s := q.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	if !q.line.closed {
		q.line.closed = true
		close(q.line.closing)
		s.retire()
	}
}

// exchange is an item with its typed side.
type exchange[In, Out any] struct {
	item // its payload is the exchange
	in   In
	out  Out
}

// Do queues an item and waits for its answer. Errors: ctx's (the item leaves
// the queue; if its batch runs already, Do waits for the batch's end, which
// comes early when nobody else waits for it); *models.ItemError when the item
// alone makes the runner fail; models.ErrOutOfMemory when the device has no
// memory for this item alone; models.ErrDeviceLost once a device is lost to the
// process, from then on for every item; ErrNoRoom and the Runtime's errors when the
// model cannot be opened; ErrTooLarge when it never can; ErrClosed.
func (q *Queue[In, Out]) Do(ctx context.Context, in In) (models.Answer[Out], error) {
	var none models.Answer[Out]
	began := time.Now()
	if err := ctx.Err(); err != nil {
		return none, q.failed(err)
	}
	x := &exchange[In, Out]{in: in, item: item{backlog: models.IsBacklog(ctx), came: began, done: make(chan struct{})}}
	x.payload = x
	it := &x.item
	if err := q.measure(it, in); err != nil {
		return none, &models.ItemError{Model: q.line.ref, Err: err}
	}
	if err := q.scheduler.put(ctx, q.line, it); err != nil {
		return none, q.failed(err)
	}
	select {
	case <-it.done:
	case <-ctx.Done():
		q.scheduler.withdraw(it)
		<-it.done
		return none, q.failed(ctx.Err())
	}
	if it.err != nil {
		return none, q.failed(it.err)
	}
	return models.Answer[Out]{
		Value:  x.out,
		Device: it.batch.device.Name,
		Batch:  it.ranWith,
		Waited: it.began.Sub(began),
		Ran:    it.ended.Sub(it.began),
	}, nil
}

func (q *Queue[In, Out]) failed(err error) error {
	if _, ok := err.(*models.ItemError); ok {
		return err
	}
	return fmt.Errorf("gpu: model %s: %w", q.line.ref, err)
}

func (q *Queue[In, Out]) measure(it *item, in In) (err error) {
	defer recovered(&err)
	it.cost, it.bucket = q.runner.Cost(in), q.runner.Bucket(in)
	it.length = it.cost
	if p, ok := q.runner.(models.Padder[In]); ok {
		it.length = min(it.cost, p.Length(in))
	}
	if math.IsNaN(it.cost) || math.IsInf(it.cost, 0) || it.cost < 0 {
		return fmt.Errorf("the item's cost is %v", it.cost)
	}
	return nil
}

// put waits for a place and queues the item.
func (s *Scheduler) put(ctx context.Context, q *line, it *item) error {
	side := q.of(it)
	select {
	case side.places <- struct{}{}: // usually there is one, and to wait for four things at once takes long
	default:
		select {
		case side.places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return ErrClosed
		case <-q.closing:
			return ErrClosed
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || q.closed || s.lost != nil {
		<-side.places
		return cmp.Or(s.lost, ErrClosed)
	}
	q.add(it)
	s.queued++
	side.queued.Inc()
	s.dispatch()
	return nil
}

// withdraw takes back an item whose context has ended. A batch that nobody
// waits for any more is stopped.
func (s *Scheduler) withdraw(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.batch == nil {
		if it.lane != nil {
			s.drop(it, context.Canceled, outcomeCancelled)
			s.dispatch() // who waited behind it may go now
		}
		return
	}
	it.withdrawn = true
	if !slices.ContainsFunc(it.batch.items, func(it *item) bool { return !it.withdrawn }) {
		it.batch.cancel(context.Canceled)
	}
}

// drop answers an item that waits, without running it. The caller holds s.mu.
func (s *Scheduler) drop(it *item, err error, outcome string) {
	q := it.lane.line
	it.lane.remove(it)
	it.answer(0, err)
	s.queued--
	q.of(it).queued.Dec()
	s.metrics.items.WithLabelValues(q.ref, outcome).Inc()
	if q.closed && len(q.lanes) == 0 {
		s.retire()
	}
}
