package pubsub

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/pstest"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

// clock stands still until it is moved.
type clock struct {
	start time.Time
	moved atomic.Int64
}

func newClock() *clock { return &clock{start: time.Now()} }

func (c *clock) now() time.Time       { return c.start.Add(time.Duration(c.moved.Load())) }
func (c *clock) move(d time.Duration) { c.moved.Add(int64(d)) }

// beats are given by a test, in the place of a clock's.
type beats struct {
	ticks, idle chan struct{}
	begun       bool
}

func beatsOf(c *Client) *beats {
	b := &beats{ticks: make(chan struct{}), idle: make(chan struct{})}
	c.tick = func(time.Duration) (func(context.Context) bool, func()) {
		return func(ctx context.Context) bool {
			select {
			case <-ctx.Done():
				return false
			case b.idle <- struct{}{}:
			}
			select {
			case <-ctx.Done():
				return false
			case <-b.ticks:
				return true
			}
		}, func() {}
	}
	return b
}

// beat gives one, and returns when all is done that it led to.
func (b *beats) beat() {
	if !b.begun {
		<-b.idle
		b.begun = true
	}
	b.ticks <- struct{}{}
	<-b.idle
}

// script fails calls of one method, as long as there are errors.
type script struct {
	mu     sync.Mutex
	errors []error
	always error
	calls  int
	called func(calls int)
}

func (s *script) React(any) (bool, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.called != nil {
		s.called(s.calls)
	}
	if s.always != nil {
		return true, nil, s.always
	}
	if len(s.errors) == 0 {
		return false, nil, nil
	}
	err := s.errors[0]
	s.errors = s.errors[1:]
	return err != nil, nil, err
}

func (s *script) set(always error, errors ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always, s.errors = always, errors
}

// left is how many errors have not been given yet.
func (s *script) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.errors)
}

func on(method string, s *script) pstest.ServerReactorOption {
	return pstest.ServerReactorOption{FuncName: method, Reactor: s}
}

// receive runs handle until stop, which returns Receive's error.
func receive(t *testing.T, s *Source, slots int, handle workers.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var (
		running sync.WaitGroup
		err     error
	)
	running.Go(func() { err = s.Receive(ctx, slots, handle) })
	stop = sync.OnceValue(func() error {
		cancel()
		running.Wait()
		return err
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Receive: %v", err)
		}
	})
	return stop
}

func publish(t *testing.T, c *Client, events ...episode.Event) {
	t.Helper()
	for _, e := range events {
		if err := c.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func event(n int) episode.Event { return workerstest.Event(n) }

// next waits for a value; what never comes fails the test instead of hanging it.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	select {
	case v = <-c:
	case <-timeout.C:
		t.Fatal("nothing has come for two minutes")
	}
	return v
}

// line is a connection's way to a server, which can be cut.
type line struct {
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
}

func newLine(t *testing.T, address string) *line {
	t.Helper()
	l := &line{}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.conns = append(l.conns, near, far)
			l.mu.Unlock()
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				all.Go(func() {
					_, _ = io.Copy(to, from) // it ends when the line is cut
					to.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.listener.Close()
		l.cut()
		all.Wait()
	})
	return l
}

func (l *line) address() string { return l.listener.Addr().String() }

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}
