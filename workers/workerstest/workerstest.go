// Package workerstest is the suite that every workers.Source must pass.
package workerstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// Harness is a source and the way to put events into it. The source need not
// keep an order.
type Harness struct {
	Source  workers.Source
	Publish func(ctx context.Context, e episode.Event) error
}

// Event makes the n-th event.
func Event(n int) episode.Event {
	return episode.Event{
		ID:        episode.NewID("suite", fmt.Sprint(n)),
		Podcast:   "9b024349-ccf0-5f69-a609-6b82873eab3c",
		Title:     fmt.Sprintf("Number %d", n),
		Revision:  1795154400000 + episode.Revision(n),
		Enclosure: episode.Enclosure{URL: "https://cdn.example.org/e.mp3", Type: "audio/mpeg"},
		FirstSeen: time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
	}
}

// Run runs the suite; open gives a source without events that open's t cleans
// up.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	tests := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"an event is delivered whole", deliveredWhole},
		{"what is done or rejected does not come back", doneIsOver},
		{"what failed comes back, counted", failedComesBack},
		{"what was released comes back", releasedComesBack},
		{"what was released for a time comes back then, uncounted", releasedWaits},
		{"no more than the slots at once", slotsBound},
		{"a stop lets what runs finish", stopLetsFinish},
		{"two receivers share the events", twoReceivers},
		{"an event published while idle is delivered", publishedWhileIdle},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// receive runs handle until the returned stop is called; stop waits.
func receive(t *testing.T, s workers.Source, slots int, handle workers.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Receive(ctx, slots, handle); err != nil {
			t.Errorf("Receive: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func publish(t *testing.T, h Harness, n int) {
	t.Helper()
	if err := h.Publish(t.Context(), Event(n)); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

// next waits for a value; a source that never delivers fails the test instead
// of hanging it.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	select {
	case v = <-c:
	case <-timeout.C:
		t.Fatal("nothing was delivered for a minute")
	}
	return v
}

func done() workers.Verdict {
	return workers.Verdict{Kind: workers.Done, Outcome: workers.Enriched}
}

func deliveredWhole(t *testing.T, h Harness) {
	publish(t, h, 1)
	got := make(chan workers.Delivery, 1)
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got <- d
		return done()
	})
	d := next(t, got)
	stop()
	want := Event(1)
	e := d.Event
	if e.ID != want.ID || e.Title != want.Title || e.Revision != want.Revision || e.Enclosure != want.Enclosure {
		t.Errorf("event = %+v", e)
	}
	if d.Attempt != 1 || d.Failures != 0 || !d.FirstSeen.Equal(want.FirstSeen) || d.Received.IsZero() {
		t.Errorf("delivery = %+v", d)
	}
}

func doneIsOver(t *testing.T, h Harness) {
	verdicts := map[episode.ID]workers.Verdict{
		Event(1).ID: done(),
		Event(2).ID: {Kind: workers.Done, Outcome: workers.Overtaken},
		Event(3).ID: {Kind: workers.Reject, Reason: "no audio", Err: errors.New("silence")},
	}
	for n := range 3 {
		publish(t, h, n+1)
	}
	deliveries := make(chan episode.ID, 100)
	handle := func(_ context.Context, d workers.Delivery) workers.Verdict {
		deliveries <- d.Event.ID
		return verdicts[d.Event.ID]
	}
	stop := receive(t, h.Source, 2, handle)
	for range 3 {
		next(t, deliveries)
	}
	stop()
	verdicts[Event(4).ID] = done()
	publish(t, h, 4)
	stop = receive(t, h.Source, 2, handle)
	if id := next(t, deliveries); id != Event(4).ID {
		t.Errorf("%s came back", id)
	}
	stop()
	if len(deliveries) != 0 {
		t.Errorf("%s came back", <-deliveries)
	}
}

func failedComesBack(t *testing.T, h Harness) {
	publish(t, h, 1)
	got := make(chan workers.Delivery, 3)
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got <- d
		if d.Failures < 2 {
			return workers.Verdict{Kind: workers.Retry, Err: errors.New("not now")}
		}
		return done()
	})
	for failures := range 3 {
		if d := next(t, got); d.Failures != failures || d.Attempt != failures+1 {
			t.Errorf("delivery %d = attempt %d after %d failures", failures+1, d.Attempt, d.Failures)
		}
	}
	stop()
}

func releasedComesBack(t *testing.T, h Harness) {
	publish(t, h, 1)
	first := make(chan workers.Delivery, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := h.Source.Receive(ctx, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		first <- d
		cancel()
		return workers.Verdict{Kind: workers.Release, Err: errors.New("stopping")}
	})
	if err != nil {
		t.Fatalf("Receive: %v", err)
	}
	again := make(chan workers.Delivery, 1)
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		again <- d
		return done()
	})
	a, b := next(t, first), next(t, again)
	stop()
	if a.Event.ID != b.Event.ID || b.Failures != 0 {
		t.Errorf("after a release: %s with %d failures", b.Event.ID, b.Failures)
	}
}

func releasedWaits(t *testing.T, h Harness) {
	const wait = time.Second
	publish(t, h, 1)
	type arrival struct {
		workers.Delivery
		at time.Time
	}
	got := make(chan arrival, 2)
	released := false
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got <- arrival{d, time.Now()}
		if !released {
			released = true
			return workers.Verdict{Kind: workers.Release, After: wait, Err: errors.New("the index is away")}
		}
		return done()
	})
	a, b := next(t, got), next(t, got)
	stop()
	if b.Event.ID != a.Event.ID || b.Failures != 0 || b.Attempt != 1 {
		t.Errorf("after a release: %s, attempt %d with %d failures", b.Event.ID, b.Attempt, b.Failures)
	}
	if waited := b.at.Sub(a.at); waited < wait-time.Millisecond { // sources count in these
		t.Errorf("came back after %s, not %s", waited, wait)
	}
}

func slotsBound(t *testing.T, h Harness) {
	const slots, events = 3, 10
	for n := range events {
		publish(t, h, n)
	}
	var (
		mu           sync.Mutex
		running, max int
		began        = make(chan struct{}, events)
		goOn         = make(chan struct{})
		finished     = make(chan struct{}, events)
	)
	stop := receive(t, h.Source, slots, func(context.Context, workers.Delivery) workers.Verdict {
		mu.Lock()
		running++
		if running > max {
			max = running
		}
		mu.Unlock()
		began <- struct{}{}
		<-goOn
		mu.Lock()
		running--
		mu.Unlock()
		finished <- struct{}{}
		return done()
	})
	for range slots {
		next(t, began)
	}
	close(goOn)
	for range events {
		next(t, finished)
	}
	stop()
	if max != slots {
		t.Errorf("%d handlers ran at once, want %d", max, slots)
	}
}

func stopLetsFinish(t *testing.T, h Harness) {
	publish(t, h, 1)
	publish(t, h, 2)
	var (
		began       = make(chan context.Context, 2)
		goOn        = make(chan struct{})
		ctx, cancel = context.WithCancel(t.Context())
		returned    = make(chan error, 1)
		receiving   sync.WaitGroup
	)
	defer receiving.Wait()
	defer cancel()
	receiving.Go(func() {
		returned <- h.Source.Receive(ctx, 1, func(ctx context.Context, _ workers.Delivery) workers.Verdict {
			began <- ctx
			<-goOn
			return done()
		})
	})
	handling := next(t, began)
	cancel()
	if err := handling.Err(); err != nil {
		t.Errorf("the stop cancelled what runs: %v", err)
	}
	select {
	case err := <-returned:
		t.Errorf("Receive returned (%v) while a handler ran", err)
	default:
	}
	close(goOn)
	if err := next(t, returned); err != nil {
		t.Errorf("Receive: %v", err)
	}
	if len(began) != 0 {
		t.Error("an event was taken after the stop")
	}
	rest := make(chan episode.ID, 2)
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		rest <- d.Event.ID
		return done()
	})
	next(t, rest)
	stop()
	if len(rest) != 0 {
		t.Error("the event that finished during the stop came back")
	}
}

func twoReceivers(t *testing.T, h Harness) {
	const events = 20
	for n := range events {
		publish(t, h, n)
	}
	var (
		mu   sync.Mutex
		seen = map[episode.ID]int{}
		all  = make(chan struct{}, 2*events)
	)
	handle := func(_ context.Context, d workers.Delivery) workers.Verdict {
		mu.Lock()
		seen[d.Event.ID]++
		mu.Unlock()
		all <- struct{}{}
		return done()
	}
	stopA, stopB := receive(t, h.Source, 3, handle), receive(t, h.Source, 3, handle)
	for range events {
		next(t, all)
	}
	stopA()
	stopB()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	if len(seen) != events {
		t.Errorf("%d events were delivered, want %d", len(seen), events)
	}
}

func publishedWhileIdle(t *testing.T, h Harness) {
	got := make(chan episode.ID, 2)
	stop := receive(t, h.Source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got <- d.Event.ID
		return done()
	})
	for n := range 2 {
		publish(t, h, n)
		if id := next(t, got); id != Event(n).ID {
			t.Errorf("got %s", id)
		}
	}
	stop()
}
