package pubsub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
)

// deployment is a client with subscriptions of its own.
func deployment(t *testing.T, address, project, name string) *Client {
	t.Helper()
	return quick(t, open(t, address, Options{Project: project, Subscriptions: Subscriptions{
		Live: name + "-live", Backlog: name + "-backlog", Removals: name + "-removals", DeadLetters: name + "-dead-letters",
	}}))
}

// Deployments with subscriptions of their own all have every event, so that one
// which passes by what is for another takes it from nobody.
func TestEachDeploymentHasEveryEvent(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		at, project := address(t), fmt.Sprintf("deployments-%d", projects.Add(1))
		all := []*Client{deployment(t, at, project, "prod"), deployment(t, at, project, "staging")}
		live, backlog, gone := event(1), event(2), event(3)
		live.Control.Recipients = []string{"staging"}
		backlog.Priority = episode.Backlog
		publish(t, all[0], live, backlog)
		if err := all[0].Remove(t.Context(), episode.Removal{ID: gone.ID, Revision: gone.Revision}); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			for source, want := range map[*Source]episode.ID{c.Live(): live.ID, c.Backlog(): backlog.ID, c.Removals(): gone.ID} {
				got := make(chan workers.Delivery, 1)
				stop := receive(t, source, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
					got <- d
					return workers.Verdict{Kind: workers.Done, Outcome: workers.Passed}
				})
				if d := next(t, got); d.Event.ID != want {
					t.Errorf("%s delivered %s, want %s", source.subscription, d.Event.ID, want)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			}
			if faults, _ := check(t, c); len(faults) != 0 {
				t.Errorf("%q", faults)
			}
		}
	})
}

// A deployment looks at the letters on its own subscription, and knows what its
// own subscriptions gave up.
func TestADeploymentsLettersAreItsOwn(t *testing.T) {
	server := inMemory(t)
	c := counting(deployment(t, server.Address, "p", "staging"))
	backlog := event(1)
	backlog.Priority = ""
	body, err := message.EncodePublished(backlog, message.Binary)
	if err != nil {
		t.Fatal(err)
	}
	server.Publish("projects/p/topics/earshot-dead-letters", body, map[string]string{attrForwardedFrom: "staging-backlog", attrForwardedAttempts: "100"})
	c.letters = 1
	seen := keep(t, c)
	if len(seen) != 1 || seen[0].Event.ID != backlog.ID || seen[0].Event.Priority != episode.Backlog || seen[0].Attempts != 100 {
		t.Errorf("%+v", seen)
	}
	if s := server.Messages()[0]; s.Deliveries != 1 {
		t.Errorf("delivered %d times", s.Deliveries)
	}
}

// asked keeps the subscriptions that a server was asked to make or change, and
// has it take the retention, of which the library's server allows less.
type asked struct {
	mu  sync.Mutex
	all []string
}

func (a *asked) React(request any) (bool, any, error) {
	var s *pubsubpb.Subscription
	switch r := request.(type) {
	case *pubsubpb.Subscription:
		s = r
	case *pubsubpb.UpdateSubscriptionRequest:
		s = r.Subscription
	default:
		return true, nil, errors.New("unexpected request")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, fmt.Sprintf("%s %s", s.Name[strings.LastIndexByte(s.Name, '/')+1:], s.MessageRetentionDuration.AsDuration()))
	s.MessageRetentionDuration = durationpb.New(emulatorRetention)
	return false, nil, nil
}

// A backlog of weeks is not deleted meanwhile: Pub/Sub keeps it for as long as it
// can, and a subscription that does not is a fault.
func TestMessagesAreKeptForAsLongAsPubSubCan(t *testing.T) {
	want := []string{"earshot-backlog 744h0m0s", "earshot-dead-letters 744h0m0s", "earshot-live 744h0m0s", "earshot-removals 744h0m0s"} // 31 days
	a := &asked{}
	c := open(t, inMemory(t, pstest.ServerReactorOption{FuncName: "CreateSubscription", Reactor: a}, pstest.ServerReactorOption{FuncName: "UpdateSubscription", Reactor: a}).Address, Options{})
	a.all = nil
	c.options.Emulator = "" // it is asked as Google's is
	faults, _ := check(t, c)
	if len(faults) != 4 || strings.Count(strings.Join(faults, "\n"), "kept for 168h0m0s") != 4 || strings.Count(strings.Join(faults, "\n"), "want 744h0m0s") != 4 {
		t.Errorf("a week is said to be enough: %q", faults)
	}
	create(t, c)
	if slices.Sort(a.all); !slices.Equal(a.all, want) {
		t.Errorf("set: %q, want %q", a.all, want)
	}
	for _, p := range c.places() {
		if p.subscription == "" {
			continue
		}
		if err := c.subs.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: c.subscription(p.subscription)}); err != nil {
			t.Fatal(err)
		}
	}
	a.all = nil
	create(t, c)
	if slices.Sort(a.all); !slices.Equal(a.all, want) {
		t.Errorf("made: %q, want %q", a.all, want)
	}
}

// A takedown is tried until it is done, however often that is: Pub/Sub itself
// takes none away.
func TestNothingTakesATakedownAway(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		c := bare(t, address(t), fmt.Sprintf("takedowns-%d", projects.Add(1)), message.Binary)
		policies := func() (with []string) {
			t.Helper()
			for _, p := range c.places() {
				if p.subscription == "" {
					continue
				}
				s, err := c.subs.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: c.subscription(p.subscription)})
				if err != nil {
					t.Fatal(err)
				}
				if s.DeadLetterPolicy != nil {
					with = append(with, p.subscription)
				}
			}
			return with
		}
		want := []string{"earshot-live", "earshot-backlog"}
		create(t, c)
		if got := policies(); !slices.Equal(got, want) {
			t.Errorf("subscriptions with a dead-letter policy: %q, want %q", got, want)
		}
		// One that an earlier version made has a policy.
		if err := c.subs.DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: c.subscription("earshot-removals")}); err != nil {
			t.Fatal(err)
		}
		old := c.wanted(place{id: "earshot-removals", schema: removed, subscription: "earshot-removals"})
		old.DeadLetterPolicy.MaxDeliveryAttempts = 5
		if _, err := c.subs.CreateSubscription(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		create(t, c)
		if got := policies(); !slices.Equal(got, want) {
			t.Errorf("subscriptions with a dead-letter policy: %q, want %q", got, want)
		}
		r := episode.Removal{ID: event(1).ID, Revision: 1}
		if err := c.Remove(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		const tries = 6 // the least that a policy takes away is after five
		got := make(chan workers.Delivery, tries)
		n := 0
		receive(t, c.Removals(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			got <- d
			if n++; n < tries {
				return workers.Verdict{Kind: workers.Retry, Err: errors.New("the CDN is away")}
			}
			return workers.Verdict{Kind: workers.Done, Outcome: workers.Removed}
		})
		for i := range tries {
			if d := next(t, got); d.Removal == nil || d.Removal.ID != r.ID || d.Attempt != i+1 || d.Failures != i {
				t.Errorf("delivery %d: %+v", i+1, d)
			}
		}
	})
}

// Four deliveries to workers that were stopped or preempted, and one failure, are
// one failure.
func TestHandingBackIsNotFailing(t *testing.T) {
	c := &Client{options: Options{Project: "p", Now: time.Now}}
	for name, deliveries := range map[string][]int{"to others": {5, 6}, "to others, with this one between": {1, 5}} {
		s := newSource(c, name, laneLive)
		var last workers.Delivery
		for _, counted := range deliveries {
			last = s.delivery(&pubsubpb.ReceivedMessage{Message: &pubsubpb.PubsubMessage{MessageId: "m"}, DeliveryAttempt: int32(counted)})
			s.tallies.note("m", workers.Retry)
		}
		if last.Failures != 1 || last.Attempt != deliveries[1] {
			t.Errorf("%s: attempt %d after %d failures, want %d after 1", name, last.Attempt, last.Failures, deliveries[1])
		}
	}
}
