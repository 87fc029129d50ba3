// Package leadtest is the suite that every lead.Leader must pass.
package leadtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/earshot-fm/earshot/workers/lead"
)

// Run runs the suite. open gives the way to make candidates for one leadership.
func Run(t *testing.T, open func(t *testing.T) (candidate func(name string) lead.Leader)) {
	tests := []struct {
		name string
		run  func(*testing.T, func(string) lead.Leader)
	}{
		{"one works at a time, and each gets its turn", oneAtATime},
		{"a follower takes over when the leader stops", takesOver},
		{"what work returned is returned", returned},
		{"a follower that is stopped never worked", stopped},
		{"a leader can lead again", again},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func oneAtATime(t *testing.T, candidate func(string) lead.Leader) {
	var working, turns atomic.Int32
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		l := candidate(name)
		all.Go(func() {
			err := l.Lead(t.Context(), func(context.Context) error {
				if n := working.Add(1); n != 1 {
					t.Errorf("%d work at once", n)
				}
				turns.Add(1)
				working.Add(-1)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	all.Wait()
	if n := turns.Load(); n != 3 {
		t.Errorf("%d worked", n)
	}
}

// begin has a candidate lead until the returned stop; working is closed when it
// works.
func begin(t *testing.T, l lead.Leader) (working chan struct{}, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	working = make(chan struct{})
	var leading sync.WaitGroup
	leading.Go(func() {
		err := l.Lead(ctx, func(ctx context.Context) error {
			close(working)
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil {
			t.Errorf("Lead: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		leading.Wait()
	})
	t.Cleanup(stop)
	return working, stop
}

func takesOver(t *testing.T, candidate func(string) lead.Leader) {
	first, stopFirst := begin(t, candidate("a"))
	<-first
	second, _ := begin(t, candidate("b"))
	select {
	case <-second:
		t.Fatal("both work")
	default:
	}
	stopFirst()
	<-second
}

var errWork = errors.New("out of feeds")

func returned(t *testing.T, candidate func(string) lead.Leader) {
	if err := candidate("a").Lead(t.Context(), func(context.Context) error { return errWork }); !errors.Is(err, errWork) {
		t.Errorf("%v", err)
	}
	if err := candidate("b").Lead(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("%v", err)
	}
}

func stopped(t *testing.T, candidate func(string) lead.Leader) {
	first, _ := begin(t, candidate("a"))
	<-first
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		err := candidate("b").Lead(ctx, func(context.Context) error {
			t.Error("the follower works")
			return nil
		})
		if err != nil {
			t.Errorf("the follower: %v", err)
		}
	})
	cancel()
	following.Wait()
}

func again(t *testing.T, candidate func(string) lead.Leader) {
	l := candidate("a")
	for range 3 {
		turns := 0
		if err := l.Lead(t.Context(), func(context.Context) error { turns++; return nil }); err != nil || turns != 1 {
			t.Errorf("%d turns, %v", turns, err)
		}
	}
}
