package gpu

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

func (c *card) othersTake(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.others = bytes
}

// TestReadingsComeAtAnyTime: what others take may change between two questions
// to the ledger, and no batch is planned on the answer to one of them alone.
func TestReadingsComeAtAnyTime(t *testing.T) {
	c := newCard(100*megabyte, 0)
	k := kind{name: "one", weights: 40 * megabyte, each: megabyte, items: 8}
	other := kind{name: "other", weights: 85 * megabyte, each: megabyte, items: 8}
	b := newBench(t, c, Options{MaxWait: time.Microsecond, EvictLeastRecentlyUsed: true, Devices: []Device{{Name: "cuda:0", MemoryBytes: c.total, Leases: 2}}}, k, other)
	d := b.devices[0]
	var turn atomic.Int64
	d.Read = func(context.Context) (Reading, error) {
		return Reading{UsedBytes: d.ledger.Settled() + turn.Add(1)%2*20*megabyte}, nil
	}
	stop := make(chan struct{})
	var reading, wg sync.WaitGroup
	for range 4 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := b.observe(context.Background(), d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 8 {
		wg.Go(func() {
			for i := range 60 {
				for _, name := range []string{"one", "other"} {
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					if a, err := b.queues[name].Do(ctx, work{id: i, cost: 1}); err == nil && a.Value != 2*i {
						t.Errorf("%+v, %v", a, err)
					}
					cancel()
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	reading.Wait()
	if err := b.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestAModelGetsItsTurnWhicheverDeviceIsFree: on two devices that are always at
// work for others, one is free at a time; a third model still comes in.
func TestAModelGetsItsTurnWhicheverDeviceIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(1000*megabyte, 100*time.Millisecond)
		devices := []Device{{Name: "cuda:0", Kind: "card", MemoryBytes: 100 * megabyte}, {Name: "cuda:1", Kind: "card", MemoryBytes: 100 * megabyte}}
		busy := kind{name: "busy", weights: 80 * megabyte, each: megabyte, takes: time.Second, items: 4}
		other := kind{name: "other", weights: 80 * megabyte, each: megabyte, takes: time.Second, items: 4}
		b := newBench(t, c, Options{Devices: devices}, busy, other)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2400 {
			wg.Go(func() { b.queues["busy"].Do(models.WithBacklogPriority(ctx), work{cost: 1}) })
		}
		<-time.After(10500 * time.Millisecond) // both work, half a second apart or not
		for i := range 3 {
			a, err := b.queues["other"].Do(t.Context(), work{id: i, cost: 1})
			if err != nil || a.Waited > 5*time.Second {
				t.Errorf("live item %d waited %v (%v)", i, a.Waited, err)
			}
		}
		stop()
		wg.Wait()
		b.close(t)
	})
}

// TestTheDeviceThatOthersUseIsNotWaitedFor: one device is full of others'
// memory, and on the other one there is room to make.
func TestTheDeviceThatOthersUseIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(1000*megabyte, 100*time.Millisecond)
		full := func(context.Context) (Reading, error) { return Reading{UsedBytes: 90 * megabyte}, nil }
		devices := []Device{{Name: "cuda:0", Kind: "card", MemoryBytes: 100 * megabyte, Read: full}, {Name: "cuda:1", Kind: "card", MemoryBytes: 100 * megabyte}}
		one := kind{name: "one", weights: 80 * megabyte, each: megabyte, items: 4}
		two := kind{name: "two", weights: 80 * megabyte, each: megabyte, items: 4}
		b := newBench(t, c, Options{Devices: devices}, one, two)
		synctest.Wait()
		for i := range 3 {
			for _, k := range []kind{one, two} {
				if a, err := b.queues[k.name].Do(t.Context(), work{id: i, cost: 1}); err != nil || a.Device != "cuda:1" || a.Waited > time.Second {
					t.Errorf("%s: %+v, %v", k.name, a, err)
				}
			}
		}
		b.close(t)
	})
}

// TestALongQueueIsNoLackOfMemory: an item that has waited for its turn for
// minutes does not fail since there is no room at the moment when it comes.
func TestALongQueueIsNoLackOfMemory(t *testing.T) {
	for _, what := range []string{"another model is being opened", "others take memory for a moment"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCard(100*megabyte, 10*time.Second)
				leases := 1
				if what == "another model is being opened" {
					leases = 2
				}
				one := kind{name: "one", weights: 80 * megabyte, each: megabyte, takes: 10 * time.Second, items: 4}
				two := kind{name: "two", weights: 80 * megabyte, each: megabyte, takes: 10 * time.Second, items: 4}
				b := newBench(t, c, Options{Devices: []Device{{Name: "cuda:0", MemoryBytes: c.total, Leases: leases, Read: c.read}}}, one, two)
				var wg sync.WaitGroup
				for i := range 400 {
					for _, k := range []kind{one, two} {
						wg.Go(func() {
							if a, err := b.queues[k.name].Do(models.WithBacklogPriority(context.Background()), work{id: i, cost: 1}); err != nil {
								t.Errorf("%s: %+v, %v", k.name, a, err)
							}
						})
					}
				}
				if leases == 1 {
					for range 50 { // for a few seconds, now and then
						<-time.After(37 * time.Second)
						c.othersTake(15 * megabyte)
						<-time.After(3 * time.Second)
						c.othersTake(0)
					}
				}
				wg.Wait()
				b.Close(context.Background())
			})
		})
	}
}

// TestAReadingThatFailsRaisesNothing: what a device does not tell for a moment
// is not zero.
func TestAReadingThatFailsRaisesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: 40 * megabyte, each: megabyte, takes: time.Second, items: 16}
		first := kind{name: "first", weights: megabyte, items: 1}
		c := newCard(1000*megabyte, time.Second)
		c.others = 500 * megabyte
		silent := true
		read := func(ctx context.Context) (Reading, error) {
			c.mu.Lock()
			quiet := silent
			c.mu.Unlock()
			if quiet {
				return Reading{}, ErrNoAnswer
			}
			return c.read(ctx)
		}
		b := newBench(t, c, Options{Devices: []Device{{Name: "cuda:0", MemoryBytes: c.total, Read: read}}}, k, first)
		b.queues["first"].Do(t.Context(), work{cost: 1})
		speak := func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			silent = false
		}
		time.AfterFunc(500*time.Millisecond, speak) // while the model opens
		b.queues["one"].Do(t.Context(), work{cost: 1})
		c.mu.Lock()
		silent = true
		c.mu.Unlock()
		time.AfterFunc(500*time.Millisecond, speak) // while the second batch runs
		all(t.Context(), b.queues["one"], items(8)...)
		p, _ := b.options.Profiles.Get(KeyOf(k.model(), b.options.Devices[0], c))
		if p.WeightsBytes != k.weights || p.Need(8, 8) > 10*megabyte {
			t.Errorf("the profile says %d MB of weights, %d MB for 8 items", p.WeightsBytes/megabyte, p.Need(8, 8)/megabyte)
		}
		b.close(t)
	})
}

// TestWhatElseTheMachineDoesIsNoModels: the CPU's readings are of all that the
// process and the machine do.
func TestWhatElseTheMachineDoesIsNoModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "one", weights: 40 * megabyte, takes: time.Second, items: 16}
		c := newCard(1000*megabyte, time.Second)
		b := newBench(t, c, Options{Devices: []Device{{Name: "cpu", MemoryBytes: c.total, Leases: 1, Read: c.read}}}, k, kind{name: "first", weights: megabyte, items: 1})
		b.queues["first"].Do(t.Context(), work{cost: 1})
		for n := range 4 { // a decoder begins while the model opens and runs
			for i := range 4 {
				time.AfterFunc(time.Duration(i)*500*time.Millisecond, func() { c.othersTake(int64(100*n+25*i) * megabyte) })
			}
			all(t.Context(), b.queues["one"], items(1<<n)...)
		}
		p, _ := b.options.Profiles.Get(KeyOf(k.model(), b.options.Devices[0], c))
		if p.WeightsBytes != k.weights || p.Need(16, 16) > 2*megabyte {
			t.Errorf("the profile says %d MB of weights, %d MB for 16 items", p.WeightsBytes/megabyte, p.Need(16, 16)/megabyte)
		}
		if balance := b.Devices()[0].Balance; balance.Arenas > 2*megabyte {
			t.Errorf("the arena is said to hold %d MB", balance.Arenas/megabyte)
		}
		b.close(t)
	})
}

// TestALargeItemIsNotOvertakenForEver: an item that needs most of the memory
// runs although small batches of others come all the time.
func TestALargeItemIsNotOvertakenForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(1000*megabyte, 0)
		small := kind{name: "small", weights: megabyte, each: 30 * megabyte, takes: time.Second, items: 1}
		large := kind{name: "large", weights: megabyte, each: 60 * megabyte, takes: time.Second, items: 1}
		b := newBench(t, c, Options{Devices: []Device{{Name: "cpu", MemoryBytes: 80 * megabyte, Leases: 2}}}, small, large)
		if _, err := b.queues["large"].Do(t.Context(), work{cost: 1}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				<-time.After(time.Duration(i%2) * 500 * time.Millisecond)
				b.queues["small"].Do(models.WithBacklogPriority(ctx), work{cost: 1})
			})
		}
		<-time.After(3200 * time.Millisecond)
		if a, err := b.queues["large"].Do(t.Context(), work{cost: 1}); err != nil || a.Waited > 2*time.Second {
			t.Errorf("a live item waited %v behind the backlog (%v)", a.Waited, err)
		}
		stop()
		wg.Wait()
		b.Close(context.Background())
	})
}

// TestAClosedQueuesLastItemMayBeWithdrawn: the model leaves its device all the
// same.
func TestAClosedQueuesLastItemMayBeWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind{name: "old", weights: 40 * megabyte, each: megabyte, takes: time.Minute, items: 1}
		next := kind{name: "next", weights: 40 * megabyte, each: megabyte, takes: time.Hour, items: 1}
		b := newBench(t, newCard(100*megabyte, time.Second), Options{}, k, next)
		if _, err := b.queues["old"].Do(t.Context(), work{cost: 1}); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.queues["next"].Do(t.Context(), work{cost: 1}) })
		<-time.After(10 * time.Second) // it has the only lease
		wg.Go(func() { b.queues["old"].Do(ctx, work{cost: 1}) })
		synctest.Wait()
		b.queues["old"].Close()
		cancel()
		synctest.Wait()
		if state := b.Devices()[0]; len(state.Residents) != 1 {
			t.Errorf("%+v", state.Residents)
		}
		wg.Wait()
		b.close(t)
	})
}

// TestARunThatWasNeverBegunTookNothing: what it was promised of the CPU's arena
// is others'.
func TestARunThatWasNeverBegunTookNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(1000*megabyte, time.Second)
		c.broken = func(string) error { return errors.New("a bad graph") }
		k := kind{name: "one", weights: 10 * megabyte, each: 50 * megabyte, items: 1}
		b := newBench(t, c, Options{Devices: []Device{{Name: "cpu", MemoryBytes: 100 * megabyte, Leases: 1}}}, k)
		if _, err := b.queues["one"].Do(t.Context(), work{cost: 1}); err == nil {
			t.Error("it opened")
		}
		synctest.Wait()
		if balance := b.Devices()[0].Balance; balance.Arenas != 0 || balance.Weights != 0 {
			t.Errorf("the ledger still holds %+v", balance)
		}
		b.close(t)
	})
}

// TestLittleMemoryIsNoFault: a model that does not come back for want of memory,
// or of its files, says nothing against the device.
func TestLittleMemoryIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(100*megabyte, time.Second)
		one := kind{name: "one", weights: 80 * megabyte, each: megabyte, items: 1}
		two := kind{name: "two", weights: 80 * megabyte, each: megabyte, items: 1}
		b := newBench(t, c, Options{}, one, two)
		b.queues["one"].Do(t.Context(), work{cost: 1})
		b.queues["two"].Do(t.Context(), work{cost: 1})
		c.broken = func(string) error { return models.ErrOutOfMemory }
		for range 2 * mostFaults {
			if _, err := b.queues["one"].Do(t.Context(), work{cost: 1}); !errors.Is(err, models.ErrOutOfMemory) || errors.Is(err, ErrFault) {
				t.Errorf("got %v", err)
			}
		}
		if b.Devices()[0].Out {
			t.Error("the device is left out")
		}
		b.close(t)
	})
}

// refillingKind is a kind that takes further items while it runs.
type refillingKind struct{ kind }

func (k refillingKind) Refill(ctx context.Context, sessions models.Sessions, feed models.Feed[work, int]) error {
	for taken := 0; ; {
		batch := feed.Take(k.items)
		if len(batch) == 0 {
			return nil
		}
		cost := 0.0
		for _, w := range batch {
			cost += w.cost
		}
		need := []int64{int64(cost * float64(k.each))}
		if _, err := sessions["model.onnx"].Run(ctx, map[string]models.Tensor{"bytes": models.NewTensor(need, 1)}); err != nil {
			return err
		}
		select {
		case <-time.After(k.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, w := range batch {
			feed.Deliver(taken, 2*w.id)
			taken++
		}
	}
}

// TestWhatJoinsABatchKeepsToItsPromise: an item that comes while a batch runs
// joins it only if the memory that was promised is enough, and a profile is
// raised for what ran at once, not for what the batch began with.
func TestWhatJoinsABatchKeepsToItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(200*megabyte, time.Second)
		k := refillingKind{kind{name: "one", weights: 10 * megabyte, each: megabyte, takes: time.Second, items: 4}}
		b := newBench(t, c, Options{}, k.kind, kind{name: "first", weights: megabyte, items: 1})
		b.queues["first"].Do(t.Context(), work{cost: 1})
		q, err := NewQueue(b.Scheduler, k.model(), k)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i, cost := range []float64{1, 1, 1, 1, 60, 1, 90} {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 600 * time.Millisecond)
				if a, err := q.Do(t.Context(), work{id: i, cost: cost}); err != nil || a.Value != 2*i {
					t.Errorf("%+v, %v", a, err)
				}
				b.Scheduler.mu.Lock()
				balance := b.Scheduler.devices[0].ledger.Balance()
				b.Scheduler.mu.Unlock()
				c.mu.Lock()
				defer c.mu.Unlock()
				if balance.Weights+balance.Arenas < c.used {
					t.Errorf("%d MB are used, and the ledger has %d MB", c.used/megabyte, (balance.Weights+balance.Arenas)/megabyte)
				}
			})
		}
		wg.Wait()
		p, _ := b.options.Profiles.Get(KeyOf(k.model(), b.options.Devices[0], c))
		if need := p.Need(1, 1); need > 3*megabyte {
			t.Errorf("one item is said to need %d MB", need/megabyte)
		}
		b.close(t)
	})
}

// cards are several cards as one runtime's devices.
type cards map[string]*card

func (c cards) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	return c[device].Open(ctx, graph, device)
}

func (cards) Build() string { return "card" }

// TestWhateverHappens checks over random models, devices and arrivals, with
// others that take memory and give it back, sessions that do not open, readings
// that fail, items that join batches and queues that close, that the cards are
// never asked for more than they have, that every item is answered, and that all
// is given back.
func TestWhateverHappens(t *testing.T) {
	inOneBubble(t, func(t *testing.T, rt *rapid.T) {
		total := int64(rapid.IntRange(80, 200).Draw(rt, "total")) * megabyte
		opens := time.Duration(rapid.IntRange(0, 200).Draw(rt, "opens")) * time.Millisecond
		failing := rapid.IntRange(0, 4).Draw(rt, "failing") // one opening in so many; 0: none
		errBroken := errors.New("a bad graph")
		all := cards{}
		o := Options{Runtime: all, BacklogWait: 20 * time.Millisecond}
		o.Profiles, _ = OpenProfiles("")
		var silent atomic.Bool
		for i := range rapid.IntRange(1, 3).Draw(rt, "devices") {
			c := newCard(total, opens)
			n := 0
			c.broken = func(string) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				if n++; failing > 0 && n%(failing+1) == 0 {
					return errBroken
				}
				return nil
			}
			name := "cuda:" + string(rune('0'+i))
			all[name] = c
			o.Devices = append(o.Devices, Device{Name: name, Kind: "card", MemoryBytes: total, Leases: rapid.IntRange(1, 2).Draw(rt, "leases"), Read: func(ctx context.Context) (Reading, error) {
				if silent.Load() {
					return Reading{}, ErrNoAnswer
				}
				return c.readOwn(ctx) // or promises not yet taken would be others'
			}})
		}
		var kinds []kind
		for i := range rapid.IntRange(1, 5).Draw(rt, "models") {
			k := kind{
				name:    "m" + string(rune('0'+i)),
				weights: int64(rapid.IntRange(1, 60).Draw(rt, "weights")) * megabyte,
				each:    int64(rapid.IntRange(0, 4).Draw(rt, "each")) * megabyte,
				takes:   time.Duration(rapid.IntRange(0, 50).Draw(rt, "takes")) * time.Millisecond,
				items:   rapid.IntRange(1, 16).Draw(rt, "items"),
			}
			for _, c := range all {
				c.weights[k.name] = k.weights
			}
			if err := o.Profiles.Put(k.profile(o.Devices[0], all)); err != nil {
				rt.Fatal(err)
			}
			kinds = append(kinds, k)
		}
		s := New(o)
		queues := map[string]*Queue[work, int]{}
		for _, k := range kinds {
			r := models.Runner[work, int](k)
			if rapid.Bool().Draw(rt, "refills") {
				r = refillingKind{k}
			}
			q, err := NewQueue(s, k.model(), r)
			if err != nil {
				rt.Fatal(err)
			}
			queues[k.name] = q
			if after := rapid.IntRange(0, 6000).Draw(rt, "closes"); after < 3000 {
				time.AfterFunc(time.Duration(after)*time.Millisecond, q.Close)
			}
		}
		var wg sync.WaitGroup
		for _, name := range []string{"cuda:0", "cuda:1", "cuda:2"} {
			c := all[name]
			if c == nil {
				continue
			}
			for range rapid.IntRange(0, 3).Draw(rt, "spells") {
				// Not in the moment in which a device is read, which would not show it yet.
				after, lasts := 2*rapid.IntRange(0, 1000).Draw(rt, "after")+1, rapid.IntRange(1, 100_000).Draw(rt, "lasts")
				share := int64(rapid.IntRange(1, 100).Draw(rt, "share"))
				wg.Go(func() {
					<-time.After(time.Duration(after) * time.Millisecond)
					took := s.othersTake(name, c, share)
					<-time.After(time.Duration(lasts) * time.Millisecond)
					c.mu.Lock()
					c.others -= took
					c.mu.Unlock()
				})
			}
		}
		if rapid.Bool().Draw(rt, "silence") {
			time.AfterFunc(time.Second, func() { silent.Store(true) })
			time.AfterFunc(3*time.Second, func() { silent.Store(false) })
		}
		for i := range rapid.IntRange(1, 80).Draw(rt, "arrivals") {
			k := rapid.SampledFrom(kinds).Draw(rt, "kind")
			after := time.Duration(rapid.IntRange(0, 3000).Draw(rt, "comes")) * time.Millisecond
			patient := time.Duration(rapid.IntRange(0, 4).Draw(rt, "patient")) * 300 * time.Millisecond
			backlog := rapid.Bool().Draw(rt, "backlog")
			cost := float64(rapid.IntRange(1, 4).Draw(rt, "cost"))
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
				came := time.Now()
				a, err := queues[k.name].Do(ctx, work{id: i, cost: cost})
				if took := time.Since(came); took > 4*time.Minute {
					rt.Errorf("%s: item %d was answered after %v", k.name, i, took)
				}
				switch {
				case err == nil && a.Value == 2*i:
				case patient > 0 && errors.Is(err, context.DeadlineExceeded):
				case errors.Is(err, ErrClosed), errors.Is(err, errBroken), errors.Is(err, models.ErrDeviceLost):
				case errors.Is(err, ErrNoRoom) && !errors.Is(err, ErrTooLarge): // for as long as others had it
				default:
					rt.Errorf("%s: %+v, %v", k.name, a, err)
				}
			})
		}
		if rapid.Bool().Draw(rt, "closed early") {
			<-time.After(time.Second)
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				rt.Error(err)
			}
		}
		wg.Wait()
		if err := s.Close(context.Background()); err != nil {
			rt.Error(err)
		}
		for _, d := range s.devices {
			c, b := all[d.Name], d.ledger.Balance()
			if c.used != 0 || c.most > c.total || b.Weights+b.Arenas+b.InUse != 0 {
				rt.Errorf("%s: %d MB are left, at most %d MB of %d were taken, the ledger has %+v", d.Name, c.used/megabyte, c.most/megabyte, total/megabyte, b)
			}
		}
		if s.queued != 0 || len(s.running) != 0 {
			rt.Errorf("%d items wait, %d batches run", s.queued, len(s.running))
		}
	})
}

// othersTake lets others take so many hundredths of what nobody was promised,
// before anybody is.
func (s *Scheduler) othersTake(name string, c *card, share int64) (took int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range s.devices {
		if d.Name == name {
			took = max(0, d.ledger.Balance().Left) * share / 100
			c.others += took
			d.ledger.Observe(c.used+c.others, c.used, d.ledger.Settled())
		}
	}
	return took
}

// TestTheBacklogGetsInBetweenLiveModels: two models that do not fit side by side
// have live work all the time; the backlog's third one gets its turn.
func TestTheBacklogGetsInBetweenLiveModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := kind{name: "one", weights: 80 * megabyte, each: megabyte, takes: 100 * time.Millisecond, items: 4}
		two := kind{name: "two", weights: 80 * megabyte, each: megabyte, takes: 100 * time.Millisecond, items: 4}
		third := kind{name: "third", weights: 80 * megabyte, each: megabyte, takes: 100 * time.Millisecond, items: 4}
		b := newBench(t, newCard(100*megabyte, 100*time.Millisecond), Options{}, one, two, third)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for ctx.Err() == nil {
					b.queues[[]string{"one", "two"}[i%2]].Do(ctx, work{cost: 1})
				}
			})
		}
		<-time.After(10 * time.Second)
		wait, cancel := context.WithTimeout(models.WithBacklogPriority(t.Context()), time.Hour)
		defer cancel()
		a, err := b.queues["third"].Do(wait, work{cost: 1})
		t.Logf("%v %v, %d loads", a.Waited, err, b.card.sum())
		if err != nil || a.Waited > 10*time.Minute {
			t.Errorf("the backlog waited %v (%v)", a.Waited, err)
		}
		stop()
		wg.Wait()
		b.close(t)
	})
}

// TestOthersThatBeginDuringARun: where the driver does not name processes, their
// memory looks like the run's. The profile in the file, which outlives them, does
// not take it in.
func TestOthersThatBeginDuringARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(1000*megabyte, 300*time.Millisecond)
		k := kind{name: "one", weights: 60 * megabyte, each: megabyte, items: 16, takes: time.Second}
		b := newBench(t, c, Options{}, k)
		b.queues["one"].Do(t.Context(), work{cost: 1})
		time.AfterFunc(500*time.Millisecond, func() { c.othersTake(700 * megabyte) })
		all(t.Context(), b.queues["one"], items(8)...)
		c.othersTake(0)
		p, _ := b.options.Profiles.Get(KeyOf(k.model(), b.options.Devices[0], c))
		if need := p.Need(16, 16); need > 20*megabyte {
			t.Errorf("16 items are said to need %d MB", need/megabyte)
		}
		b.close(t)
	})
}

// TestTheLedgersMetricsFollowIt: also what others take, and a model that is gone,
// show while nothing runs.
func TestTheLedgersMetricsFollowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCard(100*megabyte, time.Second)
		k := kind{name: "one", weights: 40 * megabyte, each: megabyte, items: 1}
		b := newBench(t, c, Options{}, k)
		b.queues["one"].Do(t.Context(), work{cost: 1})
		c.othersTake(30 * megabyte)
		b.queues["one"].Close()
		<-time.After(2 * readEvery)
		balance := b.Devices()[0].Balance
		for what, want := range map[string]int64{"foreign": balance.Foreign, "weights": 0, "left": 70 * megabyte} {
			if got := testutil.ToFloat64(b.metrics.bytes.WithLabelValues("cuda:0", what)); got != float64(want) {
				t.Errorf("%s: %v, want %d", what, got, want)
			}
		}
		b.close(t)
	})
}
