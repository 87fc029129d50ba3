package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/workers/index"
)

// clock is the watchers' time: it stands still until the test lets a pause end.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	pauses chan time.Duration // each pause that begins
	over   chan time.Time     // ends it
}

func newClock() *clock {
	return &clock{now: noon, pauses: make(chan time.Duration), over: make(chan time.Time)}
}

func (c *clock) options() Options {
	return Options{
		Now: func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now },
		After: func(d time.Duration) <-chan time.Time {
			c.pauses <- d
			return c.over
		},
	}
}

// pass lets the pause that is under way end.
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	now := c.now
	c.mu.Unlock()
	c.over <- now
}

type watchStream = connect.ServerStreamForClient[apiv1.WatchResponse]

func (r *running) watch(ctx context.Context, m *apiv1.WatchRequest) *watchStream {
	r.t.Helper()
	stream, err := r.client(connect.WithGRPC()).Watch(ctx, m)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { stream.Close() })
	return stream
}

func receive(t *testing.T, stream *watchStream, want *apiv1.WatchResponse) {
	t.Helper()
	if !stream.Receive() {
		t.Fatalf("the stream ended: %v; want %v", stream.Err(), want)
	}
	if !proto.Equal(stream.Msg(), want) {
		t.Errorf("%v, want %v", stream.Msg(), want)
	}
}

func ends(t *testing.T, stream *watchStream) {
	t.Helper()
	if stream.Receive() || stream.Err() != nil {
		t.Errorf("the stream goes on: %v, %v", stream.Msg(), stream.Err())
	}
}

func state(s apiv1.WatchResponse_State, v *apiv1.Version) *apiv1.WatchResponse {
	return &apiv1.WatchResponse{State: s.Enum(), Version: v}
}

func at(revision, generation int64) *apiv1.Version {
	return &apiv1.Version{Revision: proto.Int64(revision), Generation: proto.Int64(generation)}
}

const (
	waiting  = apiv1.WatchResponse_STATE_WAITING
	enriched = apiv1.WatchResponse_STATE_ENRICHED
	removed  = apiv1.WatchResponse_STATE_REMOVED
	rejected = apiv1.WatchResponse_STATE_REJECTED
)

func TestWatchTellsEachChangeUntilTheVersionIsThere(t *testing.T) {
	c := newClock()
	r := start(t, c.options())
	stream := r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x"), Revision: proto.Int64(7), Generation: proto.Int64(2)})
	receive(t, stream, state(waiting, nil))
	for i, longest := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		d := <-c.pauses
		if d < longest/2 || d > longest {
			t.Errorf("pause %d takes %v, want between half of %v and all", i, d, longest)
		}
		if i == 5 {
			r.index.hold(version(6, 4), nil)
		}
		c.pass(time.Second)
	}
	receive(t, stream, state(waiting, at(6, 4)))
	for _, e := range []index.Entry{tombstone(6), version(7, 1)} {
		if d := <-c.pauses; d > 500*time.Millisecond {
			t.Errorf("after a change it looks again in %v", d)
		}
		r.index.hold(e, nil)
		c.pass(time.Second)
		want := state(waiting, at(int64(e.Version.Revision), int64(e.Version.Generation)))
		if e.Removed {
			want.Version.Generation = nil
		}
		receive(t, stream, want)
	}
	<-c.pauses
	r.index.hold(version(7, 2), nil)
	c.pass(time.Second)
	receive(t, stream, state(enriched, at(7, 2)))
	ends(t, stream)
	r.log.await(t, "api: call", "method=Watch", "code=ok", "episode=x", "revision=7")
}

func TestWhatEndsAWatch(t *testing.T) {
	some := func(n int64) *int64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	for _, c := range []struct {
		revision, generation int64
		entry                index.Entry
		want                 apiv1.WatchResponse_State
	}{
		{0, 0, version(1, 1), enriched},
		{0, 0, tombstone(1), removed},
		{0, 2, version(1, 1), waiting},
		{0, 2, version(1, 2), enriched},
		{0, 2, tombstone(1), removed},
		{7, 0, version(6, 9), waiting},
		{7, 0, version(7, 0), enriched},
		{7, 0, version(8, 0), enriched}, // overtaken
		{7, 0, tombstone(6), waiting},   // a newer edition brings the episode back
		{7, 0, tombstone(7), removed},
		{7, 0, tombstone(8), removed},
		{7, 2, version(7, 1), waiting},
		{7, 2, version(7, 3), enriched},
		{7, 2, version(8, 1), enriched},
	} {
		if got := stateOf(c.entry, &apiv1.WatchRequest{Revision: some(c.revision), Generation: some(c.generation)}); got != c.want {
			t.Errorf("%d.%d wanted, %+v there: %v, want %v", c.revision, c.generation, c.entry.Version, got, c.want)
		}
	}
}

func TestWatchSaysThatItIsStillThere(t *testing.T) {
	c := newClock()
	r := start(t, c.options())
	stream := r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
	receive(t, stream, state(waiting, nil))
	<-c.pauses
	c.pass(14 * time.Second)
	<-c.pauses
	c.pass(time.Second)
	again := state(waiting, nil)
	again.Again = proto.Bool(true)
	receive(t, stream, again)
	<-c.pauses
	r.index.hold(tombstone(9), nil)
	c.pass(time.Second)
	receive(t, stream, state(removed, &apiv1.Version{Revision: proto.Int64(9)}))
	ends(t, stream)
}

// A rejected edition never reaches the index: where the dead letters can be
// asked, the watcher is told.
func TestWatchTellsOfARejection(t *testing.T) {
	c := newClock()
	o := c.options()
	var asked []string
	answers := make(chan error, 2)
	answers <- nil
	answers <- errors.New("the letters cannot be read")
	o.Rejected = func(_ context.Context, id episode.ID, revision episode.Revision) (string, bool, error) {
		asked = append(asked, fmt.Sprintf("%s@%d", id, revision))
		select {
		case err := <-answers:
			return "", false, err
		default:
			return "no audio", true, nil
		}
	}
	r := start(t, o)
	stream := r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x"), Revision: proto.Int64(7)})
	receive(t, stream, state(waiting, nil))
	for range 2 {
		<-c.pauses
		c.pass(time.Second)
	}
	want := state(rejected, nil)
	want.Reason = proto.String("no audio")
	receive(t, stream, want)
	ends(t, stream)
	if fmt.Sprint(asked) != "[x@7 x@7 x@7]" {
		t.Error(asked)
	}
}

// An index that fails now and then ends no watch; one that is gone does, so that
// the client tries another replica.
func TestAWatchOutlivesAnIndexThatFailsForAWhile(t *testing.T) {
	c := newClock()
	r := start(t, c.options())
	stream := r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
	receive(t, stream, state(waiting, nil))
	fail := func(times int) {
		for range times {
			<-c.pauses
			r.index.hold(index.Entry{}, errors.New("no node answers"))
			c.pass(time.Millisecond)
		}
	}
	fail(maxMisses)
	<-c.pauses
	r.index.hold(index.Entry{}, index.ErrNotFound)
	c.pass(time.Millisecond)
	fail(maxMisses + 1)
	if stream.Receive() {
		t.Fatal(stream.Msg())
	}
	refused(t, stream.Err(), connect.CodeUnavailable, "to look up")
	retryable(t, stream.Err())

	stream = r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
	if stream.Receive() {
		t.Errorf("an index that never answered: %v", stream.Msg())
	}
	refused(t, stream.Err(), connect.CodeUnavailable, "")
}

func TestAWatchThatAsksForNothingSensible(t *testing.T) {
	r := start(t, Options{})
	for field, m := range map[string]*apiv1.WatchRequest{
		"id": {}, "revision": {Id: proto.String("x"), Revision: proto.Int64(0)}, "generation": {Id: proto.String("x"), Generation: proto.Int64(-1)},
	} {
		stream := r.watch(t.Context(), m)
		if stream.Receive() {
			t.Error(stream.Msg())
		}
		refused(t, stream.Err(), connect.CodeInvalidArgument, field+": ")
		if f := fieldOf(t, stream.Err()); f != field {
			t.Errorf("%v: %q", m, f)
		}
	}
}

// A client that goes leaves nothing behind, and its place is free again; there
// are no more watches than places.
func TestWatchesAreBoundedAndEndWithTheirClients(t *testing.T) {
	c := newClock()
	o := c.options()
	o.Watches = 1
	r := start(t, o)
	x := &apiv1.WatchRequest{Id: proto.String("x")}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream := r.watch(ctx, x)
	receive(t, stream, state(waiting, nil))
	<-c.pauses

	second := r.watch(t.Context(), x)
	if second.Receive() {
		t.Error(second.Msg())
	}
	refused(t, second.Err(), connect.CodeResourceExhausted, "too many")
	retryable(t, second.Err())

	leave()
	r.log.await(t, "api: call", "method=Watch", "code=canceled")
	third := r.watch(t.Context(), x)
	receive(t, third, state(waiting, nil))
	<-c.pauses
	r.index.hold(version(1, 1), nil)
	c.pass(time.Second)
	receive(t, third, state(enriched, at(1, 1)))
}
