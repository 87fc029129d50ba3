package workers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// known are Heads in memory that several workers share.
type known struct {
	mu   sync.Mutex
	all  map[episode.ID]Editions
	fail error
}

func (k *known) Look(_ context.Context, id episode.ID) (Editions, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[id], k.fail
}

func (k *known) Change(_ context.Context, id episode.ID, change func(Editions) Editions) (Editions, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[episode.ID]Editions{}
	}
	k.all[id] = change(k.all[id])
	return k.all[id], k.fail
}

func published(revision episode.Revision) Delivery {
	return Delivery{Attempt: 1, Event: episode.Event{ID: "e", Revision: revision, Enclosure: episode.Enclosure{URL: "https://x/e.mp3"}}}
}

func withControl(d Delivery, c episode.Control) Delivery {
	d.Event.Control = c
	return d
}

func takedown(revision episode.Revision) Delivery {
	return Delivery{Attempt: 1, Event: episode.Event{ID: "e", Revision: revision}, Removal: &episode.Removal{ID: "e", Revision: revision}}
}

// ends runs a worker on deliveries, one after the other, until none comes back,
// and gives how each verdict ended.
func ends(t *testing.T, enrich Enrich, o Options, deliveries ...Delivery) (all []string) {
	t.Helper()
	l := &list{waiting: deliveries}
	if err := New(enrich, &letters{}, o).Run(t.Context(), Lane{"test", l, 1}); err != nil {
		t.Fatal(err)
	}
	for _, v := range l.verdicts {
		end := string(v.Kind)
		if v.Kind == Done {
			end = string(v.Outcome)
		}
		all = append(all, end)
	}
	return all
}

func enriches(context.Context, Delivery) (Outcome, error) { return Enriched, nil }

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWhatIsOvertakenBeforeItBeginsIsNotBegun(t *testing.T) {
	began := map[episode.Revision]int{}
	enrich := func(_ context.Context, d Delivery) (Outcome, error) {
		began[d.Event.Revision]++
		return Enriched, nil
	}
	expect(t, ends(t, enrich, Options{Heads: &known{}}, published(2), published(1), published(2)), "enriched", "overtaken", "enriched")
	if began[1] != 0 {
		t.Error("revision 1 was begun")
	}
}

// Only what shows the whole of a newer edition overtakes an older one.
func TestWhatNeverShowsOvertakesNothing(t *testing.T) {
	enrich := func(_ context.Context, d Delivery) (Outcome, error) {
		if d.Event.Revision == 2 && d.Event.Control.Targets == nil {
			return "", Rejected("decode", "no audio", errors.New("silence"))
		}
		return Enriched, nil
	}
	for name, c := range map[string]struct {
		newer Delivery
		end   string
	}{
		"it is for others":     {withControl(published(2), episode.Control{Recipients: []string{"staging"}}), "passed"},
		"it asks for a part":   {withControl(published(2), episode.Control{Targets: []string{"transcript"}}), "enriched"},
		"it is rejected":       {published(2), "reject"},
		"it is no edition":     {published(1 << 50), "reject"},
		"it has failed before": {Delivery{Attempt: 99, Event: published(2).Event}, "reject"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, ends(t, enrich, Options{Name: "live", Heads: &known{}}, c.newer, published(1)), c.end, "enriched")
		})
	}
}

func TestAnEventForThisWorkerIsTaken(t *testing.T) {
	d := withControl(published(1), episode.Control{Recipients: []string{"staging", "live"}})
	expect(t, ends(t, enriches, Options{Name: "live"}, d), "enriched")
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

// An older edition stops when a newer one begins, and ends by how that ends.
func TestANewerEditionEndsTheOlderInFlight(t *testing.T) {
	for name, c := range map[string]struct {
		newer     Delivery
		rejected  bool
		older     []string
		discarded int
	}{
		"it is done":                {published(2), false, []string{"overtaken"}, 0},
		"it is rejected":            {published(2), true, []string{"release", "enriched"}, 0},
		"it is a takedown":          {takedown(1), false, []string{"overtaken"}, 1},
		"it asks for a part of it":  {withControl(published(2), episode.Control{Targets: []string{"topics"}}), false, []string{"enriched"}, 0},
		"it is the same once again": {published(1), false, []string{"enriched"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			running, newerDone, first := make(chan struct{}), make(chan struct{}), true
			enrich := func(ctx context.Context, d Delivery) (Outcome, error) {
				if d.Attempt == 1 && first {
					first = false
					close(running)
					select {
					case <-ctx.Done():
						return "", ctx.Err()
					case <-newerDone: // nothing took its place
						return Enriched, nil
					}
				}
				if c.rejected && d.Event.Revision == 2 {
					return "", Rejected("decode", "no audio", errors.New("silence"))
				}
				return Enriched, nil
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
				Observe: func(d Delivery, _ Verdict, _ time.Duration) {
					if d.Event.Title == "newer" {
						close(newerDone)
					}
				},
			}
			w := New(enrich, &letters{}, o)
			c.newer.Event.Title = "newer"
			older, later := &list{waiting: []Delivery{published(1)}, gate: newerDone}, &gated{list: list{waiting: []Delivery{c.newer}}, gate: running}
			if err := w.Run(t.Context(), Lane{"older", older, 1}, Lane{"later", later, 1}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range older.verdicts {
				if v.Kind == Done {
					got = append(got, string(v.Outcome))
				} else {
					got = append(got, string(v.Kind))
				}
				if v.Kind == Release && v.After < yieldFirst {
					t.Errorf("it comes back after %s", v.After)
				}
			}
			if got[0] == string(Release) && c.newer.Event.Revision == 2 && !c.rejected && c.newer.Removal == nil {
				got = got[1:] // it looked before the newer one was done
			}
			expect(t, got, c.older...)
			if discarded != c.discarded {
				t.Errorf("discarded %d times", discarded)
			}
		})
	}
}

func TestAnotherProcesssEditionEndsTheOlder(t *testing.T) {
	for name, c := range map[string]struct {
		change func(Editions) Editions
		end    string
	}{
		"done":  {func(e Editions) Editions { return e.done(2) }, "overtaken"},
		"begun": {func(e Editions) Editions { return e.begin(2) }, "release"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				heads := &known{}
				again := false
				enrich := func(ctx context.Context, _ Delivery) (Outcome, error) {
					if _, err := heads.Change(ctx, "e", c.change); err != nil { // as another process would
						return "", err
					}
					<-ctx.Done()
					again = true
					return "", ctx.Err()
				}
				began := time.Now()
				w := New(enrich, &letters{}, Options{Heads: heads, HeadPoll: time.Second})
				v := w.handle(t.Context(), t.Context(), func(error) {}, published(1))
				end := string(v.Kind)
				if v.Kind == Done {
					end = string(v.Outcome)
				}
				if end != c.end || time.Since(began) != time.Second || !again {
					t.Errorf("%v after %s", v, time.Since(began))
				}
			})
		})
	}
}

// What waits for a newer edition is not given up, however often it comes.
func TestWhatWaitsIsNotGivenUp(t *testing.T) {
	heads := &known{all: map[episode.ID]Editions{"e": {Begun: 2}}}
	w := New(enriches, &letters{}, Options{Heads: heads})
	d := published(1)
	d.Attempt = 1000
	if v := w.handle(t.Context(), t.Context(), func(error) {}, d); v.Kind != Release || v.After != yieldLongest {
		t.Errorf("%v", v)
	}
}

// What a takedown did not see, since it came between the last effect and the
// end, is discarded before the event is acknowledged.
func TestATakedownDuringTheLastEffectIsSeen(t *testing.T) {
	for name, d := range map[string]Delivery{"whole": published(1), "a part": withControl(published(1), episode.Control{Targets: []string{"topics"}})} {
		t.Run(name, func(t *testing.T) {
			heads := &known{}
			enrich := func(ctx context.Context, _ Delivery) (Outcome, error) {
				_, err := heads.Change(ctx, "e", func(e Editions) Editions { return e.TakenDown(1) })
				return Enriched, err
			}
			discards := 0
			o := Options{Heads: heads, Backoff: Backoff{First: time.Nanosecond, Longest: time.Nanosecond}, Discard: func(context.Context, Delivery) error {
				if discards++; discards == 1 {
					return errors.New("the bucket is away")
				}
				return nil
			}}
			expect(t, ends(t, enrich, o, d), "release", "overtaken")
			if discards != 2 {
				t.Errorf("discarded %d times", discards)
			}
		})
	}
}

// A newer revision ends no takedown: what that covers must still go.
func TestANewerEditionEndsNoTakedown(t *testing.T) {
	heads := &known{}
	tries := 0
	remove := func(ctx context.Context, _ Delivery) (Outcome, error) {
		if _, err := heads.Change(ctx, "e", func(e Editions) Editions { return e.begin(2).done(2) }); err != nil {
			return "", err
		}
		if tries++; tries < 3 {
			return "", errors.New("the CDN is away")
		}
		return Removed, ctx.Err()
	}
	o := Options{Heads: heads, Remove: remove, Backoff: Backoff{First: time.Nanosecond, Longest: time.Nanosecond}}
	expect(t, ends(t, nil, o, takedown(1), published(1)), "retry", "overtaken", "retry", "removed")
}

func TestUnknownHeadsAreAnOutage(t *testing.T) {
	heads := &known{fail: errors.New("the bucket is away")}
	w := New(enriches, &letters{}, Options{Heads: heads})
	if v := w.handle(t.Context(), t.Context(), func(error) {}, published(1)); v.Kind != Release || v.After <= 0 {
		t.Errorf("%v", v)
	}
}

func TestAPingAdvancesNothing(t *testing.T) {
	heads := &known{}
	ping := withControl(published(9), episode.Control{Ping: true})
	expect(t, ends(t, enriches, Options{Heads: heads}, ping, published(1)), "enriched", "enriched")
	if heads.all["e"].Begun != 1 {
		t.Errorf("%+v", heads.all)
	}
}

func TestARemovalIsItsOwnWork(t *testing.T) {
	remove := func(_ context.Context, d Delivery) (Outcome, error) {
		if d.Removal.Revision != 3 {
			t.Errorf("%+v", d)
		}
		return Removed, nil
	}
	expect(t, ends(t, nil, Options{Remove: remove}, takedown(3)), "removed")
	expect(t, ends(t, nil, Options{}, takedown(3)), "reject")
	expect(t, ends(t, nil, Options{Remove: remove}, takedown(0)), "reject")
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
	got := ends(t, nil, o, takedown(3))
	if last := got[len(got)-1]; len(got) != 40 || last != "removed" {
		t.Errorf("%d verdicts, the last %s", len(got), last)
	}
}
