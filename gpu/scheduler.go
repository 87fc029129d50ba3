// Package gpu runs models on devices. Its Scheduler stands in front of all
// sessions: items of many episodes queue by model, are put together into
// batches as the device's memory allows, and each batch runs under a lease, the
// right to use one device for a runner's whole loop. Models that do not fit
// side by side take turns. The CPU is a device too, so all of it works and is
// measured on any machine.
package gpu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus"
)

// Options configures a Scheduler.
type Options struct {
	Runtime  models.Runtime
	Devices  []Device  // of one kind; none: the CPU without a bound on memory
	Profiles *Profiles // what models need; nil, or a model that is not there: it is guessed

	// MaxWait is how long the oldest item may wait for a batch to fill while
	// a lease is free. It costs a lone item that much, and gains the batches
	// of a few episodes more than it costs. 0: 5 ms.
	MaxWait time.Duration
	// QueueItems bounds the items that wait for one model, live and backlog
	// each; Do waits for a place, which holds the source back. 0: 1024.
	QueueItems int
	// BacklogShare and BacklogEvery: while live items wait all the time, the
	// backlog still has a batch when so many have begun, itself included, and so
	// much time has passed since its last. So it never starves, and live work that
	// comes and goes is not held up by it. 0: 8, and a second.
	BacklogShare int
	BacklogEvery time.Duration
	// BacklogWait is MaxWait for backlog items, which are in less of a hurry. 0:
	// 50 ms.
	BacklogWait time.Duration
	// EvictLeastRecentlyUsed changes models whenever the next batch asks for
	// another one, as a cache does, and not in phases: to compare with.
	EvictLeastRecentlyUsed bool

	Registerer prometheus.Registerer // nil: no metrics are exported
	Log        *slog.Logger          // nil: nothing is logged
}

var (
	// ErrClosed is returned by Do once the scheduler, or the queue, closes.
	ErrClosed = errors.New("the scheduler is closed")
	// ErrStuck is wrapped by the error of a run that was stopped since it took far
	// longer than others of its model.
	ErrStuck = errors.New("the run does not come to an end")
	// ErrFault is wrapped by the error of an item whose device failed what it had
	// done before: the item is not to blame, and may do well elsewhere or later.
	ErrFault = errors.New("the device fails")
)

// Scheduler batches items, leases devices and calls runners. It is safe for
// concurrent use. While nothing runs its only goroutines are those that read
// devices which can be read.
type Scheduler struct {
	options Options
	metrics *metrics
	devices []*device

	// background ends with Close, and with it what reads devices and files.
	background context.Context
	stop       context.CancelFunc
	monitors   sync.WaitGroup
	batches    sync.WaitGroup

	mu          sync.Mutex
	lines       []*line
	running     map[*batch]struct{}
	queued      int         // items that wait
	liveInARow  int         // live batches since the backlog's last one, while it waited
	lastBacklog time.Time   // when that began, or its first item came
	liveChanges int         // of models for live work, in a row, while the backlog wanted one
	timer       *time.Timer // for the next item to have waited long enough; nil: none
	fetched     map[string]bool
	closing     chan struct{} // closed when nothing more is taken
	drained     chan struct{} // closed when, besides, nothing waits or runs
	closed      bool
	lostDevice  string
	lost        error      // why no device serves any more; nil: they do
	turn        bool       // of the backlog, as next sees it
	due         [2][]*lane // scratch of next
	crowded     []crowd    // likewise
	gone        sync.Once
}

// crowd is a lane whose batch would run if another model made room.
type crowd struct {
	lane *lane
	spot spot
}

// New makes a scheduler. Close it to free its sessions.
func New(o Options) *Scheduler {
	if len(o.Devices) == 0 {
		o.Devices = []Device{{Name: "cpu"}}
	}
	o.MaxWait = cmp.Or(max(0, o.MaxWait), 5*time.Millisecond)
	o.QueueItems = cmp.Or(max(0, o.QueueItems), 1024)
	o.BacklogShare = cmp.Or(max(0, o.BacklogShare), 8)
	o.BacklogEvery = cmp.Or(max(0, o.BacklogEvery), time.Second)
	o.BacklogWait = cmp.Or(max(0, o.BacklogWait), 50*time.Millisecond)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{
		options: o,
		metrics: newMetrics(o.Registerer),
		running: map[*batch]struct{}{},
		fetched: map[string]bool{},
		closing: make(chan struct{}),
		drained: make(chan struct{}),
	}
	s.background, s.stop = context.WithCancel(context.Background())
	for _, o := range o.Devices {
		d := newDevice(o)
		d.gauges = s.metrics.ledgerOf(d.Name)
		s.devices = append(s.devices, d)
		d.gauges.show(d.ledger.Balance())
		if d.out {
			s.leftOut(d, errors.New(d.LeftOut))
		}
	}
	for _, d := range s.devices { // when the list is whole, which a monitor's dispatch goes through
		if d.Read != nil && !d.out {
			s.monitors.Go(func() { s.monitor(s.background, d) })
		}
	}
	return s
}

// dispatch starts every batch that is ready while leases are free. The caller
// holds s.mu.
func (s *Scheduler) dispatch() {
	for s.leasesFree() {
		now := time.Now()
		b, again := s.next(now)
		if b == nil {
			s.wakeAt(now, again)
			break
		}
		s.start(b)
	}
	if s.closed && s.queued == 0 && len(s.running) == 0 {
		s.gone.Do(func() { close(s.drained) })
	}
}

func (s *Scheduler) leasesFree() bool {
	return slices.ContainsFunc(s.devices, func(d *device) bool { return d.free > 0 && !d.out })
}

// start gives a batch its lease. The caller holds s.mu.
func (s *Scheduler) start(b *batch) {
	d := b.device
	d.free--
	b.resident.runs++
	b.line.runs++
	s.running[b] = struct{}{}
	s.metrics.leases.WithLabelValues(d.Name).Inc()
	d.gauges.show(d.ledger.Balance())
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	for _, it := range b.items {
		s.begin(b, it)
	}
	s.batches.Go(func() { s.execute(b) })
}

// wakeAt calls dispatch again when the oldest item has waited long enough.
func (s *Scheduler) wakeAt(now, next time.Time) {
	if next.IsZero() {
		return
	}
	if s.timer != nil {
		s.timer.Reset(next.Sub(now))
		return
	}
	s.timer = time.AfterFunc(next.Sub(now), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.dispatch()
	})
}

// finish gives the batch's lease and memory back.
func (s *Scheduler) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.cancel(nil)
	b.release(b.begun)
	delete(s.running, b)
	d, r := b.device, b.resident
	r.runs--
	b.line.runs--
	r.idle = time.Now()
	d.free++
	s.metrics.leases.WithLabelValues(d.Name).Dec()
	d.gauges.show(d.ledger.Balance())
	if b.line.closed {
		s.retire()
	}
	s.dispatch()
}

// next prepares the batch to run now, or says when to look again (zero: when
// something comes or ends). Live goes first, the oldest head first; after
// BacklogShare-1 live batches in a row, and BacklogEvery, the backlog has its turn. A batch whose
// model needs another's memory goes before them when that other's turn is over.
func (s *Scheduler) next(now time.Time) (b *batch, again time.Time) {
	again = s.collect(now)
	live, backlog := s.due[0], s.due[1]
	s.turn = len(backlog) > 0 && (len(live) == 0 || s.liveInARow >= s.options.BacklogShare-1 && now.Sub(s.lastBacklog) >= s.options.BacklogEvery)
	both := len(live) > 0 && len(backlog) > 0
	first, second := live, backlog
	if s.turn {
		first, second = backlog, live
	}
	for _, d := range s.devices {
		d.held = false
		for _, r := range d.residents {
			r.leaving = false
		}
	}
	s.crowded = s.crowded[:0]
	for _, lanes := range [2][]*lane{first, second} {
		for _, l := range lanes {
			if at, c := s.spot(l); c == crowds || c == cramped {
				s.crowded = append(s.crowded, crowd{l, at})
			}
		}
	}
	c, victims, at := s.change(now)
	if c.lane != nil {
		return s.prepare(c.lane, c.spot, victims, both), time.Time{}
	}
	again = earlier(again, at)
	for _, lanes := range [2][]*lane{first, second} {
		for _, l := range lanes {
			if l.waiting() == 0 { // change dropped what can never run
				continue
			}
			switch at, c := s.spot(l); c {
			case atOnce:
				return s.prepare(l, at, nil, both), time.Time{}
			case drained:
				at.device.held = true // or what comes behind would overtake it for ever
			}
		}
	}
	return nil, again
}

// collect finds the lanes with a batch that is due, by their live and by their
// backlog heads, and says when the next will be. The caller holds s.mu.
func (s *Scheduler) collect(now time.Time) (again time.Time) {
	live, backlog := s.due[0][:0], s.due[1][:0]
	for _, q := range s.lines {
		for _, l := range q.lanes {
			due := s.dueAt(l)
			if !s.closed && !l.full() && now.Before(due) {
				again = earlier(again, due)
				continue
			}
			if l.live.first != nil {
				live = append(live, l)
			}
			if l.backlog.first != nil {
				backlog = append(backlog, l)
			}
		}
	}
	slices.SortFunc(live, func(a, b *lane) int { return a.live.first.came.Compare(b.live.first.came) })
	slices.SortFunc(backlog, func(a, b *lane) int { return a.backlog.first.came.Compare(b.backlog.first.came) })
	s.due = [2][]*lane{live, backlog}
	return again
}

// dueAt is when the lane's oldest item has waited for its batch to fill for long
// enough.
func (s *Scheduler) dueAt(l *lane) (due time.Time) {
	if it := l.live.first; it != nil {
		due = it.came.Add(s.options.MaxWait)
	}
	if it := l.backlog.first; it != nil {
		due = earlier(due, it.came.Add(s.options.BacklogWait))
	}
	return due
}

// change decides which of the crowded lanes gets room: live before backlog, but
// for the backlog's share of the changes, then by work and age against what
// opening its model takes.
func (s *Scheduler) change(now time.Time) (best crowd, victims []*resident, again time.Time) {
	if len(s.crowded) == 0 {
		return crowd{}, nil, time.Time{}
	}
	slices.SortStableFunc(s.crowded, func(a, b crowd) int { return cmp.Compare(s.worth(b, now), s.worth(a, now)) })
	for i, c := range s.crowded {
		victims, ok, at, err := s.makeRoom(c.lane, c.spot, now)
		switch {
		case err != nil:
			if q := c.lane.line; !q.warned {
				q.warned = true
				s.options.Log.Warn("a model has no room", "model", q.ref, "device", c.spot.device.Name, "error", err)
			}
			s.drop(c.lane.head(s.turn), err, outcomeFailed)
			return crowd{}, nil, now
		case ok:
			s.changed(c)
			return c, victims, time.Time{}
		}
		again = earlier(again, at)
		if i == 0 && s.backlogChanges() && !s.workFor(c.lane.line.model).live && c.lane.cramped.IsZero() {
			break // whose time has not come: another would begin a new turn
		}
		if i == 0 {
			s.prefetch(c.lane.line.model)
		}
		if len(victims) > 0 {
			break // they finish what they run, and then it is this lane's turn
		}
	}
	return crowd{}, nil, again
}

func (s *Scheduler) worth(c crowd, now time.Time) float64 {
	w := s.workFor(c.lane.line.model)
	worth := float64(w.lasts+now.Sub(c.lane.oldest())) / float64(s.reload(c.spot.device, c.lane.line.model))
	if w.live != s.backlogChanges() {
		worth += 1e9 // before all others
	}
	return worth
}

// backlogChanges tells whether the next change of models is the backlog's.
func (s *Scheduler) backlogChanges() bool { return s.liveChanges >= s.options.BacklogShare-1 }

// changed counts a change of models.
func (s *Scheduler) changed(c crowd) {
	live := func(c crowd) bool { return s.workFor(c.lane.line.model).live }
	switch {
	case !live(c):
		s.liveChanges = 0
	case slices.ContainsFunc(s.crowded, func(c crowd) bool { return !live(c) }):
		s.liveChanges++
	}
}

// prepare cuts the lane's batch and takes its memory, opening an account for the
// model where it is not open yet.
func (s *Scheduler) prepare(l *lane, at spot, victims []*resident, both bool) *batch {
	d, q := at.device, l.line
	p := s.profile(d, q.model)
	r := at.resident
	if r == nil {
		account, err := d.ledger.Open(q.ref, p.WeightsBytes, p.opening(), q.need(p, 1, l.head(s.turn).cost), accounts(victims)...)
		if err != nil {
			panic(err) // it was asked under the same lock
		}
		r = &resident{model: q.model, account: account}
		d.residents[q.model.SHA256] = r
	}
	l.cramped = time.Time{}
	victims = s.spare(d, r, l, victims, time.Now())
	// A live batch is filled up from the backlog, unless other live ones wait behind it.
	fill := len(s.due[0]) == 0 || len(s.due[0]) == 1 && s.due[0][0] == l
	b := l.cut(s.turn, fill, p, r.account.Room(accounts(victims)...))
	b.device, b.resident, b.victims = d, r, victims
	release, err := r.account.Run(b.bytes, accounts(victims)...)
	if err != nil {
		panic(err)
	}
	b.release = release
	for _, v := range victims {
		s.take(d, v, evictedForRoom)
	}
	s.queued -= len(b.items)
	switch {
	case s.turn:
		s.liveInARow, s.lastBacklog = 0, time.Now()
	case both:
		if s.liveInARow++; s.liveInARow == 1 {
			s.lastBacklog = time.Now()
		}
	}
	return b
}

// Close takes no more items, runs those that wait, waits for every batch and
// frees the sessions. When ctx ends first, items that wait get ErrClosed, and
// batches that run are stopped; Close still waits until they have.
func (s *Scheduler) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.dispatch()
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stopAll(ErrClosed)
	})
	<-s.drained
	stop()
	s.stop()
	s.batches.Wait()
	s.monitors.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	var errs []error
	for _, d := range s.devices {
		for _, r := range d.ordered() {
			s.take(d, r, evictedAtClose)
			errs = append(errs, closeAll(r.sessions))
			r.account.Close()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("gpu: close: %w", err)
	}
	return nil
}

// stopAll answers what waits with err and stops what runs. The caller holds
// s.mu.
func (s *Scheduler) stopAll(err error) {
	for _, q := range slices.Clone(s.lines) { // drop takes closed ones off the list
		for _, l := range q.lanes {
			for l.waiting() > 0 {
				s.drop(l.head(false), err, outcomeCancelled)
			}
		}
	}
	for b := range s.running {
		b.cancel(err)
	}
	s.dispatch()
}

// Lose gives up all work, since a device is lost to the process and a poisoned
// context may fail every further call: whoever waits gets models.ErrDeviceLost
// and hands its work back, for a fresh process.
func (s *Scheduler) Lose(device string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return
	}
	if !errors.Is(err, models.ErrDeviceLost) {
		err = fmt.Errorf("%w: %w", models.ErrDeviceLost, err)
	}
	s.lostDevice, s.lost = device, fmt.Errorf("%s: %w", device, err)
	s.options.Log.Error("a device is lost: all work is handed back", "device", device, "error", err)
	s.metrics.lost.WithLabelValues(device).Inc()
	s.stopAll(s.lost)
}

// Lost is the device that was lost and why no device serves any more, wrapping
// models.ErrDeviceLost; nil: they do.
func (s *Scheduler) Lost() (device string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostDevice, s.lost
}
