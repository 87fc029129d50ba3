package gpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runtimeInMemory opens sessions that do nothing, and counts them.
type runtimeInMemory struct {
	opened, closed atomic.Int64
	fail           func(n int64) error // of the n-th opening
}

func (r *runtimeInMemory) Open(context.Context, []byte, string) (models.Session, error) {
	n := r.opened.Add(1)
	if r.fail != nil {
		if err := r.fail(n); err != nil {
			return nil, err
		}
	}
	return &sessionInMemory{r}, nil
}

func (*runtimeInMemory) Build() string { return "in-memory" }

type sessionInMemory struct{ r *runtimeInMemory }

func (*sessionInMemory) Run(context.Context, map[string]models.Tensor) (map[string]models.Tensor, error) {
	return nil, nil
}
func (s *sessionInMemory) Close() error { s.r.closed.Add(1); return nil }

// work is an item of the tests: its answer is its id, doubled.
type work struct {
	id     int
	cost   float64
	bucket int
	fault  error // of every run that it is in
	panics bool
	hangs  bool // until it is stopped
}

// runner takes a set time for each run and writes down what ran.
type runner struct {
	takes time.Duration
	limit int // items that the device has memory for; 0: no limit

	mu         sync.Mutex
	ran        [][]work
	atOnce     int
	mostAtOnce int
}

func (r *runner) Cost(w work) float64 { return w.cost }
func (r *runner) Bucket(w work) int   { return w.bucket }
func (r *runner) Run(ctx context.Context, _ models.Sessions, batch []work) ([]int, error) {
	r.mu.Lock()
	r.ran = append(r.ran, slices.Clone(batch))
	r.atOnce++
	r.mostAtOnce = max(r.mostAtOnce, r.atOnce)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.atOnce--
		r.mu.Unlock()
	}()
	select {
	case <-time.After(r.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.limit > 0 && len(batch) > r.limit {
		return nil, fmt.Errorf("allocate: %w", models.ErrOutOfMemory)
	}
	out := make([]int, len(batch))
	for i, w := range batch {
		if w.hangs {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if w.panics {
			panic("a bad item")
		}
		if w.fault != nil {
			return nil, w.fault
		}
		out[i] = 2 * w.id
	}
	return out, nil
}

func model(maxItems int, maxCost float64) *models.Model {
	graph := []byte("weights")
	sum := sha256.Sum256(graph)
	return &models.Model{
		Manifest: models.Manifest{
			Name: "test", Version: 1,
			Files:    map[string]string{"model.onnx": hex.EncodeToString(sum[:])},
			Sessions: []string{"model.onnx"},
			Batch:    models.Batch{MaxItems: maxItems, MaxCost: maxCost},
		},
		Files:  fstest.MapFS{"model.onnx": {Data: graph}},
		SHA256: "test",
	}
}

// start makes a scheduler with two leases that is closed, and must then hold
// nothing, at the test's end.
func start(t *testing.T, o Options, m *models.Model, r *runner) (*Scheduler, *Queue[work, int]) {
	t.Helper()
	if o.Runtime == nil {
		o.Runtime = &runtimeInMemory{}
	}
	if o.Devices == nil {
		o.Devices = []Device{{Name: "cpu", Leases: 2}}
	}
	s := New(o)
	q, err := NewQueue(s, m, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := s.devices[0].ledger.Balance().Weights; n != 0 {
			t.Errorf("%d bytes are still promised after Close", n)
		}
		if len(q.line.live.places)+len(q.line.backlog.places)+len(q.line.lanes)+len(s.running) != 0 {
			t.Error("items are left after Close")
		}
	})
	return s, q
}

type outcome struct {
	models.Answer[int]
	err error
}

// all gives items to the queue at once and waits for their answers.
func all(ctx context.Context, q *Queue[work, int], items ...work) []outcome {
	out := make([]outcome, len(items))
	var wg sync.WaitGroup
	for i, w := range items {
		wg.Go(func() { out[i].Answer, out[i].err = q.Do(ctx, w) })
	}
	wg.Wait()
	return out
}

func items(n int) []work {
	out := make([]work, n)
	for i := range out {
		out[i] = work{id: i, cost: 1}
	}
	return out
}

func TestItemsOfManyCallersShareABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		r := &runner{takes: 10 * time.Millisecond}
		s, q := start(t, Options{Registerer: reg}, model(4, 0), r)
		for i, o := range all(t.Context(), q, items(8)...) {
			if o.err != nil || o.Value != 2*i || o.Batch != 4 || o.Device != "cpu" || o.Ran != 10*time.Millisecond || o.Waited != 0 {
				t.Errorf("item %d: %+v", i, o)
			}
		}
		if got := s.Stats(); len(got) != 1 || got[0].MeanBatch() != 4 || got[0].Runs != 2 {
			t.Errorf("stats %+v", got)
		}
		if n := testutil.ToFloat64(s.metrics.items.WithLabelValues("test@1", outcomeDone)); n != 8 {
			t.Errorf("earshot_items_total counts %v", n)
		}
		if n, err := testutil.GatherAndCount(reg); err != nil || n == 0 {
			t.Errorf("%d metrics, %v", n, err)
		}
	})
}

func TestALoneItemWaitsMaxWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := start(t, Options{MaxWait: 7 * time.Millisecond}, model(4, 0), &runner{})
		if o := all(t.Context(), q, items(1)...)[0]; o.err != nil || o.Waited != 7*time.Millisecond || o.Batch != 1 {
			t.Errorf("%+v", o)
		}
	})
}

func TestBatchesKeepToCostAndBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: time.Millisecond}
		_, q := start(t, Options{}, model(8, 10), r)
		in := []work{{id: 0, cost: 6, bucket: 1}, {id: 1, cost: 6, bucket: 1}, {id: 2, cost: 4, bucket: 1}, {id: 3, cost: 1, bucket: 2}, {id: 4, cost: 25, bucket: 1}, {id: 5, cost: 2, bucket: 2}}
		for i, o := range all(t.Context(), q, in...) {
			if o.err != nil || o.Value != 2*i {
				t.Errorf("item %d: %+v", i, o)
			}
		}
		for _, batch := range r.ran {
			cost := 0.0
			for _, w := range batch {
				cost += w.cost
				if w.bucket != batch[0].bucket {
					t.Errorf("buckets mixed: %v", batch)
				}
			}
			if cost > 10 && len(batch) > 1 {
				t.Errorf("cost %v: %v", cost, batch)
			}
		}
	})
}

func TestAFixedBatchIsPaddedWithItsLastItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{}
		m := model(4, 0)
		m.Manifest.Batch.Fixed = true
		_, q := start(t, Options{}, m, r)
		all(t.Context(), q, items(3)...)
		if len(r.ran) != 1 || len(r.ran[0]) != 4 || r.ran[0][3] != r.ran[0][2] {
			t.Errorf("ran %v", r.ran)
		}
	})
}

func TestABadItemFailsAlone(t *testing.T) {
	bad := errors.New("no such shape")
	for name, c := range map[string]work{"error": {fault: bad}, "panic": {panics: true}} {
		for _, at := range []int{0, 5, 15} {
			t.Run(fmt.Sprintf("%s at %d", name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const n = 16
					r := &runner{}
					_, q := start(t, Options{}, model(n, 0), r)
					in := items(n)
					in[at].fault, in[at].panics = c.fault, c.panics
					for i, o := range all(t.Context(), q, in...) {
						var itemErr *models.ItemError
						var panicErr *PanicError
						switch {
						case i != at && (o.err != nil || o.Value != 2*i):
							t.Errorf("item %d: %+v", i, o)
						case i == at && !errors.As(o.err, &itemErr):
							t.Errorf("item %d: %v is no ItemError", i, o.err)
						case i == at && c.fault != nil && !errors.Is(o.err, bad):
							t.Errorf("item %d: %v", i, o.err)
						case i == at && c.panics && !errors.As(o.err, &panicErr):
							t.Errorf("item %d: %v", i, o.err)
						}
					}
					if most := 1 + 2*int(math.Log2(n)); len(r.ran) > most {
						t.Errorf("%d runs, want at most %d", len(r.ran), most)
					}
				})
			})
		}
	}
}

func TestOutOfMemoryHalvesNowAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{limit: 4}
		_, q := start(t, Options{}, model(16, 0), r)
		for i, o := range all(t.Context(), q, items(16)...) {
			if o.err != nil || o.Value != 2*i || o.Batch != 4 {
				t.Errorf("item %d: %+v", i, o)
			}
		}
		r.ran = nil
		all(t.Context(), q, items(16)...)
		if len(r.ran) != 4 {
			t.Errorf("the device's limit must be known by now: %d runs", len(r.ran))
		}
		r.limit = -1
		r.ran = nil
		if o := all(t.Context(), q, work{fault: models.ErrOutOfMemory})[0]; !errors.Is(o.err, models.ErrOutOfMemory) || errors.As(o.err, new(*models.ItemError)) {
			t.Errorf("no memory for one item alone is the device's fault: %v", o.err)
		}
	})
}

func TestCancelTakesAnItemOutOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{}
		_, q := start(t, Options{MaxWait: time.Hour}, model(4, 0), r)
		ctx, cancel := context.WithCancel(t.Context())
		var got outcome
		go func() { got.Answer, got.err = q.Do(ctx, work{}) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !errors.Is(got.err, context.Canceled) || len(r.ran) != 0 {
			t.Errorf("%v, ran %v", got.err, r.ran)
		}
	})
}

func TestABatchStopsWhenNobodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: time.Hour}
		_, q := start(t, Options{}, model(2, 0), r)
		first, cancelFirst := context.WithCancel(t.Context())
		second, cancelSecond := context.WithCancel(t.Context())
		var ended [2]error
		var wg sync.WaitGroup
		wg.Go(func() { _, ended[0] = q.Do(first, work{}) })
		wg.Go(func() { _, ended[1] = q.Do(second, work{}) })
		synctest.Wait()
		began := time.Now()
		cancelFirst()
		synctest.Wait()
		if r.atOnce != 1 {
			t.Error("the other item's run was stopped")
		}
		cancelSecond()
		wg.Wait()
		if time.Since(began) != 0 || !errors.Is(ended[0], context.Canceled) || !errors.Is(ended[1], context.Canceled) {
			t.Errorf("after %v: %v", time.Since(began), ended)
		}
	})
}

func TestLiveGoesFirstAndBacklogNeverStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: 10 * time.Millisecond}
		_, q := start(t, Options{BacklogShare: 4, BacklogEvery: 1, Devices: []Device{{Name: "cpu", Leases: 1}}}, model(1, 0), r)
		backlog := models.WithBacklogPriority(t.Context())
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { q.Do(backlog, work{id: 1000 + i}) })
		}
		synctest.Wait()
		for i := range 20 {
			wg.Go(func() { q.Do(t.Context(), work{id: i}) })
		}
		wg.Wait()
		// The first was running before any live item came. Of the rest, three live ones to one of the backlog.
		var order string
		for _, b := range r.ran {
			if b[0].id >= 1000 {
				order += "b"
			} else {
				order += "l"
			}
		}
		if want := "blllblllblll"; order[:len(want)] != want {
			t.Errorf("order %s, want %s…", order, want)
		}
		if len(r.ran) != 40 {
			t.Errorf("%d runs", len(r.ran))
		}
	})
}

func TestAFullQueueHoldsItsCallersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: time.Minute}
		_, q := start(t, Options{QueueItems: 3, Devices: []Device{{Name: "cpu", Leases: 1}}}, model(1, 0), r)
		backlog := models.WithBacklogPriority(t.Context())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { q.Do(backlog, work{}) })
		}
		synctest.Wait()
		if n := q.line.lanes[0].backlog.n; n != 3 {
			t.Errorf("%d items wait, want 3", n)
		}
		// A full backlog leaves the places for live items alone, and waiting for a place ends with the context.
		began := time.Now()
		wg.Go(func() {
			if a, err := q.Do(t.Context(), work{id: 7}); err != nil || a.Value != 14 || time.Since(began) > 2*time.Minute {
				t.Errorf("%+v, %v after %v", a, err, time.Since(began))
			}
		})
		ctx, cancel := context.WithTimeout(backlog, time.Second)
		defer cancel()
		if _, err := q.Do(ctx, work{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		wg.Wait()
	})
}

func TestCloseRunsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &runtimeInMemory{}
		s, q := start(t, Options{Runtime: rt, MaxWait: time.Hour}, model(4, 0), &runner{takes: time.Second})
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				if a, err := q.Do(t.Context(), work{id: i}); err != nil || a.Value != 2*i {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		synctest.Wait()
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := q.Do(t.Context(), work{}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if rt.opened.Load() != 1 || rt.closed.Load() != 1 {
			t.Errorf("%d sessions opened, %d closed", rt.opened.Load(), rt.closed.Load())
		}
	})
}

func TestCloseStopsWhatRunsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, q := start(t, Options{}, model(1, 0), &runner{takes: time.Hour})
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := q.Do(t.Context(), work{}); !errors.Is(err, ErrClosed) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Close(ctx); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		wg.Wait()
	})
}

func TestAModelIsOpenedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the driver is starting")
		rt := &runtimeInMemory{fail: func(n int64) error {
			if n == 1 {
				return broken
			}
			return nil
		}}
		s, q := start(t, Options{Runtime: rt}, model(1, 0), &runner{takes: time.Second})
		if o := all(t.Context(), q, work{})[0]; !errors.Is(o.err, broken) {
			t.Errorf("got %v", o.err)
		}
		other, err := NewQueue(s, q.line.model, &runner{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range append(all(t.Context(), q, items(4)...), all(t.Context(), other, items(4)...)...) {
			if o.err != nil {
				t.Error(o.err)
			}
		}
		if n := rt.opened.Load(); n != 2 {
			t.Errorf("%d openings, want the one that failed and one more", n)
		}
	})
}

func TestAModelThatDoesNotFitSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, q := start(t, Options{Devices: []Device{{Name: "cpu", MemoryBytes: 10}}}, model(1, 0), &runner{})
		if o := all(t.Context(), q, work{})[0]; !errors.Is(o.err, ErrNoRoom) {
			t.Errorf("got %v", o.err)
		}
	})
}

func TestARunThatHangsIsStoppedAndTheItemAtFaultFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: time.Second}
		_, q := start(t, Options{}, model(8, 0), r)
		all(t.Context(), q, items(8)...) // a second each is usual
		in := items(8)
		in[3].hangs = true
		began := time.Now()
		for i, o := range all(t.Context(), q, in...) {
			var itemErr *models.ItemError
			switch {
			case i == 3 && !(errors.As(o.err, &itemErr) && errors.Is(o.err, ErrStuck)):
				t.Errorf("the item that hangs: %v", o.err)
			case i != 3 && (o.err != nil || o.Value != 2*i):
				t.Errorf("item %d: %+v", i, o)
			}
		}
		if took := time.Since(began); took > 5*leastPatience {
			t.Errorf("that took %v", took)
		}
	})
}

func TestASlowRunIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{takes: firstPatience - time.Second}
		_, q := start(t, Options{}, model(8, 0), r)
		if o := all(t.Context(), q, work{cost: 1})[0]; o.err != nil {
			t.Error(o.err)
		}
		r.takes = 3 * time.Hour // of thirty times the cost
		if o := all(t.Context(), q, work{cost: 30})[0]; o.err != nil {
			t.Error(o.err)
		}
	})
}

func TestALostDeviceHandsAllWorkBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := fmt.Errorf("CUDA failure 700: %w", models.ErrDeviceLost)
		slow, bad := &runner{takes: time.Hour}, &runner{takes: time.Second}
		s, running := start(t, Options{}, model(4, 0), slow)
		q, err := NewQueue(s, model(4, 0), bad)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var got [3][]outcome
		began := time.Now()
		in := items(4)
		in[2].fault = lost
		wg.Go(func() { got[0] = all(t.Context(), running, items(4)...) })
		synctest.Wait()
		wg.Go(func() { got[1] = all(t.Context(), q, in...) })
		synctest.Wait()
		wg.Go(func() { got[2] = all(t.Context(), running, items(8)...) }) // both leases are taken: these wait
		wg.Wait()
		for i, o := range slices.Concat(got[0], got[1], got[2], all(t.Context(), q, work{})) {
			if !errors.Is(o.err, models.ErrDeviceLost) || errors.As(o.err, new(*models.ItemError)) {
				t.Errorf("item %d: %v", i, o.err)
			}
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("the work came back after %v", took)
		}
		if len(bad.ran) != 1 {
			t.Errorf("a poisoned context was asked %d times", len(bad.ran))
		}
	})
}
