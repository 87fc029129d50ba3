package pubsub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/pubsub/pubsubtest"
)

// extensions are the lengths, in seconds, that the server was asked to lease its
// only message for.
func extensions(server *pubsubtest.Memory) (all []int32) {
	for _, m := range server.Messages() {
		for _, x := range m.Modacks {
			all = append(all, x.AckDeadline)
		}
	}
	return all
}

// holding receives one event and keeps it until finish is called; ended gets the
// cause when its context ends before.
func holding(t *testing.T, c *Client) (finish func(), ended chan error) {
	t.Helper()
	began, goOn := make(chan struct{}, 1), make(chan struct{})
	ended = make(chan error, 1)
	stop := receive(t, c.Live(), 1, func(ctx context.Context, _ workers.Delivery) workers.Verdict {
		began <- struct{}{}
		select {
		case <-goOn:
		case <-ctx.Done():
			ended <- context.Cause(ctx)
		}
		return done()
	})
	next(t, began)
	return func() {
		close(goOn)
		if err := stop(); err != nil {
			t.Error(err)
		}
	}, ended
}

func TestALeaseIsExtendedWhileTheHandlerRuns(t *testing.T) {
	server, clock := inMemory(t), newClock()
	c := open(t, server.Address, Options{Now: clock.now})
	heart := beatsOf(c)
	publish(t, c, event(1))
	finish, ended := holding(t, c)
	for _, step := range []time.Duration{2 * time.Second, time.Second, 10 * time.Second, 10 * time.Second, 20 * time.Second, 3 * time.Second} {
		clock.move(step)
		heart.beat()
	}
	finish()
	if got := extensions(server); !slices.Equal(got, []int32{60, 60, 60}) || len(ended) != 0 {
		t.Errorf("extended by %v, ended: %d; want three times a minute in 46 s", got, len(ended))
	}
	if m := server.Messages()[0]; m.Acks != 1 {
		t.Errorf("%d acknowledgements", m.Acks)
	}
}

func TestWhatIsDoneQuicklyCostsNoExtension(t *testing.T) {
	server := inMemory(t)
	c := open(t, server.Address, Options{})
	beatsOf(c)
	publish(t, c, event(1))
	finish, _ := holding(t, c)
	finish()
	if got := extensions(server); len(got) != 0 {
		t.Errorf("extended by %v", got)
	}
}

// over is what a subscription with exactly-once delivery answers for leases that
// are over.
func over(t *testing.T, ackIDs ...string) error {
	t.Helper()
	said := map[string]string{}
	for _, id := range ackIDs {
		said[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
	}
	s, err := status.New(codes.InvalidArgument, "some ids are invalid").WithDetails(&errdetails.ErrorInfo{
		Reason: "x", Domain: "pubsub.googleapis.com", Metadata: said,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

// What comes too late for exactly-once delivery is not tried again, and ends
// nothing else.
func TestAVerdictThatComesTooLateIsLetGo(t *testing.T) {
	ack, modify := &script{errors: []error{over(t, "m0:1")}}, &script{errors: []error{over(t, "m1:1")}}
	c := open(t, inMemory(t, on("Acknowledge", ack), on("ModifyAckDeadline", modify)).Address, Options{})
	beatsOf(c)
	handled := make(chan episode.ID, 3)
	stop := receive(t, c.Live(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		handled <- d.Event.ID
		if d.Event.ID == event(2).ID {
			return workers.Verdict{Kind: workers.Release}
		}
		return done()
	})
	for n := range 3 {
		publish(t, c, event(n+1))
		if id := next(t, handled); id != event(n+1).ID {
			t.Errorf("%s was delivered", id)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if ack.calls != 2 || modify.calls != 1 {
		t.Errorf("%d acknowledgements and %d hand-backs were tried", ack.calls, modify.calls)
	}
}

func TestALostLeaseCancelsTheHandlerAndItsVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		fail error
		o    Options
	}{
		"the service does not answer":       {status.Error(codes.Unavailable, "down"), Options{}},
		"it was held for as long as may be": {nil, Options{MaxExtension: 2 * time.Minute}},
		"the service says that it is over":  {over(t, "m0:1"), Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			modify, clock := &script{}, newClock()
			server := inMemory(t, on("ModifyAckDeadline", modify))
			test.o.Now = clock.now
			c := open(t, server.Address, test.o)
			heart := beatsOf(c)
			publish(t, c, event(1))
			finish, ended := holding(t, c)
			modify.set(test.fail)
			for at := time.Duration(0); len(ended) == 0 && at < 10*time.Minute; at += 9 * time.Second {
				clock.move(9 * time.Second)
				heart.beat()
			}
			if cause := next(t, ended); !errors.Is(cause, workers.ErrLeaseLost) {
				t.Errorf("cause = %v", cause)
			}
			finish()
			if m := server.Messages()[0]; m.Acks != 0 {
				t.Error("a verdict under a lost lease had an effect")
			}
		})
	}
}

// A retry waits in Pub/Sub's hands: by its lease, for as long as it was asked,
// with its slot free for others.
func TestARetryWaitsWithoutASlot(t *testing.T) {
	const after, step = 95 * time.Second, 30 * time.Second
	server, clock := inMemory(t), newClock()
	server.SetTimeNowFunc(clock.now)
	c := open(t, server.Address, Options{Now: clock.now})
	beatsOf(c)
	publish(t, c, event(1))
	began := clock.now()
	first, others := make(chan workers.Delivery, 2), make(chan episode.ID, 10)
	receive(t, c.Live(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		if d.Event.ID != event(1).ID {
			others <- d.Event.ID
			return done()
		}
		first <- d
		if d.Failures == 0 {
			return workers.Verdict{Kind: workers.Retry, After: after, Err: errors.New("not now")}
		}
		return done()
	})
	next(t, first)
	for n := 2; n < 10 && len(first) == 0; n++ {
		publish(t, c, event(n))
		if id := next(t, others); id != event(n).ID {
			t.Errorf("%s was delivered", id)
		}
		clock.move(step)
	}
	d := next(t, first)
	if waited := d.Received.Sub(began); waited < after || d.Failures != 1 || d.Attempt != 2 {
		t.Errorf("came back after %s, %d failures, attempt %d", waited, d.Failures, d.Attempt)
	}
	if got := extensions(server); !slices.Equal(got, []int32{95}) {
		t.Errorf("leased for %v", got)
	}
}

// A lease lasts ten minutes at most: a longer wait is made of several.
func TestALongRetryIsExtended(t *testing.T) {
	const after, step = 25 * time.Minute, 20 * time.Second
	server, clock := inMemory(t), newClock()
	server.SetTimeNowFunc(clock.now)
	c := open(t, server.Address, Options{Now: clock.now})
	heart := beatsOf(c)
	publish(t, c, event(1))
	began := make(chan struct{}, 2)
	receive(t, c.Live(), 1, func(context.Context, workers.Delivery) workers.Verdict {
		began <- struct{}{}
		return workers.Verdict{Kind: workers.Retry, After: after, Err: errors.New("not now")}
	})
	next(t, began)
	publish(t, c, event(2)) // when it is taken, the verdict on the first was acted on
	next(t, began)
	var (
		leased time.Duration // until when, since it began
		calls  int
	)
	for at := time.Duration(0); at < after; at += step {
		heart.beat()
		m := server.Messages()[0]
		for ; calls < len(m.Modacks); calls++ {
			leased = at + time.Duration(m.Modacks[calls].AckDeadline)*time.Second
		}
		if leased <= at || m.Deliveries != 1 {
			t.Fatalf("after %s: delivered %d times, leased until %s", at, m.Deliveries, leased)
		}
		clock.move(step)
	}
	if leased < after || leased > after+10*time.Second || calls > 6 {
		t.Errorf("kept away for %s by %d calls", leased, calls)
	}
}

func TestTheServiceMayFailForAWhile(t *testing.T) {
	all := []error{
		status.Error(codes.Unavailable, "down"), status.Error(codes.ResourceExhausted, "too many"), status.Error(codes.Internal, "?"),
		status.Error(codes.PermissionDenied, "no"), status.Error(codes.NotFound, "no"), status.Error(codes.Aborted, "?"),
	}
	pull, ack, modify := &script{}, &script{}, &script{}
	server := inMemory(t, on("Pull", pull), on("Acknowledge", ack), on("ModifyAckDeadline", modify))
	c := open(t, server.Address, Options{})
	publish(t, c, event(1))
	handled := make(chan workers.Delivery, 10)
	stop := receive(t, c.Live(), 2, func(_ context.Context, d workers.Delivery) workers.Verdict {
		handled <- d
		if d.Event.ID == event(2).ID && d.Failures == 0 {
			return workers.Verdict{Kind: workers.Retry, Err: errors.New("not now")}
		}
		return done()
	})
	next(t, handled)
	pull.set(nil, slices.Clone(all)...)
	ack.set(nil, slices.Clone(all)...)
	modify.set(nil, slices.Clone(all)...)
	publish(t, c, event(2))
	for range 2 {
		if d := next(t, handled); d.Event.ID != event(2).ID {
			t.Errorf("%s was delivered", d.Event.ID)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, m := range server.Messages() {
		if m.Acks != 1 {
			t.Errorf("%s has %d acknowledgements", m.ID, m.Acks)
		}
	}
	if pull.left()+ack.left()+modify.left() != 0 {
		t.Error("the service has not failed as it should have")
	}
}

func TestARefusalEndsReceiving(t *testing.T) {
	denied := status.Error(codes.PermissionDenied, "you may not")
	t.Run("from the start", func(t *testing.T) {
		c := open(t, inMemory(t).Address, Options{})
		c.live = newSource(c, "no-such-subscription", laneLive)
		err := c.Live().Receive(t.Context(), 1, func(context.Context, workers.Delivery) workers.Verdict { return done() })
		if err == nil || !strings.Contains(err.Error(), "no-such-subscription") || !strings.Contains(err.Error(), "preflight --create") {
			t.Errorf("%v", err)
		}
	})
	t.Run("for long", func(t *testing.T) {
		pull, clock := &script{}, newClock()
		c := open(t, inMemory(t, on("Pull", pull)).Address, Options{})
		c.options.Now = func() time.Time { clock.move(time.Minute); return clock.now() }
		publish(t, c, event(1))
		err := c.Live().Receive(t.Context(), 1, func(context.Context, workers.Delivery) workers.Verdict {
			pull.set(denied)
			return done()
		})
		if err == nil || !strings.Contains(err.Error(), "roles/pubsub.subscriber") {
			t.Errorf("%v", err)
		}
	})
	t.Run("of acknowledgements", func(t *testing.T) {
		ack := &script{always: denied}
		c := open(t, inMemory(t, on("Acknowledge", ack)).Address, Options{})
		c.settleWithin = 300 * time.Millisecond
		publish(t, c, event(1))
		err := c.Live().Receive(t.Context(), 1, func(context.Context, workers.Delivery) workers.Verdict { return done() })
		if err == nil || !strings.Contains(err.Error(), "acknowledge") || !strings.Contains(err.Error(), "roles/pubsub.subscriber") {
			t.Errorf("%v", err)
		}
	})
}

func TestACutLineLosesNothing(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		line := newLine(t, address(t))
		c := quick(t, open(t, line.address(), Options{}))
		handled := make(chan episode.ID, 100)
		receive(t, c.Live(), 2, func(_ context.Context, d workers.Delivery) workers.Verdict {
			line.cut() // while it is handled, so that a fetch and the verdict are hit
			handled <- d.Event.ID
			return done()
		})
		for n := range 5 {
			publish(t, c, event(n))
			for next(t, handled) != event(n).ID { // an acknowledgement may have been lost
			}
		}
	})
}

// What a count of deliveries says is told from what this process knows.
func TestAttemptsAndFailures(t *testing.T) {
	memory := newTallies(100)
	for i, step := range []struct {
		counted           int
		attempt, failures int
		ends              workers.Kind
	}{
		{0, 1, 0, workers.Release}, {0, 1, 0, workers.Retry}, {0, 2, 1, workers.Retry}, {0, 3, 2, workers.Release}, {0, 3, 2, workers.Done},
		{1, 1, 0, workers.Release}, {2, 1, 0, workers.Retry}, {3, 2, 1, workers.Release},
		{9, 7, 6, workers.Retry}, // others had it five times
		{0, 1, 0, workers.Done},
	} {
		if i == 5 || i == 9 {
			memory.note("m", workers.Done)
		}
		attempt, failures := memory.delivered("m", step.counted)
		if attempt != step.attempt || failures != step.failures {
			t.Errorf("delivery %d: attempt %d after %d failures, want %d and %d", i, attempt, failures, step.attempt, step.failures)
		}
		memory.note("m", step.ends)
	}
	for n := range 1000 {
		memory.delivered(string(rune(n)), 1)
	}
	if len(memory.young)+len(memory.old) > 100 {
		t.Errorf("%d messages are remembered", len(memory.young)+len(memory.old))
	}
}
