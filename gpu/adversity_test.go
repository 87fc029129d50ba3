package gpu

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
