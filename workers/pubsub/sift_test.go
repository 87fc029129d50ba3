package pubsub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

// keep looks at all letters.
func keep(t *testing.T, l workers.Letters) (seen []workers.DeadLetter) {
	t.Helper()
	err := l.Sift(t.Context(), func(d workers.DeadLetter) (workers.Fate, error) {
		seen = append(seen, d)
		return workers.Keep, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func file(t *testing.T, l workers.Letters, letters ...workers.DeadLetter) {
	t.Helper()
	for _, d := range letters {
		if err := l.File(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

// Silence alone ends a pass, and none of many letters that are held keeps the
// next from coming.
func TestManyLettersAreEachSeenOnce(t *testing.T) {
	const many = 2500
	server := inMemory(t)
	k := counting(open(t, server.Address, Options{Project: "p"}))
	for n := range many {
		body, err := json.Marshal(workerstest.Letter(n))
		if err != nil {
			t.Fatal(err)
		}
		server.Publish("projects/p/topics/earshot-dead-letters", body, nil)
	}
	k.letters = many
	for range 2 {
		seen := map[string]int{}
		for _, l := range keep(t, k) {
			seen[l.ID]++
		}
		if len(seen) != many {
			t.Errorf("%d letters were seen", len(seen))
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was seen %d times", id, n)
			}
		}
	}
}

func TestSilenceEndsAPass(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		c := open(t, address(t), Options{Silence: time.Second})
		if seen := keep(t, c); len(seen) != 0 {
			t.Errorf("%v", seen)
		}
	})
}

func TestAnOutageIsNoSilence(t *testing.T) {
	pull := &script{always: status.Error(codes.Unavailable, "down")}
	c := open(t, inMemory(t, on("Pull", pull)).Address, Options{})
	c.silent = func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		pull.called = func(calls int) {
			if calls == 3 {
				cancel()
			}
		}
		return ctx, cancel
	}
	decide := func(workers.DeadLetter) (workers.Fate, error) { return workers.Keep, nil }
	if err := c.Sift(t.Context(), decide); err == nil || !strings.Contains(err.Error(), "down") {
		t.Errorf("%v", err)
	}
	pull.set(status.Error(codes.PermissionDenied, "you may not"))
	if err := c.Sift(t.Context(), decide); err == nil || !strings.Contains(err.Error(), "roles/pubsub.subscriber") {
		t.Errorf("%v", err)
	}
}

// A worker that dies between filing and acknowledging leaves a letter to be filed
// again.
func TestALetterFiledTwiceIsDecidedOnce(t *testing.T) {
	for _, fate := range []workers.Fate{workers.Drop, workers.Replay} {
		t.Run(string(fate), func(t *testing.T) {
			server := inMemory(t)
			k := counting(open(t, server.Address, Options{}))
			file(t, k, workerstest.Letter(1), workerstest.Letter(1), workerstest.Letter(2))
			k.letters = 2 // are seen
			decided := 0
			err := k.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
				if l.ID != workerstest.Letter(1).ID {
					return workers.Keep, nil
				}
				decided++
				return fate, nil
			})
			replays := 0
			for _, m := range server.Messages() {
				if strings.HasSuffix(m.Topic, "earshot-live") {
					replays++
				}
			}
			if err != nil || decided != 1 || fate == workers.Replay && replays != 1 {
				t.Errorf("%v, decided %d times, replayed %d times", err, decided, replays)
			}
		})
	}
}

// What was replayed may be rejected again while the pass goes on: that letter is
// another's to decide on.
func TestALetterThatComesBackDuringThePassStays(t *testing.T) {
	c := open(t, inMemory(t).Address, Options{Silence: time.Second})
	file(t, c, workerstest.Letter(1))
	again := workerstest.Letter(1)
	again.Detail = "again"
	err := c.Sift(t.Context(), func(workers.DeadLetter) (workers.Fate, error) { return workers.Replay, c.File(t.Context(), again) })
	if err != nil {
		t.Fatal(err)
	}
	k := counting(c)
	k.letters = 1
	if left := keep(t, k); !reflect.DeepEqual(left, []workers.DeadLetter{again}) {
		t.Errorf("left are %+v", left)
	}
}

func TestALetterWhoseLeaseIsOverEndsNoPass(t *testing.T) {
	ack := &script{errors: []error{over(t, "m0:1", "m1:1")}} // whichever comes first
	k := counting(open(t, inMemory(t, on("Acknowledge", ack)).Address, Options{}))
	file(t, k, workerstest.Letter(1), workerstest.Letter(2))
	err := k.Sift(t.Context(), func(workers.DeadLetter) (workers.Fate, error) { return workers.Drop, nil })
	if err != nil || ack.calls != 2 {
		t.Errorf("%v after %d acknowledgements", err, ack.calls)
	}
}

func TestAnInterruptedPassGivesBackWhatItHeld(t *testing.T) {
	k := counting(open(t, inMemory(t).Address, Options{}))
	file(t, k, workerstest.Letter(1), workerstest.Letter(2), workerstest.Letter(3))
	ctx, cancel := context.WithCancel(t.Context())
	err := k.Client.Sift(ctx, func(workers.DeadLetter) (workers.Fate, error) {
		cancel()
		return workers.Keep, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if seen := keep(t, k); len(seen) != 3 {
		t.Errorf("%d letters are there", len(seen))
	}
}

// What Pub/Sub itself gave up on, by its subscriptions' policy, is a dead letter
// like the others.
func TestMessagesThatPubSubGaveUpOnAreLetters(t *testing.T) {
	server := inMemory(t)
	c := open(t, server.Address, Options{Project: "p"})
	k := counting(c)
	e := event(1)
	body := encoded(t, e, message.Binary)
	removal, err := message.EncodeRemoved(episode.Removal{ID: "x", Revision: 7}, message.JSON)
	if err != nil {
		t.Fatal(err)
	}
	give := func(from string, body []byte) {
		server.Publish("projects/p/topics/earshot-dead-letters", body, map[string]string{
			"CloudPubSubDeadLetterSourceSubscription": from, "CloudPubSubDeadLetterSourceDeliveryCount": "100",
		})
		k.letters++
	}
	give("earshot-backlog", body)
	give("earshot-removals", removal)
	give("earshot-live", []byte("\xff"))
	server.Publish("projects/p/topics/earshot-dead-letters", []byte("what is this?"), nil)
	k.letters++
	byID := map[string]workers.DeadLetter{}
	for _, l := range keep(t, k) {
		byID[l.ID] = l
	}
	if l := byID[string(e.ID)+"@1795154400001"]; l.Reason != "never finished" || l.Attempts != 100 || l.Event.Title != e.Title || l.Event.Priority != episode.Backlog || l.Filed.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := byID["x@7-removal"]; l.Removal == nil || l.Reason != "never finished" {
		t.Errorf("%+v", l)
	}
	for _, raw := range []string{"\xff", "what is this?"} {
		l := byID[workers.LetterID(workers.Delivery{Raw: []byte(raw)})]
		if l.Reason != workers.Malformed || string(l.Raw) != raw || l.Detail == "" {
			t.Errorf("%q: %+v", raw, l)
		}
	}
	err = k.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		if l.Reason == workers.Malformed {
			return workers.Keep, nil
		}
		return workers.Replay, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan workers.Delivery, 2)
	for _, s := range []*Source{c.Backlog(), c.Removals()} {
		receive(t, s, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			got <- d
			return done()
		})
		next(t, got)
	}
}

// The subscription's own policy is the last net: what no worker comes to an end
// with is taken away by Pub/Sub, and can be looked at and replayed all the same.
func TestTheLastNet(t *testing.T) {
	address := emulated(t)
	if address == "" {
		return // the in-memory server does not say where a message comes from
	}
	c := open(t, address, Options{})
	policy := &pubsubpb.DeadLetterPolicy{DeadLetterTopic: c.topic(c.options.Names.DeadLetters), MaxDeliveryAttempts: 5}
	_, err := c.subs.UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
		Subscription: &pubsubpb.Subscription{Name: c.Live().subscription, DeadLetterPolicy: policy},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"dead_letter_policy", "retry_policy"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, event(1))
	handled := make(chan struct{}, 10)
	stop := receive(t, c.Live(), 1, func(context.Context, workers.Delivery) workers.Verdict {
		handled <- struct{}{}
		return workers.Verdict{Kind: workers.Release}
	})
	for range 5 {
		next(t, handled)
	}
	k := counting(c)
	k.letters = 1
	err = k.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		if l.Reason != "never finished" || l.Event.ID != event(1).ID || l.Attempts != 5 {
			t.Errorf("%+v", l)
		}
		return workers.Replay, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	next(t, handled)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestALargeLetterIsCutDownNotLost(t *testing.T) {
	const most = 1_000_000
	large := workerstest.Letter(1)
	for name, test := range map[string]struct {
		spoil func(*workers.DeadLetter)
		check func(workers.DeadLetter) bool
	}{
		"a large malformed message": {func(l *workers.DeadLetter) { l.Raw = bytes.Repeat([]byte{1}, 9<<17) }, func(l workers.DeadLetter) bool { return len(l.Raw) > 700_000 }},
		"a long description":        {func(l *workers.DeadLetter) { l.Event.Description = strings.Repeat("é", 6<<17) }, func(l workers.DeadLetter) bool { return len(l.Event.Description) > 900_000 }},
		"a description of controls": {func(l *workers.DeadLetter) { l.Event.Description = strings.Repeat("\x01", 4<<17) }, func(l workers.DeadLetter) bool { return l.Event.Title != "" }},
		"a long detail":             {func(l *workers.DeadLetter) { l.Detail = strings.Repeat("é", 6<<17) }, func(l workers.DeadLetter) bool { return len(l.Detail) > 9000 }},
		"a long title":              {func(l *workers.DeadLetter) { l.Event.Title = strings.Repeat("x", 11<<17) }, func(l workers.DeadLetter) bool { return l.Event.Enclosure.URL != "" }},
	} {
		l := large
		test.spoil(&l)
		body, err := letterBody(l, most)
		if err != nil || len(body) > most {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
			continue
		}
		var got workers.DeadLetter
		if err := json.Unmarshal(body, &got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got.ID != l.ID || got.Event.ID != l.Event.ID || got.Event.Revision != l.Event.Revision || got.Reason != l.Reason || !strings.Contains(got.Detail, "was cut down") || !test.check(got) {
			t.Errorf("%s: %.300s", name, body)
		}
	}
	if _, err := letterBody(workers.DeadLetter{Event: episode.Event{Enclosure: episode.Enclosure{URL: strings.Repeat("x", 2*most)}}}, most); err == nil {
		t.Error("2 MB of address were cut")
	}
	k := counting(open(t, inMemory(t).Address, Options{}))
	large.Raw, large.Reason = bytes.Repeat([]byte{1}, 9<<20), workers.Malformed
	file(t, k, large)
	if seen := keep(t, k); len(seen) != 1 || seen[0].ID != large.ID {
		t.Errorf("%d letters", len(seen))
	}
}
