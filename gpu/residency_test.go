package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"crypto/sha256"
	"encoding/hex"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

const megabyte = 1 << 20

// card is a device with memory, which it tells of as NVML does: what sessions
// and runs really take of it.
type card struct {
	total  int64
	opens  time.Duration // that a session takes to open
	broken func(model string) error

	mu      sync.Mutex
	weights map[string]int64 // by the graph's content
	used    int64
	others  int64
	most    int64
	loads   map[string]int
	lost    bool
}

func newCard(total int64, opens time.Duration) *card {
	return &card{total: total, opens: opens, weights: map[string]int64{}, loads: map[string]int{}}
}

func (c *card) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	name := string(graph)
	if c.broken != nil {
		if err := c.broken(name); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	c.loads[name]++
	c.take(c.weights[name])
	c.mu.Unlock()
	select {
	case <-time.After(c.opens):
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		c.used -= c.weights[name]
		return nil, ctx.Err()
	}
	return &cardSession{card: c, name: name}, nil
}

func (*card) Build() string { return "card" }

func (c *card) take(bytes int64) {
	c.used += bytes
	c.most = max(c.most, c.used+c.others)
}

func (c *card) read(context.Context) (Reading, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return Reading{}, ErrLost
	}
	return Reading{TotalBytes: c.total, UsedBytes: c.used + c.others, FreeBytes: c.total - c.used - c.others}, nil
}

// readOwn tells of a driver that names this process's share.
func (c *card) readOwn(ctx context.Context) (Reading, error) {
	r, err := c.read(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	r.OwnBytes = c.used
	return r, err
}

func (c *card) sum() (n int) {
	for _, loads := range c.loads {
		n += loads
	}
	return n
}

type cardSession struct {
	card  *card
	name  string
	arena int64
}

// Run takes memory as its input says, and keeps it.
func (s *cardSession) Run(_ context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	need := in["bytes"].Elements().([]int64)[0]
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	if need > s.arena {
		if s.card.used+s.card.others+need-s.arena > s.card.total {
			return nil, fmt.Errorf("allocate: %w", models.ErrOutOfMemory)
		}
		s.card.take(need - s.arena)
		s.arena = need
	}
	return nil, nil
}

func (s *cardSession) Close() error {
	s.card.mu.Lock()
	defer s.card.mu.Unlock()
	s.card.used -= s.card.weights[s.name] + s.arena
	return nil
}

// kind is a model of the tests: what it takes of a card, and of time.
type kind struct {
	name    string
	weights int64
	each    int64 // bytes for each item of a run
	takes   time.Duration
	items   int // at most in a batch
	broken  func(batch []work) error
}

func (k kind) Cost(w work) float64 { return w.cost }
func (k kind) Bucket(w work) int   { return w.bucket }
func (k kind) Run(ctx context.Context, sessions models.Sessions, batch []work) ([]int, error) {
	if k.broken != nil {
		if err := k.broken(batch); err != nil {
			return nil, err
		}
	}
	need := []int64{int64(len(batch)) * k.each}
	if _, err := sessions["model.onnx"].Run(ctx, map[string]models.Tensor{"bytes": models.NewTensor(need, 1)}); err != nil {
		return nil, err
	}
	select {
	case <-time.After(k.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	out := make([]int, len(batch))
	for i, w := range batch {
		out[i] = 2 * w.id
	}
	return out, nil
}

func (k kind) model() *models.Model {
	sum := sha256.Sum256([]byte(k.name))
	return &models.Model{
		Manifest: models.Manifest{
			Name: k.name, Version: 1, Precision: "fp32",
			Files:    map[string]string{"model.onnx": hex.EncodeToString(sum[:])},
			Sessions: []string{"model.onnx"},
			Batch:    models.Batch{MaxItems: k.items},
		},
		Files:  fstest.MapFS{"model.onnx": {Data: []byte(k.name)}},
		SHA256: "sha of " + k.name,
	}
}

// profile is what measuring the model would have said.
func (k kind) profile(d Device, r models.Runtime) Profile {
	return Profile{
		ProfileKey: KeyOf(k.model(), d, r), Model: k.name + "@1", WeightsBytes: k.weights,
		Points: []Point{{Items: 1, Cost: 1, Bytes: k.each, Median: 1}, {Items: k.items, Cost: float64(k.items), Bytes: int64(k.items) * k.each, Median: 1}},
	}
}

// bench is a scheduler over a card, with a queue for each kind.
type bench struct {
	*Scheduler
	card   *card
	queues map[string]*Queue[work, int]
}

func newBench(t *testing.T, c *card, o Options, kinds ...kind) *bench {
	t.Helper()
	if o.Devices == nil {
		o.Devices = []Device{{Name: "cuda:0", MemoryBytes: c.total, Read: c.read}}
	}
	o.Runtime = c
	o.Profiles, _ = OpenProfiles("")
	b := &bench{card: c, queues: map[string]*Queue[work, int]{}}
	for _, k := range kinds {
		c.weights[k.name] = k.weights
		if err := o.Profiles.Put(k.profile(o.Devices[0], c)); err != nil {
			t.Fatal(err)
		}
	}
	b.Scheduler = New(o)
	for _, k := range kinds {
		q, err := NewQueue(b.Scheduler, k.model(), k)
		if err != nil {
			t.Fatal(err)
		}
		b.queues[k.name] = q
	}
	return b
}

// close ends the bench: nothing may be left on the card, and it was never asked
// for more than it has.
func (b *bench) close(t *testing.T) {
	t.Helper()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if b.card.used != 0 {
		t.Errorf("%d bytes are left on the card", b.card.used)
	}
	if b.card.most > b.card.total {
		t.Errorf("%d MB were taken of %d", b.card.most/megabyte, b.card.total/megabyte)
	}
	for _, d := range b.devices {
		balance := d.ledger.Balance()
		if d.Name == "cpu" {
			balance.Arenas = 0 // which all share, and which stays
		}
		if balance.Weights+balance.Arenas+balance.InUse != 0 {
			t.Errorf("the ledger of %s still holds %+v", d.Name, balance)
		}
	}
}

// episodes takes many episodes through all kinds, one after the other, some
// items of each at a time, as the graph does. It says how long that took.
func (b *bench) episodes(t *testing.T, n, items int, kinds ...kind) time.Duration {
	t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for _, k := range kinds {
				var stage sync.WaitGroup
				for i := range items {
					stage.Go(func() {
						if a, err := b.queues[k.name].Do(context.Background(), work{id: i, cost: 1}); err != nil || a.Value != 2*i {
							t.Errorf("%s: %+v, %v", k.name, a, err)
						}
					})
				}
				stage.Wait()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// pack is models like the built-in ones: some long, some short, 200 MB.
var pack = []kind{
	{name: "speech", weights: 10 * megabyte, each: megabyte, takes: 20 * time.Millisecond, items: 16},
	{name: "language", weights: 30 * megabyte, each: megabyte, takes: 30 * time.Millisecond, items: 16},
	{name: "transcript", weights: 100 * megabyte, each: 2 * megabyte, takes: 200 * time.Millisecond, items: 16},
	{name: "sound", weights: 20 * megabyte, each: megabyte, takes: 30 * time.Millisecond, items: 16},
	{name: "topics", weights: 30 * megabyte, each: megabyte, takes: 10 * time.Millisecond, items: 16},
	{name: "ads", weights: 10 * megabyte, each: megabyte, takes: 10 * time.Millisecond, items: 16},
}

func TestModelsThatDoNotFitTakeTurns(t *testing.T) {
	const n, items = 64, 12
	run := func(total int64, lru bool) (took time.Duration, loads int) {
		synctest.Test(t, func(t *testing.T) {
			c := newCard(total, 100*time.Millisecond)
			b := newBench(t, c, Options{EvictLeastRecentlyUsed: lru}, pack...)
			took = b.episodes(t, n, items, pack...)
			b.close(t)
			loads = c.sum()
		})
		return took, loads
	}
	all, allLoads := run(1000*megabyte, false)
	half, halfLoads := run(150*megabyte, false)
	lru, lruLoads := run(150*megabyte, true)
	t.Logf("all resident %v (%d loads); half of them %v (%d loads); LRU %v (%d loads)", all, allLoads, half, halfLoads, lru, lruLoads)
	if allLoads != len(pack) {
		t.Errorf("%d loads where all fit", allLoads)
	}
	if float64(half) > float64(all)/0.9 {
		t.Errorf("with room for half of the models it took %v, and %v with room for all", half, all)
	}
	if halfLoads*5 > lruLoads {
		t.Errorf("%d loads in phases, %d without", halfLoads, lruLoads)
	}
}

func TestLiveWorkEndsTheTurnOfTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := kind{name: "busy", weights: 80 * megabyte, each: megabyte, takes: time.Second, items: 4}
		other := kind{name: "other", weights: 80 * megabyte, each: megabyte, takes: time.Second, items: 4}
		b := newBench(t, newCard(100*megabyte, 100*time.Millisecond), Options{}, busy, other)
		var wg sync.WaitGroup
		for range 400 {
			wg.Go(func() { b.queues["busy"].Do(models.WithBacklogPriority(t.Context()), work{cost: 1}) })
		}
		<-time.After(10 * time.Second)
		a, err := b.queues["other"].Do(t.Context(), work{cost: 1})
		if most := busy.takes + 300*time.Millisecond; err != nil || a.Waited > most {
			t.Errorf("waited %v, want at most %v (%v)", a.Waited, most, err)
		}
		a, err = b.queues["other"].Do(models.WithBacklogPriority(t.Context()), work{cost: 1})
		if err != nil || a.Waited > time.Minute {
			t.Errorf("a model with work for the backlog waited %v (%v)", a.Waited, err)
		}
		wg.Wait()
		b.close(t)
	})
}

func TestAModelWithoutWorkStaysForAsLongAsItWouldTakeToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := kind{name: "one", weights: 80 * megabyte, each: megabyte, items: 4}
		two := kind{name: "two", weights: 80 * megabyte, each: megabyte, items: 4}
		c := newCard(100*megabyte, time.Second)
		b := newBench(t, c, Options{}, one, two)
		b.queues["one"].Do(t.Context(), work{cost: 1})
		var wg sync.WaitGroup
		wg.Go(func() { b.queues["two"].Do(t.Context(), work{cost: 1}) })
		<-time.After(time.Second / 2)
		began := time.Now()
		if a, err := b.queues["one"].Do(t.Context(), work{cost: 1}); err != nil || time.Since(began) > 10*time.Millisecond {
			t.Errorf("%+v, %v", a, err)
		}
		wg.Wait()
		if n := c.sum(); n != 2 {
			t.Errorf("%d loads, want 2", n)
		}
		if n := testutil.ToFloat64(b.metrics.evictions.WithLabelValues("one@1", "cuda:0", evictedForRoom)); n != 1 {
			t.Errorf("%v evictions", n)
		}
		b.close(t)
	})
}

func TestANewVersionLoadsBesideTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := kind{name: "old", weights: 40 * megabyte, each: megabyte, takes: time.Minute, items: 4}
		c := newCard(100*megabyte, time.Second)
		b := newBench(t, c, Options{}, old)
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if _, err := b.queues["old"].Do(t.Context(), work{cost: 1}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		next := kind{name: "next", weights: 40 * megabyte, each: megabyte, items: 4}
		c.weights["next"] = next.weights
		if err := b.options.Profiles.Put(next.profile(b.options.Devices[0], c)); err != nil {
			t.Fatal(err)
		}
		q, err := NewQueue(b.Scheduler, next.model(), next)
		if err != nil {
			t.Fatal(err)
		}
		b.queues["old"].Close()
		if _, err := b.queues["old"].Do(t.Context(), work{cost: 1}); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed queue took an item: %v", err)
		}
		<-time.After(90 * time.Second) // one batch of the old is done, one runs
		if _, err := q.Do(t.Context(), work{cost: 1}); err != nil {
			t.Error(err)
		}
		wg.Wait()
		synctest.Wait()
		state := b.Devices()[0]
		if len(state.Residents) != 1 || state.Residents[0].Model != "next@1" || c.used > 42*megabyte {
			t.Errorf("%+v, %d MB", state, c.used/megabyte)
		}
		b.close(t)
	})
}

func TestMemoryThatOthersTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: 40 * megabyte, each: megabyte, items: 16}
		c := newCard(100*megabyte, time.Second)
		c.others = 90 * megabyte
		b := newBench(t, c, Options{}, k)
		synctest.Wait()
		began := time.Now()
		if _, err := b.queues["one"].Do(t.Context(), work{cost: 1}); !errors.Is(err, ErrNoRoom) || time.Since(began) < noRoomPatience {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.AfterFunc(10*time.Second, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.others = 52 * megabyte
		})
		for i, o := range all(t.Context(), b.queues["one"], items(16)...) {
			// There is room for 8 MB of activations, less a little.
			if o.err != nil || o.Value != 2*i || o.Batch > 7 || o.Waited < 9*time.Second {
				t.Errorf("item %d: %+v", i, o)
			}
		}
		c.mu.Lock()
		c.others = 0
		c.mu.Unlock()
		<-time.After(2 * readEvery)
		if o := all(t.Context(), b.queues["one"], items(16)...)[0]; o.Batch < 13 {
			t.Errorf("a batch of %d with the memory back", o.Batch)
		}
		b.close(t)
	})
}

func TestOthersMayHaveWhatIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: 40 * megabyte, items: 1}
		c := newCard(200*megabyte, time.Second)
		c.others = 120 * megabyte
		b := newBench(t, c, Options{Devices: []Device{{Name: "cuda:0", MemoryBytes: 80 * megabyte, SpareBytes: 120 * megabyte, Read: c.read}}}, k)
		synctest.Wait()
		if o := all(t.Context(), b.queues["one"], items(1)...)[0]; o.err != nil {
			t.Error(o.err)
		}
		c.mu.Lock()
		c.others = 150 * megabyte // 30 of what was ours
		c.mu.Unlock()
		<-time.After(2 * readEvery)
		if balance := b.Devices()[0].Balance; balance.Foreign+balance.Arenas != 30*megabyte || balance.Left != 10*megabyte {
			t.Errorf("%+v", balance)
		}
		b.close(t)
	})
}

func TestWhatAGuessHasHiddenIsNotGivenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small := kind{name: "small", weights: 60 * megabyte, items: 1}
		k := kind{name: "next", weights: 60 * megabyte, items: 1}
		c := newCard(100*megabyte, time.Second)
		b := newBench(t, c, Options{}, small, k)
		c.weights["small"] = 10 * megabyte // of the 60 that it is taken to hold
		all(t.Context(), b.queues["small"], items(1)...)
		c.mu.Lock()
		c.others = 50 * megabyte
		c.mu.Unlock()
		<-time.After(10 * time.Second)
		if o := all(t.Context(), b.queues["next"], items(1)...)[0]; !errors.Is(o.err, ErrNoRoom) || errors.Is(o.err, ErrFault) {
			t.Errorf("60 MB beside 50 of others, on a card of 100: %+v", o)
		}
		b.close(t)
	})
}

func TestAProfileThatIsTooLowIsRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: 40 * megabyte, each: 2 * megabyte, items: 16}
		c := newCard(1000*megabyte, time.Second)
		b := newBench(t, c, Options{Devices: []Device{{Name: "cuda:0", MemoryBytes: c.total, Read: c.readOwn}}}, k, kind{name: "first", weights: megabyte, items: 1})
		b.queues["first"].Do(t.Context(), work{cost: 1})
		c.weights["one"] = 50 * megabyte
		key := KeyOf(k.model(), b.options.Devices[0], c)
		low, _ := b.options.Profiles.Get(key)
		low.Points = []Point{{Items: 16, Cost: 16, Bytes: 4 * megabyte, Median: 1}}
		if err := b.options.Profiles.Put(low); err != nil {
			t.Fatal(err)
		}
		b.Scheduler.mu.Lock()
		delete(b.devices[0].profiles, k.model().SHA256)
		b.Scheduler.mu.Unlock()
		all(t.Context(), b.queues["one"], items(1)...)
		all(t.Context(), b.queues["one"], items(16)...)
		raised, _ := b.options.Profiles.Get(key)
		if raised.WeightsBytes != 50*megabyte {
			t.Errorf("weights of %d MB", raised.WeightsBytes/megabyte)
		}
		if need := raised.Need(16, 16); need < 30*megabyte {
			t.Errorf("a batch that took 32 MB is taken to need %d MB", need/megabyte)
		}
		weights, arena := b.devices[0].residents[k.model().SHA256].account.Bytes()
		if weights+arena < c.used-2*megabyte {
			t.Errorf("the ledger has %d MB of %d", (weights+arena)/megabyte, c.used/megabyte)
		}
		b.close(t)
	})
}

func TestADeviceThatFailsAgainAndAgainIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ill := false
		good := map[int]bool{}
		k := kind{name: "one", weights: megabyte, each: 1, takes: time.Second, items: 4}
		k.broken = func(batch []work) error {
			if ill && !good[batch[0].id] {
				return errors.New("CUBLAS_STATUS_INTERNAL_ERROR")
			}
			return nil
		}
		c := newCard(1000*megabyte, time.Second)
		b := newBench(t, c, Options{}, k)
		all(t.Context(), b.queues["one"], items(4)...)
		// Bad items alone are no fault of the device: what it has done before it still does.
		ill = true
		for i := range 4 {
			good[i] = true
		}
		for _, o := range all(t.Context(), b.queues["one"], work{id: 5}, work{id: 6}) {
			if !errors.As(o.err, new(*models.ItemError)) || errors.Is(o.err, ErrFault) {
				t.Errorf("got %v", o.err)
			}
		}
		clear(good)
		for i := range mostFaults {
			for _, o := range all(t.Context(), b.queues["one"], items(2)...) {
				if errors.As(o.err, new(*models.ItemError)) || !errors.Is(o.err, ErrFault) {
					t.Errorf("fault %d: %v", i, o.err)
				}
			}
		}
		if o := all(t.Context(), b.queues["one"], work{})[0]; !errors.Is(o.err, models.ErrDeviceLost) {
			t.Errorf("its only device is left out: %v", o.err)
		}
		if n := testutil.ToFloat64(b.metrics.out.WithLabelValues("cuda:0")); n != 1 || !b.Devices()[0].Out {
			t.Errorf("earshot_device_left_out is %v", n)
		}
		b.close(t)
	})
}

func TestTheOtherDeviceGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: megabyte, each: 1, takes: time.Second, items: 2}
		c := newCard(1000*megabyte, time.Second)
		b := newBench(t, c, Options{Devices: []Device{{Name: "cuda:0"}, {Name: "cuda:1"}}}, k)
		for _, o := range all(t.Context(), b.queues["one"], items(8)...) {
			if o.err != nil {
				t.Error(o.err)
			}
		}
		if c.sum() != 2 {
			t.Errorf("%d loads on two devices", c.sum())
		}
		for range mostFaults {
			b.blame(b.devices[0], errors.New("no answer"))
		}
		for _, o := range all(t.Context(), b.queues["one"], items(8)...) {
			if o.err != nil || o.Device != "cuda:1" {
				t.Errorf("%+v", o)
			}
		}
		b.close(t)
	})
}

func TestADeviceThatVanishesIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: megabyte, each: 1, takes: time.Hour, items: 2}
		c := newCard(1000*megabyte, time.Second)
		b := newBench(t, c, Options{}, k)
		time.AfterFunc(10*time.Second, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lost = true
		})
		for _, o := range all(t.Context(), b.queues["one"], items(4)...) {
			if !errors.Is(o.err, models.ErrDeviceLost) {
				t.Errorf("got %v", o.err)
			}
		}
		if device, err := b.Lost(); device != "cuda:0" || !errors.Is(err, models.ErrDeviceLost) {
			t.Error("the scheduler does not say so")
		}
		b.close(t)
	})
}

func TestALargeRunMakesRoomForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		idle := kind{name: "idle", weights: 50 * megabyte, each: megabyte, items: 4}
		k := kind{name: "large", weights: 20 * megabyte, each: 2 * megabyte, items: 1}
		b := newBench(t, newCard(100*megabyte, time.Second), Options{}, idle, k)
		all(t.Context(), b.queues["idle"], items(1)...)
		all(t.Context(), b.queues["large"], items(1)...)
		// Thirty times the cost: 60 MB, where 28 are left.
		if o := all(t.Context(), b.queues["large"], work{id: 3, cost: 30})[0]; o.err != nil || o.Value != 6 {
			t.Errorf("%+v", o)
		}
		if o := all(t.Context(), b.queues["large"], work{id: 3, cost: 300})[0]; !errors.Is(o.err, ErrTooLarge) || !errors.Is(o.err, ErrNoRoom) {
			t.Errorf("a run of 600 MB on a card of 100: %+v", o)
		}
		b.close(t)
	})
}

// TestWhateverModelsThereAre checks over random models, devices and arrivals
// that the card is never asked for more than it has, that every item is
// answered, and that all is given back.
func TestWhateverModelsThereAre(t *testing.T) {
	inOneBubble(t, func(t *testing.T, rt *rapid.T) {
		total := int64(rapid.IntRange(40, 200).Draw(rt, "total")) * megabyte
		var kinds []kind
		for i := range rapid.IntRange(1, 5).Draw(rt, "models") {
			kinds = append(kinds, kind{
				name:    fmt.Sprintf("m%d", i),
				weights: int64(rapid.IntRange(1, 60).Draw(rt, "weights")) * megabyte,
				each:    int64(rapid.IntRange(0, 4).Draw(rt, "each")) * megabyte,
				takes:   time.Duration(rapid.IntRange(0, 50).Draw(rt, "takes")) * time.Millisecond,
				items:   rapid.IntRange(1, 16).Draw(rt, "items"),
			})
		}
		name := rapid.SampledFrom([]string{"cuda:0", "cpu"}).Draw(rt, "device")
		c := newCard(total, time.Duration(rapid.IntRange(0, 200).Draw(rt, "opens"))*time.Millisecond)
		o := Options{
			EvictLeastRecentlyUsed: rapid.Bool().Draw(rt, "lru"),
			Devices:                []Device{{Name: name, MemoryBytes: total, Leases: rapid.IntRange(1, 3).Draw(rt, "leases"), Read: c.read}},
		}
		if name == "cpu" { // whose arena this card does not have: each run gives all back
			for i := range kinds {
				kinds[i].each = 0
			}
		}
		b := newBench(t, c, o, kinds...)
		var wg sync.WaitGroup
		for i := range rapid.IntRange(1, 80).Draw(rt, "arrivals") {
			k := rapid.SampledFrom(kinds).Draw(rt, "kind")
			after := time.Duration(rapid.IntRange(0, 3000).Draw(rt, "after")) * time.Millisecond
			patient := time.Duration(rapid.IntRange(0, 4).Draw(rt, "patient")) * 300 * time.Millisecond
			backlog := rapid.Bool().Draw(rt, "backlog")
			wg.Go(func() {
				<-time.After(after)
				ctx := context.Background()
				if backlog {
					ctx = models.WithBacklogPriority(ctx)
				}
				if patient > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, patient)
					defer cancel()
				}
				a, err := b.queues[k.name].Do(ctx, work{id: i, cost: 1})
				switch {
				case err == nil && a.Value == 2*i:
				case patient > 0 && errors.Is(err, context.DeadlineExceeded):
				case errors.Is(err, ErrNoRoom) && k.weights+k.each+2*megabyte > total:
				case errors.Is(err, ErrNoRoom) && name == "cpu": // what one arena holds may be for ever in the way
				default:
					t.Errorf("%s: %+v, %v", k.name, a, err)
				}
			})
		}
		wg.Wait()
		b.close(t)
	})
}
