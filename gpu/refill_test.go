package gpu

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/models"
	"pgregory.net/rapid"
)

// refiller is a runner whose items take a number of steps each, and that gives
// a free place to another at once.
type refiller struct {
	*runner
	places int
	steps  func(work) int

	mu   sync.Mutex
	done []int // ids in the order in which they ended
}

func (r *refiller) Refill(ctx context.Context, _ models.Sessions, feed models.Feed[work, int]) error {
	r.runner.mu.Lock()
	r.atOnce++
	r.mostAtOnce = max(r.mostAtOnce, r.atOnce)
	r.runner.mu.Unlock()
	defer func() {
		r.runner.mu.Lock()
		r.atOnce--
		r.runner.mu.Unlock()
	}()
	left := map[int]int{} // steps, by item
	items := map[int]work{}
	for taken := 0; ; {
		for _, w := range feed.Take(r.places - len(left)) {
			left[taken], items[taken] = r.steps(w), w
			taken++
		}
		if len(left) == 0 {
			return nil
		}
		var batch []work
		for i := range left {
			batch = append(batch, items[i])
		}
		r.runner.mu.Lock()
		r.ran = append(r.ran, batch)
		r.runner.mu.Unlock()
		select {
		case <-time.After(r.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range left {
			if left[i]--; left[i] > 0 {
				continue
			}
			w := items[i]
			if w.panics {
				panic("a bad item")
			}
			if w.fault != nil {
				return w.fault
			}
			delete(left, i)
			r.mu.Lock()
			r.done = append(r.done, w.id)
			r.mu.Unlock()
			feed.Deliver(i, 2*w.id)
		}
	}
}

// TestWhateverComesIntoFreePlaces is TestWhateverComes with a runner that takes
// items while it runs.
func TestWhateverComesIntoFreePlaces(t *testing.T) {
	inOneBubble(t, func(t *testing.T, rt *rapid.T) {
		s := drawScenario(rt)
		steps := rapid.SliceOfN(rapid.IntRange(1, 9), len(s.arrivals), len(s.arrivals)).Draw(rt, "steps")
		r := &refiller{runner: &runner{takes: s.takes}, places: s.maxItems, steps: func(w work) int { return steps[w.id] }}
		for _, f := range s.play(t, r, r.runner) {
			rt.Error(f)
		}
	})
}

// refilling starts a scheduler of one lease and a queue of a refiller.
func refilling(t *testing.T, places int, steps func(work) int) (*Scheduler, *Queue[work, int], *refiller) {
	r := &refiller{runner: &runner{takes: 10 * time.Millisecond}, places: places, steps: steps}
	s := New(Options{Runtime: &runtimeInMemory{}, Devices: []Device{{Name: "cpu", Leases: 1}}})
	q, err := NewQueue(s, model(places, 0), r)
	if err != nil {
		t.Fatal(err)
	}
	return s, q, r
}

// A long item does not hold back those that come later: they take the places
// of the short ones beside it, live before backlog.
func TestPlacesAreFilledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q, r := refilling(t, 2, func(w work) int {
			if w.id == 0 {
				return 100
			}
			return 2
		})
		var wg sync.WaitGroup
		for id := range 6 {
			ctx := t.Context()
			if id >= 2 && id < 4 {
				ctx = models.WithBacklogPriority(ctx)
			}
			wg.Go(func() {
				if a, err := q.Do(ctx, work{id: id}); err != nil || a.Value != 2*id {
					t.Errorf("item %d got %+v, %v", id, a, err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if want := []int{1, 4, 5, 2, 3, 0}; !slices.Equal(r.done, want) {
			t.Errorf("items ended in the order %v, want %v", r.done, want)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A queue that never runs dry does not keep its lease from another model.
func TestAFullQueueLetsOthersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q, _ := refilling(t, 2, func(work) int { return 3 })
		other := model(1, 0)
		other.Manifest.Name = "other"
		o, err := NewQueue(s, other, &runner{takes: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for id := range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if _, err := q.Do(t.Context(), work{id: id}); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		<-time.After(time.Second)
		began := time.Now()
		if _, err := o.Do(t.Context(), work{id: 1}); err != nil {
			t.Error(err)
		}
		// Two that run and six that came before it, two at a time.
		if waited := time.Since(began); waited > 4*30*time.Millisecond {
			t.Errorf("another model's item took %v beside items of 30 ms", waited)
		}
		stop()
		wg.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// An item whose caller gives up while it runs does not stop its neighbours.
func TestGivingUpInAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q, _ := refilling(t, 2, func(w work) int { return 10 * (w.id + 1) })
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := q.Do(ctx, work{id: 0}); err == nil {
				t.Error("an item that was given up has an answer")
			}
		})
		wg.Go(func() {
			if a, err := q.Do(t.Context(), work{id: 1}); err != nil || a.Value != 2 {
				t.Errorf("its neighbour got %+v, %v", a, err)
			}
		})
		wg.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
