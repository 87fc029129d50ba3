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
