// Package gpu runs models on devices. Its Scheduler stands in front of all
// sessions: items of many episodes queue by model, are put together into
// batches, and each batch runs under a lease, the right to use one device for
// a runner's whole loop. The CPU is a device too, so all of it works and is
// measured on any machine.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus"
)

// Options configures a Scheduler.
type Options struct {
	Runtime models.Runtime
	Devices []Device // none: the CPU without a bound on memory

	// MaxWait is how long the oldest item may wait for a batch to fill while
	// a lease is free. It costs a lone item that much, and gains the batches
	// of a few episodes more than it costs. 0: 5 ms.
	MaxWait time.Duration
	// QueueItems bounds the items that wait for one model, live and backlog
	// each; Do waits for a place. 0: 1024.
	QueueItems int
	// BacklogShare: while live items wait all the time, one batch in so many
	// is still the backlog's, so that it never starves. 0: 8.
	BacklogShare int

	Registerer prometheus.Registerer // nil: no metrics are exported
}

// ErrClosed is returned by Do once the scheduler closes.
var ErrClosed = errors.New("the scheduler is closed")

// ErrStuck is wrapped by the error of a run that was stopped since it took far
// longer than others of its model.
var ErrStuck = errors.New("the run does not come to an end")

// Scheduler batches items, leases devices and calls runners. It is safe for
// concurrent use. It has no goroutine of its own while nothing runs.
type Scheduler struct {
	options Options
	metrics *metrics
	devices []*device
	loads   loads

	mu           sync.Mutex
	lines        []*line
	running      map[*batch]struct{}
	liveInARow   int         // live batches since the backlog's last one, while it waited
	timer        *time.Timer // for the next item to have waited long enough; nil: none
	closing      chan struct{}
	closed       bool
	lost         error // why no device serves any more; nil: they do
	batches      sync.WaitGroup
	sessionsGone sync.Once
}

type device struct {
	Device
	ledger *Ledger
	free   int // leases, guarded by Scheduler.mu
}

// New makes a scheduler. Close it to free its sessions.
func New(o Options) *Scheduler {
	if len(o.Devices) == 0 {
		o.Devices = []Device{{Name: "cpu"}}
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 5 * time.Millisecond
	}
	if o.QueueItems <= 0 {
		o.QueueItems = 1024
	}
	if o.BacklogShare <= 0 {
		o.BacklogShare = 8
	}
	s := &Scheduler{
		options: o,
		metrics: newMetrics(o.Registerer),
		running: map[*batch]struct{}{},
		closing: make(chan struct{}),
	}
	for _, d := range o.Devices {
		s.devices = append(s.devices, &device{Device: d, ledger: NewLedger(LedgerOptions{Total: d.MemoryBytes}), free: d.leases()})
	}
	return s
}

// dispatch starts every batch that is ready while leases are free. The caller
// holds s.mu.
func (s *Scheduler) dispatch() {
	for {
		d := s.freeDevice()
		if d == nil {
			return
		}
		now := time.Now()
		b, next := s.next(now)
		if b == nil {
			s.wakeAt(now, next)
			return
		}
		d.free--
		b.device = d
		s.running[b] = struct{}{}
		s.metrics.leases.WithLabelValues(d.Name).Inc()
		ctx, cancel := context.WithCancelCause(context.Background())
		b.cancel = cancel
		s.batches.Go(func() { s.execute(ctx, b) })
	}
}

func (s *Scheduler) freeDevice() *device {
	for _, d := range s.devices {
		if d.free > 0 {
			return d
		}
	}
	return nil
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

// finish gives the batch's lease back.
func (s *Scheduler) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.cancel(nil)
	delete(s.running, b)
	b.device.free++
	s.metrics.leases.WithLabelValues(b.device.Name).Dec()
	s.dispatch()
}

// next cuts the batch to run now, or says when to look again (zero: when an
// item comes). Live goes first, the oldest head first; after BacklogShare-1
// live batches in a row the backlog has its turn.
func (s *Scheduler) next(now time.Time) (b *batch, again time.Time) {
	var live, backlog *lane
	for _, q := range s.lines {
		for _, l := range q.lanes {
			due := l.oldest().Add(s.options.MaxWait)
			if !s.closed && !l.full() && now.Before(due) {
				if again.IsZero() || due.Before(again) {
					again = due
				}
				continue
			}
			if older(l.live, live, func(l *lane) []*item { return l.live }) {
				live = l
			}
			if older(l.backlog, backlog, func(l *lane) []*item { return l.backlog }) {
				backlog = l
			}
		}
	}
	switch {
	case live == nil && backlog == nil:
		return nil, again
	case live != nil && (backlog == nil || s.liveInARow < s.options.BacklogShare-1):
		if backlog != nil {
			s.liveInARow++
		}
		return live.cut(false), time.Time{}
	default:
		s.liveInARow = 0
		return backlog.cut(true), time.Time{}
	}
}

// older tells whether items' head is older than that of the best lane so far.
func older(items []*item, best *lane, of func(*lane) []*item) bool {
	return len(items) > 0 && (best == nil || items[0].came.Before(of(best)[0].came))
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
	stop := context.AfterFunc(ctx, s.abort)
	s.batches.Wait()
	stop()
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	var err error
	s.sessionsGone.Do(func() { err = s.loads.close() })
	if err != nil {
		return fmt.Errorf("gpu: close: %w", err)
	}
	return nil
}

func (s *Scheduler) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopAll(ErrClosed)
}

// stopAll answers what waits with err and stops what runs. The caller holds
// s.mu.
func (s *Scheduler) stopAll(err error) {
	for _, q := range s.lines {
		for _, l := range q.lanes {
			for _, it := range append(append([]*item{}, l.live...), l.backlog...) {
				s.drop(it, err)
			}
		}
	}
	for b := range s.running {
		b.cancel(err)
	}
}

// lose gives up all work, since a poisoned context fails every further call in
// this process: whoever waits hands its work back, for a fresh process.
func (s *Scheduler) lose(d *device, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		return
	}
	s.lost = fmt.Errorf("%s: %w", d.Name, err)
	s.metrics.lost.WithLabelValues(d.Name).Inc()
	s.stopAll(s.lost)
}
