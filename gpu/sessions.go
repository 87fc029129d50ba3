package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// loads opens each model's sessions on a device once.
type loads struct {
	mu   sync.Mutex
	held map[loadKey]*load
}

type loadKey struct{ sha256, device string }

// load is one model on one device. Its mutex is held while it is opened, so
// that batches that need it wait; a failed opening is tried again by the next.
type load struct {
	mu       sync.Mutex
	sessions models.Sessions
	release  func()
}

func (l *loads) open(ctx context.Context, s *Scheduler, m *models.Model, d *device) (models.Sessions, error) {
	key := loadKey{m.SHA256, d.Name}
	l.mu.Lock()
	if l.held == nil {
		l.held = map[loadKey]*load{}
	}
	h := l.held[key]
	if h == nil {
		h = &load{}
		l.held[key] = h
	}
	l.mu.Unlock()

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions != nil {
		return h.sessions, nil
	}
	began := time.Now()
	bytes := int64(0)
	for _, name := range m.Manifest.Sessions {
		n, err := m.SessionBytes(name)
		if err != nil {
			return nil, fmt.Errorf("load: %w", err)
		}
		bytes += n
	}
	// onnxruntime keeps the weights and, packed for its kernels, a copy of most of them.
	account, err := d.ledger.Open(m.Manifest.Ref(), 2*bytes, 0)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	sessions := models.Sessions{}
	for _, name := range m.Manifest.Sessions {
		session, err := m.Open(ctx, s.options.Runtime, name, d.Name)
		if err != nil {
			account.Close()
			return nil, errors.Join(fmt.Errorf("load %s: %w", name, err), closeAll(sessions))
		}
		sessions[name] = session
	}
	h.sessions, h.release = sessions, account.Close
	s.metrics.loads.WithLabelValues(m.Manifest.Ref(), d.Name).Set(time.Since(began).Seconds())
	return sessions, nil
}

func (l *loads) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for key, h := range l.held {
		h.mu.Lock()
		if h.sessions != nil {
			errs = append(errs, closeAll(h.sessions))
			h.release()
			h.sessions = nil
		}
		h.mu.Unlock()
		delete(l.held, key)
	}
	return errors.Join(errs...)
}

func closeAll(sessions models.Sessions) error {
	var errs []error
	for _, s := range sessions {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// clock measures the time that one run spends inside its sessions.
type clock struct {
	sessions models.Sessions
	spent    atomic.Int64
}

func newClock(sessions models.Sessions) *clock {
	c := &clock{sessions: models.Sessions{}}
	for name, s := range sessions {
		c.sessions[name] = clockedSession{Session: s, clock: c}
	}
	return c
}

func (c *clock) inside() time.Duration { return time.Duration(c.spent.Load()) }

type clockedSession struct {
	models.Session
	clock *clock
}

func (s clockedSession) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	began := time.Now()
	defer func() { s.clock.spent.Add(int64(time.Since(began))) }()
	return s.Session.Run(ctx, inputs)
}
