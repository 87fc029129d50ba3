package workers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// known are Heads in memory that several workers share.
type known struct {
	mu   sync.Mutex
	all  map[episode.ID]Head
	fail error
}

func (k *known) Advance(_ context.Context, id episode.ID, h Head) (Head, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[episode.ID]Head{}
	}
	if h.Supersedes(k.all[id]) {
		k.all[id] = h
	}
	return k.all[id], k.fail
}

func (k *known) Newest(_ context.Context, id episode.ID) (Head, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[id], k.fail
}

func edition(revision episode.Revision) Delivery {
	return Delivery{Attempt: 1, Event: episode.Event{ID: "e", Revision: revision, Enclosure: episode.Enclosure{URL: "https://x/e.mp3"}}}
}

func takedown(revision episode.Revision) Delivery {
	return Delivery{Attempt: 1, Event: episode.Event{ID: "e", Revision: revision}, Removal: &episode.Removal{ID: "e", Revision: revision}}
}

// verdictsOf runs a worker on deliveries, one after the other, and gives what
// became of each.
func verdictsOf(t *testing.T, enrich Enrich, o Options, deliveries ...Delivery) []Verdict {
	t.Helper()
	l := &list{waiting: deliveries}
	if err := New(enrich, &letters{}, o).Run(t.Context(), Lane{"test", l, 1}); err != nil {
		t.Fatal(err)
	}
	return l.verdicts
}

func TestWhatIsOvertakenBeforeItBeginsIsNotBegun(t *testing.T) {
	began := map[episode.Revision]int{}
	enrich := func(_ context.Context, d Delivery) (Outcome, error) {
		began[d.Event.Revision]++
		return Enriched, nil
	}
	got := verdictsOf(t, enrich, Options{Heads: &known{}}, edition(2), edition(1), edition(2))
	if got[0].Outcome != Enriched || got[1].Outcome != Overtaken || got[2].Outcome != Enriched || began[1] != 0 {
		t.Errorf("%v; began %v", got, began)
	}
}

func TestANewerEditionEndsTheOlderInFlight(t *testing.T) {
	for name, newer := range map[string]Delivery{"a revision": edition(2), "a takedown of the same": takedown(1)} {
		t.Run(name, func(t *testing.T) {
			running := make(chan struct{})
			enrich := func(ctx context.Context, d Delivery) (Outcome, error) {
				if d.Event.Revision == 2 {
					return Enriched, nil
				}
				close(running)
				<-ctx.Done()
				return "", ctx.Err()
			}
			var mu sync.Mutex
			discarded := 0
			o := Options{
				Heads:  &known{},
				Remove: func(context.Context, Delivery) (Outcome, error) { return Removed, nil },
				Discard: func(context.Context, Delivery) error {
					mu.Lock()
					defer mu.Unlock()
					discarded++
					return nil
				},
			}
			w := New(enrich, &letters{}, o)
			older, later := &list{waiting: []Delivery{edition(1)}}, &gated{list: list{waiting: []Delivery{newer}}, gate: running}
			if err := w.Run(t.Context(), Lane{"older", older, 1}, Lane{"later", later, 1}); err != nil {
				t.Fatal(err)
			}
			if v := older.verdicts; len(v) != 1 || v[0].Kind != Done || v[0].Outcome != Overtaken {
				t.Errorf("the older edition: %v", v)
			}
			if v := later.verdicts; len(v) != 1 || v[0].Kind != Done || v[0].Outcome == Overtaken {
				t.Errorf("the newer: %v", v)
			}
			if want := newer.Removal != nil; want != (discarded == 1) {
				t.Errorf("discarded %d times", discarded)
			}
		})
	}
}

// gated is a list that begins when something else has.
type gated struct {
	list
	gate chan struct{}
}

func (g *gated) Receive(ctx context.Context, slots int, handle Handler) error {
	<-g.gate
	return g.list.Receive(ctx, slots, handle)
}

func TestAnotherProcesssNewerEditionEndsTheOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heads := &known{}
		enrich := func(ctx context.Context, _ Delivery) (Outcome, error) {
			if _, err := heads.Advance(ctx, "e", Head{Revision: 2}); err != nil { // as another process would
				return "", err
			}
			<-ctx.Done()
			return "", ctx.Err()
		}
		began := time.Now()
		got := verdictsOf(t, enrich, Options{Heads: heads, HeadPoll: time.Second}, edition(1))
		if got[0].Outcome != Overtaken || time.Since(began) != time.Second {
			t.Errorf("%v after %s", got, time.Since(began))
		}
	})
}

// What a takedown did not see, since it came between the last effect and the
// end, is discarded before the event is acknowledged.
func TestATakedownDuringTheLastEffectIsSeen(t *testing.T) {
	heads := &known{}
	enrich := func(ctx context.Context, _ Delivery) (Outcome, error) {
		_, err := heads.Advance(ctx, "e", Head{Revision: 1, Removed: true})
		return Enriched, err
	}
	failures := 1
	o := Options{Heads: heads, Backoff: Backoff{First: time.Nanosecond}, Discard: func(context.Context, Delivery) error {
		if failures--; failures == 0 {
			return errors.New("the bucket is away")
		}
		return nil
	}}
	got := verdictsOf(t, enrich, o, edition(1))
	if len(got) != 2 || got[0].Kind != Release || got[1].Outcome != Overtaken || failures != -1 {
		t.Errorf("%v, failures %d", got, failures)
	}
}

func TestUnknownHeadsAreAnOutage(t *testing.T) {
	heads := &known{fail: errors.New("the bucket is away")}
	enrich := func(context.Context, Delivery) (Outcome, error) {
		if heads.fail != nil {
			t.Error("began")
		}
		return Enriched, nil
	}
	deliveries := 0
	got := verdictsOf(t, enrich, Options{Heads: heads, MaxFailures: 2, Backoff: Backoff{First: time.Nanosecond}, Observe: func(Delivery, Verdict, time.Duration) {
		if deliveries++; deliveries == 10 {
			heads.fail = nil
		}
	}}, edition(1))
	if len(got) != 11 || got[0].Kind != Release || got[9].Kind != Release || got[10].Outcome != Enriched {
		t.Errorf("%v", got)
	}
}

func TestAPingAdvancesNothing(t *testing.T) {
	heads := &known{}
	ping := edition(9)
	ping.Event.Control.Ping = true
	enrich := func(context.Context, Delivery) (Outcome, error) { return Enriched, nil }
	got := verdictsOf(t, enrich, Options{Heads: heads}, ping, edition(1))
	if got[1].Outcome != Enriched || heads.all["e"].Revision != 1 {
		t.Errorf("%v, %v", got, heads.all)
	}
}

func TestARemovalIsItsOwnWork(t *testing.T) {
	enrich := func(context.Context, Delivery) (Outcome, error) {
		t.Error("a removal was enriched")
		return Enriched, nil
	}
	got := verdictsOf(t, enrich, Options{Remove: func(_ context.Context, d Delivery) (Outcome, error) {
		if d.Removal.Revision != 3 {
			t.Errorf("%+v", d)
		}
		return Removed, nil
	}}, takedown(3))
	if got[0].Outcome != Removed {
		t.Errorf("%v", got)
	}
	if got := verdictsOf(t, enrich, Options{}, takedown(3)); got[0].Kind != Reject {
		t.Errorf("where there are no takedowns: %v", got)
	}
	if got := verdictsOf(t, enrich, Options{Remove: enrich}, takedown(0)); got[0].Kind != Reject || got[0].Reason != Malformed {
		t.Errorf("a removal without a revision: %v", got)
	}
}

func TestATakedownIsTriedUntilItIsDone(t *testing.T) {
	tries := 0
	remove := func(context.Context, Delivery) (Outcome, error) {
		if tries++; tries < 40 {
			return "", errors.New("the CDN is away")
		}
		return Removed, nil
	}
	o := Options{Remove: remove, MaxFailures: 3, MaxDeliveries: 10, Backoff: Backoff{First: time.Nanosecond, Longest: time.Nanosecond}}
	got := verdictsOf(t, nil, o, takedown(3))
	if last := got[len(got)-1]; len(got) != 40 || last.Outcome != Removed {
		t.Errorf("%d verdicts, the last %v", len(got), last)
	}
}
