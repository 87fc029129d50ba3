package workers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a source in memory: it delivers its events until each is done or
// rejected, waits as retries ask, and is then exhausted.
type list struct {
	mu       sync.Mutex
	waiting  []Delivery
	verdicts []Verdict
	endless  bool            // not exhausted when empty: waits for the stop
	gate     <-chan struct{} // nil, or what comes back waits for in the place of its time
	fail     error
}

func events(n int) *list {
	l := &list{}
	for i := range n {
		l.waiting = append(l.waiting, Delivery{Attempt: 1, Event: episode.Event{
			ID: episode.ID(fmt.Sprint("e", i)), Revision: 1, Enclosure: episode.Enclosure{URL: "https://x/e.mp3"}}})
	}
	return l
}

func (l *list) Receive(ctx context.Context, slots int, handle Handler) error {
	var running sync.WaitGroup
	for range slots {
		running.Go(func() {
			for ctx.Err() == nil {
				l.mu.Lock()
				if len(l.waiting) == 0 {
					l.mu.Unlock()
					return
				}
				d := l.waiting[0]
				l.waiting = l.waiting[1:]
				l.mu.Unlock()
				v := handle(context.WithoutCancel(ctx), d)
				if l.gate != nil {
					<-l.gate
				} else if v.After > 0 {
					select {
					case <-time.After(v.After):
					case <-ctx.Done():
					}
				}
				l.mu.Lock()
				l.verdicts = append(l.verdicts, v)
				switch v.Kind {
				case Retry:
					d.Attempt++
					d.Failures++
				case Release: // counts as nothing
				default:
					d.Attempt++
				}
				if v.Kind == Retry || v.Kind == Release {
					l.waiting = append(l.waiting, d)
				}
				l.mu.Unlock()
			}
		})
	}
	running.Wait()
	if l.fail != nil {
		return l.fail
	}
	if l.endless {
		<-ctx.Done()
	}
	return nil
}

func (l *list) kinds() string {
	var all []string
	for _, v := range l.verdicts {
		all = append(all, string(v.Kind))
	}
	return strings.Join(all, " ")
}

// letters keeps dead letters in memory.
type letters struct {
	mu    sync.Mutex
	filed []DeadLetter
	fails int // how many calls to refuse
}

func (l *letters) File(_ context.Context, letter DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails > 0 {
		l.fails--
		return errors.New("no space")
	}
	l.filed = append(l.filed, letter)
	return nil
}

func lane(s Source) Lane { return Lane{Name: "test", Source: s, Slots: 2} }

func TestErrorsBecomeVerdicts(t *testing.T) {
	cause := errors.New("cause")
	tests := []struct {
		name    string
		outcome Outcome
		err     error
		want    Kind
		letter  string
	}{
		{"enriched", Enriched, nil, Done, ""},
		{"overtaken", Overtaken, nil, Done, ""},
		{"rejected", "", fmt.Errorf("node: %w", Rejected("decode", "no audio", cause)), Reject, "no audio"},
		{"no outcome", "", nil, Reject, "internal error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source, dead := events(1), &letters{}
			w := New(func(context.Context, Delivery) (Outcome, error) { return test.outcome, test.err }, dead, Options{})
			if err := w.Run(t.Context(), lane(source)); err != nil {
				t.Fatal(err)
			}
			if source.kinds() != string(test.want) || source.verdicts[0].Outcome != test.outcome {
				t.Errorf("verdicts %+v", source.verdicts)
			}
			if test.letter == "" && len(dead.filed) == 0 {
				return
			}
			if len(dead.filed) != 1 || dead.filed[0].Reason != test.letter || dead.filed[0].Attempts != 1 || dead.filed[0].Filed.IsZero() {
				t.Errorf("letters %+v", dead.filed)
			}
			if test.err != nil && (dead.filed[0].Node != "decode" || !strings.Contains(dead.filed[0].Detail, "cause")) {
				t.Errorf("letters %+v", dead.filed)
			}
		})
	}
}

func TestATransientFaultIsTriedAgainThenFiled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, dead := events(1), &letters{}
		tries := 0
		w := New(func(context.Context, Delivery) (Outcome, error) {
			tries++
			return "", errors.New("the network is down")
		}, dead, Options{MaxFailures: 4})
		if err := w.Run(t.Context(), lane(source)); err != nil {
			t.Fatal(err)
		}
		if source.kinds() != "retry retry retry reject" || tries != 4 {
			t.Errorf("%s after %d tries", source.kinds(), tries)
		}
		if l := dead.filed; len(l) != 1 || l[0].Reason != "failed too often" || !strings.Contains(l[0].Detail, "the network is down") {
			t.Errorf("letters %+v", l)
		}
		for i, v := range source.verdicts[:3] {
			if v.After > 2*time.Second<<i {
				t.Errorf("the wait after failure %d is out of bounds: %v", i+1, v)
			}
		}
	})
}

func TestAnAskedForWaitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := events(1)
		w := New(func(_ context.Context, d Delivery) (Outcome, error) {
			if d.Failures == 0 {
				return "", RetryAfter(time.Hour, errors.New("429"))
			}
			return Enriched, nil
		}, &letters{}, Options{})
		if err := w.Run(t.Context(), lane(source)); err != nil || source.kinds() != "retry done" || source.verdicts[0].After != time.Hour {
			t.Errorf("%v, %v", source.verdicts, err)
		}
	})
}

func TestAPanicHurtsOneEpisodeOnly(t *testing.T) {
	source, dead := events(10), &letters{}
	w := New(func(_ context.Context, d Delivery) (Outcome, error) {
		if d.Event.ID == "e3" {
			panic("index out of range")
		}
		return Enriched, nil
	}, dead, Options{})
	if err := w.Run(t.Context(), lane(source)); err != nil {
		t.Fatal(err)
	}
	if strings.Count(source.kinds(), "done") != 9 || len(dead.filed) != 1 || dead.filed[0].Event.ID != "e3" ||
		!strings.Contains(dead.filed[0].Detail, "index out of range") || !strings.Contains(dead.filed[0].Detail, "worker_test.go") {
		t.Errorf("%s, %+v", source.kinds(), dead.filed)
	}
}

func TestAnEventThatTakesWorkersDownIsFiled(t *testing.T) {
	source, dead := events(1), &letters{}
	source.waiting[0].Attempt = 26
	w := New(func(context.Context, Delivery) (Outcome, error) { panic("tried once more") }, dead, Options{})
	if err := w.Run(t.Context(), lane(source)); err != nil || len(dead.filed) != 1 || dead.filed[0].Reason != "never finished" {
		t.Errorf("%+v, %v", dead.filed, err)
	}
}

func TestAMalformedEventIsFiled(t *testing.T) {
	source, dead := events(2), &letters{}
	source.waiting[0].Event.Enclosure.URL = ""
	source.waiting[1].Malformed = &episode.FieldError{Field: "published_at", Problem: "is no time"} // the rest of it would do
	w := New(func(context.Context, Delivery) (Outcome, error) { panic("tried") }, dead, Options{})
	if err := w.Run(t.Context(), Lane{Name: "test", Source: source, Slots: 1}); err != nil || len(dead.filed) != 2 {
		t.Fatalf("%+v, %v", dead.filed, err)
	}
	for i, field := range []string{"enclosure.url", "published_at"} {
		if l := dead.filed[i]; l.Reason != "malformed event" || !strings.Contains(l.Detail, field) || l.Event.ID == "" {
			t.Errorf("%+v", l)
		}
	}
}

func TestARejectionThatCannotBeFiledIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, dead := events(1), &letters{fails: 2}
		w := New(func(context.Context, Delivery) (Outcome, error) {
			return "", Rejected("decode", "no audio", errors.New("silence"))
		}, dead, Options{})
		if err := w.Run(t.Context(), lane(source)); err != nil {
			t.Fatal(err)
		}
		if source.kinds() != "retry retry reject" || len(dead.filed) != 1 {
			t.Errorf("%s, %+v", source.kinds(), dead.filed)
		}
	})
}

func TestAStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := events(4)
		source.endless = true
		ctx, stop := context.WithCancel(t.Context())
		w := New(func(ctx context.Context, d Delivery) (Outcome, error) {
			length := 10 * time.Second // within the grace
			if d.Event.ID == "e1" {
				length = time.Hour
			}
			select {
			case <-time.After(length):
				return Enriched, nil
			case <-ctx.Done():
				return "", Rejected("decode", "damaged", context.Cause(ctx)) // what a cancelled decoder may say
			}
		}, &letters{}, Options{Grace: 30 * time.Second})
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		if err := w.Run(ctx, lane(source)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 31*time.Second {
			t.Errorf("the drain ended after %s", took)
		}
		if source.kinds() != "done release" || len(source.waiting) != 3 {
			t.Errorf("verdicts %s, %d waiting", source.kinds(), len(source.waiting))
		}
		if !errors.Is(source.verdicts[1].Err, errGraceOver) {
			t.Errorf("released for %v", source.verdicts[1].Err)
		}
	})
}

func TestABrokenProcessHandsItsWorkBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := events(6)
		broken := errors.New("the device fell off the bus")
		w := New(func(ctx context.Context, d Delivery) (Outcome, error) {
			if d.Event.ID == "e1" {
				return "", fmt.Errorf("transcript: %w", Broken(broken))
			}
			<-time.After(time.Second)
			return Enriched, nil
		}, &letters{}, Options{})
		if err := w.Run(t.Context(), lane(source)); !errors.Is(err, broken) {
			t.Errorf("Run = %v", err)
		}
		if source.kinds() != "release done" || len(source.waiting) != 5 {
			t.Errorf("%s, %d waiting", source.kinds(), len(source.waiting))
		}
	})
}

func TestAFailedSourceStopsTheOthers(t *testing.T) {
	bad, good := events(0), events(0)
	bad.fail, good.endless = errors.New("no such subscription"), true
	w := New(func(context.Context, Delivery) (Outcome, error) { return Enriched, nil }, &letters{}, Options{})
	err := w.Run(t.Context(), Lane{Name: "live", Source: bad, Slots: 1}, Lane{Name: "backlog", Source: good, Slots: 1})
	if !errors.Is(err, bad.fail) || !strings.Contains(err.Error(), `lane "live"`) {
		t.Errorf("%v", err)
	}
	if err := w.Run(t.Context(), Lane{Name: "live", Source: good}); err == nil {
		t.Error("a lane without slots was accepted")
	}
}

func TestObserveSeesEveryVerdict(t *testing.T) {
	var (
		mu   sync.Mutex
		seen = map[episode.ID]Kind{}
	)
	w := New(func(context.Context, Delivery) (Outcome, error) { return Enriched, nil }, &letters{}, Options{
		Observe: func(d Delivery, v Verdict, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			seen[d.Event.ID] = v.Kind
		},
	})
	if err := w.Run(t.Context(), lane(events(5))); err != nil || len(seen) != 5 {
		t.Errorf("%v, %v", seen, err)
	}
}

func TestBackoffIsBoundedAndGrows(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := Backoff{
			First:   time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(r, "first")),
			Longest: time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(r, "longest")),
		}
		failure := rapid.IntRange(1, 1000).Draw(r, "failure")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		got := b.Wait(failure, random)
		want := b.Longest
		if failure < 40 {
			want = min(b.Longest, b.First<<min(failure-1, 20))
		}
		if failure <= 20 && got > want || got > b.Longest || got < 0 {
			r.Fatalf("wait %s, want at most %s", got, want)
		}
	})
}

func TestBackoffUsesItsWholeSpan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var sum time.Duration
	for range 1000 {
		sum += Backoff{First: time.Second}.Wait(3, random)
	}
	if mean := sum / 1000; mean < 1900*time.Millisecond || mean > 2100*time.Millisecond {
		t.Errorf("waits after the third failure are %s on average, want half of 4 s", mean)
	}
}

// An outage that lasts longer than any count of failures allows costs no
// episode: each comes back uncounted, later and later, and is done in the end.
func TestNoOutageMakesADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, dead := events(3), &letters{}
		began, longest := time.Now(), time.Duration(0)
		const lasts = 2 * time.Hour
		work := func(context.Context, Delivery) (Outcome, error) {
			if time.Since(began) < lasts {
				return "", Outage(0, errors.New("the index is away"))
			}
			return Enriched, nil
		}
		var mu sync.Mutex
		w := New(work, dead, Options{Observe: func(_ Delivery, v Verdict, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			longest = max(longest, v.After)
		}})
		if err := w.Run(t.Context(), lane(source)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(source.kinds(), string(Done)); n != 3 || len(dead.filed) != 0 {
			t.Errorf("%d done; letters %+v", n, dead.filed)
		}
		if n := len(source.verdicts); n > 3*60 || longest > 5*time.Minute || longest < 2*time.Minute {
			t.Errorf("%d deliveries, and waits of up to %s", n, longest)
		}
	})
}

func TestAnOutageThatSaysHowLongIsLeftAloneSoLong(t *testing.T) {
	w := New(func(context.Context, Delivery) (Outcome, error) { return "", Outage(time.Hour, errors.New("away")) }, &letters{}, Options{})
	d := events(1).waiting[0]
	d.Failures = 100
	v := w.handle(t.Context(), t.Context(), func(error) { t.Error("the worker stops") }, d)
	if v.Kind != Release || v.After != time.Hour {
		t.Errorf("%+v", v)
	}
}

func TestLettersOfDifferentRequestsAreDifferent(t *testing.T) {
	whole := published(7)
	ids := map[string]bool{}
	for _, c := range []episode.Control{{}, {Targets: []string{}}, {Targets: []string{"topics"}}, {Force: []string{"topics"}}, {Recipients: []string{"staging"}}} {
		ids[LetterID(withControl(whole, c))] = true
		ids[LetterID(withControl(whole, c))] = true
	}
	if len(ids) != 5 || !ids["e@7"] {
		t.Errorf("%v", ids)
	}
}
