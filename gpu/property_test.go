package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/models"
	"pgregory.net/rapid"
)

// arrival is one caller of the property test.
type arrival struct {
	work
	after   time.Duration
	backlog bool
	patient time.Duration // until it gives up; 0: it never does
}

// scenario is everything that the property test draws.
type scenario struct {
	arrivals         []arrival
	maxItems, leases int
	places           int
	maxCost          float64
	takes            time.Duration
}

var errFault = errors.New("fault")

func drawScenario(t *rapid.T) scenario {
	s := scenario{
		maxItems: rapid.IntRange(1, 8).Draw(t, "maxItems"),
		leases:   rapid.IntRange(1, 3).Draw(t, "leases"),
		places:   rapid.IntRange(1, 16).Draw(t, "places"),
		maxCost:  float64(rapid.IntRange(0, 12).Draw(t, "maxCost")),
		takes:    time.Duration(rapid.IntRange(0, 20).Draw(t, "takes")) * time.Millisecond,
	}
	for i := range rapid.IntRange(1, 60).Draw(t, "arrivals") {
		a := arrival{
			work: work{
				id:     i,
				cost:   float64(rapid.IntRange(0, 6).Draw(t, "cost")),
				bucket: rapid.IntRange(0, 2).Draw(t, "bucket"),
				panics: rapid.IntRange(0, 30).Draw(t, "panics") == 0,
			},
			after:   time.Duration(rapid.IntRange(0, 60).Draw(t, "after")) * time.Millisecond,
			backlog: rapid.Bool().Draw(t, "backlog"),
		}
		if rapid.IntRange(0, 20).Draw(t, "faulty") == 0 {
			a.fault = errFault
		}
		if rapid.IntRange(0, 5).Draw(t, "impatient") == 0 {
			a.patient = time.Duration(rapid.IntRange(1, 40).Draw(t, "patient")) * time.Millisecond
		}
		s.arrivals = append(s.arrivals, a)
	}
	return s
}

// TestWhateverComes checks over random arrivals that every item gets exactly
// its own answer, that leases, sizes, costs and buckets are kept to, and that
// cancelled items end in time.
func TestWhateverComes(t *testing.T) {
	inOneBubble(t, func(t *testing.T, rt *rapid.T) {
		s := drawScenario(rt)
		r := &runner{takes: s.takes}
		for _, f := range s.play(t, r, r) {
			rt.Error(f)
		}
	})
}

// inOneBubble checks a property in fake time: all its runs in one bubble, since
// the race detector of Go 1.26 crashes now and then when bubbles come by the
// hundred.
func inOneBubble(t *testing.T, property func(*testing.T, *rapid.T)) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(timeless{t}, func(rt *rapid.T) { property(t, rt) })
	})
}

// timeless is a test without a deadline, which a bubble does not let be asked.
type timeless struct{ rapid.TB }

// play runs the scenario with a runner, and checks what r wrote down of it.
func (s scenario) play(t *testing.T, running models.Runner[work, int], r *runner) (faults []string) {
	var mu sync.Mutex
	fault := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, fmt.Sprintf(format, args...))
	}
	sched := New(Options{Runtime: &runtimeInMemory{}, Devices: []Device{{Name: "cpu", Leases: s.leases}}, QueueItems: s.places})
	q, err := NewQueue(sched, model(s.maxItems, s.maxCost), running)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, a := range s.arrivals {
		wg.Go(func() {
			ctx := t.Context()
			if a.backlog {
				ctx = models.WithBacklogPriority(ctx)
			}
			<-time.After(a.after)
			if a.patient > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, a.patient)
				defer cancel()
			}
			answer, err := q.Do(ctx, a.work)
			switch {
			case a.patient > 0 && errors.Is(err, context.DeadlineExceeded):
			case a.panics && errors.As(err, new(*PanicError)):
			case a.fault != nil && errors.Is(err, errFault):
			case err != nil:
				fault("item %+v: %v", a, err)
			case a.panics || a.fault != nil || answer.Value != 2*a.id:
				fault("item %+v got %+v", a, answer)
			case answer.Batch < 1 || answer.Batch > s.maxItems || answer.Waited < 0 || answer.Ran < 0:
				fault("item %+v got %+v", a, answer)
			}
		})
	}
	wg.Wait()
	if err := sched.Close(t.Context()); err != nil {
		fault("close: %v", err)
	}
	if r.mostAtOnce > s.leases {
		fault("%d batches at once under %d leases", r.mostAtOnce, s.leases)
	}
	for _, batch := range r.ran {
		cost := 0.0
		for _, w := range batch {
			cost += w.cost
			if w.bucket != batch[0].bucket {
				fault("buckets mixed: %v", batch)
			}
		}
		if len(batch) > s.maxItems || len(batch) > 1 && s.maxCost > 0 && cost > s.maxCost {
			fault("a batch of %d items and cost %v", len(batch), cost)
		}
	}
	return faults
}

// TestLiveWaitIsBounded: however much backlog there is, a live item waits for
// the batches that run, for the backlog's turn, and for the live items before
// it.
func TestLiveWaitIsBounded(t *testing.T) {
	inOneBubble(t, func(t *testing.T, rt *rapid.T) {
		backlog := rapid.IntRange(0, 200).Draw(rt, "backlog")
		live := rapid.IntRange(1, 40).Draw(rt, "live")
		maxItems := rapid.IntRange(1, 8).Draw(rt, "maxItems")
		share := rapid.IntRange(2, 8).Draw(rt, "share")
		const takes = 10 * time.Millisecond
		var longest time.Duration
		s := New(Options{Runtime: &runtimeInMemory{}, Devices: []Device{{Name: "cpu", Leases: 1}}, BacklogShare: share, BacklogEvery: 1})
		q, err := NewQueue(s, model(maxItems, 0), &runner{takes: takes})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range backlog {
			wg.Go(func() { q.Do(models.WithBacklogPriority(t.Context()), work{}) })
		}
		synctest.Wait()
		var mu sync.Mutex
		for range live {
			wg.Go(func() {
				a, err := q.Do(t.Context(), work{})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				longest = max(longest, a.Waited)
			})
		}
		wg.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		batches := (live + maxItems - 1) / maxItems
		turns := batches + batches/(share-1) + 2 // the batch that ran, and one turn that had begun
		if most := 5*time.Millisecond + time.Duration(turns)*takes; longest > most {
			rt.Errorf("a live item waited %v behind %d live and %d of the backlog, want at most %v", longest, live, backlog, most)
		}
	})
}
