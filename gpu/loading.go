package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// prefetch reads the next model's files while others run, so that opening it
// takes less.
func (s *Scheduler) prefetch(m *models.Model) {
	if s.fetched[m.SHA256] || s.closed {
		return
	}
	s.fetched[m.SHA256] = true
	s.batches.Go(func() {
		// What is wrong with a file is told by the opening that needs it.
		_ = m.Prefetch(s.background)
	})
}

// load opens the batch's model, where it is to be opened, after those in its
// place were closed.
func (s *Scheduler) load(ctx context.Context, b *batch) error {
	d, r := b.device, b.resident
	for _, v := range b.victims {
		s.shut(d, v)
	}
	if r.sessions != nil {
		return nil
	}
	m := r.model
	began := time.Now()
	before, told := s.usedBy(ctx, d)
	var sessions models.Sessions
	err := s.hasRoom(ctx, b)
	if err == nil {
		sessions, err = s.open(ctx, m, d.Name)
	}
	took := time.Since(began)
	after, toldAgain := s.usedBy(ctx, d)
	grew := before.until(after)
	var raised *Profile
	defer func() { s.keep(raised, grew) }() // after the lock is given back
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fetched, m.SHA256)
	if err != nil {
		s.metrics.loads.WithLabelValues(m.Manifest.Ref(), d.Name, outcomeFailed).Observe(took.Seconds())
		if d.residents[m.SHA256] == r {
			delete(d.residents, m.SHA256)
		}
		r.account.Close()
		d.gauges.show(d.ledger.Balance())
		return fmt.Errorf("load: %w", err)
	}
	s.metrics.loads.WithLabelValues(m.Manifest.Ref(), d.Name, outcomeDone).Observe(took.Seconds())
	r.sessions, r.since, r.idle = sessions, time.Now(), time.Now()
	r.account.Loaded()
	if told && toldAgain && len(d.reloads) > 0 { // the first to come brings the libraries' own memory
		raised = s.raiseWeights(d, r, grew.bytes)
	}
	d.reloads[m.SHA256] = took
	d.gauges.show(d.ledger.Balance())
	s.dispatch()
	return nil
}

// hasRoom looks at a device whose models have gone to make room: what they were
// taken to hold may have hidden what others use.
func (s *Scheduler) hasRoom(ctx context.Context, b *batch) error {
	d := b.device
	if len(b.victims) == 0 || d.Read == nil || d.MemoryBytes == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	r, err := d.Read(ctx)
	if err != nil {
		return nil // the monitor tells of it
	}
	weights, _ := b.resident.account.Bytes()
	if d.used(r)+weights > d.MemoryBytes {
		return fmt.Errorf("%s of %s are in use: %w", mb(r.UsedBytes), d.Name, ErrNoRoom)
	}
	return nil
}

func (s *Scheduler) open(ctx context.Context, m *models.Model, device string) (models.Sessions, error) {
	sessions := models.Sessions{}
	for _, name := range m.Manifest.Sessions {
		session, err := m.Open(ctx, s.options.Runtime, name, device)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), closeAll(sessions))
		}
		sessions[name] = session
	}
	return sessions, nil
}

// shut closes a model that was taken off its device.
func (s *Scheduler) shut(d *device, r *resident) {
	if err := closeAll(r.sessions); err != nil {
		s.options.Log.Warn("a model's sessions did not close well", "model", r.model.Manifest.Ref(), "device", d.Name, "error", err)
	}
	r.account.Close()
}

// retire takes models off their devices that no queue asks for any more, and
// queues that are closed and empty off the list. Close does it by itself. The
// caller holds s.mu.
func (s *Scheduler) retire() {
	if s.closed {
		return
	}
	s.lines = slices.DeleteFunc(s.lines, func(q *line) bool { return q.closed && len(q.lanes) == 0 && q.runs == 0 })
	for _, d := range s.devices {
		for _, r := range d.ordered() {
			if r.runs > 0 || r.sessions == nil || slices.ContainsFunc(s.lines, func(q *line) bool { return q.model.SHA256 == r.model.SHA256 }) {
				continue
			}
			s.take(d, r, evictedUnused)
			s.batches.Go(func() {
				s.shut(d, r)
				s.mu.Lock()
				defer s.mu.Unlock()
				d.gauges.show(d.ledger.Balance())
				s.dispatch()
			})
		}
	}
}

// take removes a model from its device's list, for whoever then shuts it. The
// caller holds s.mu.
func (s *Scheduler) take(d *device, r *resident, reason string) {
	delete(d.residents, r.model.SHA256)
	s.metrics.evictions.WithLabelValues(r.model.Manifest.Ref(), d.Name, reason).Inc()
}

func closeAll(sessions models.Sessions) error {
	var errs []error
	for _, s := range sessions {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
