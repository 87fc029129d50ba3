package gpu

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/prometheus/client_golang/prometheus"
)

// idler is a runner that does nothing: what is left is scheduling.
type idler struct{ gate chan struct{} }

func (idler) Cost(int) float64 { return 1 }
func (idler) Bucket(int) int   { return 0 }
func (r idler) Run(_ context.Context, _ models.Sessions, batch []int) ([]int, error) {
	<-r.gate
	return batch, nil
}

// BenchmarkScheduling is what the scheduler itself takes for an item, from Do to
// its answer, while so many others wait: processor time of all threads, and
// garbage. Each that waits is a goroutine which asks again once it is answered;
// waking it is part of the price.
func BenchmarkScheduling(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) { benchmarkScheduling(b, waiting) })
	}
}

// episode is how many items wait under one context.
const episode = 32

func benchmarkScheduling(b *testing.B, waiting int) {
	s := New(Options{
		Runtime: &runtimeInMemory{}, Devices: []Device{{Name: "cpu"}},
		QueueItems: waiting, Registerer: prometheus.NewRegistry(),
	})
	r := idler{gate: make(chan struct{})}
	q, err := NewQueue(s, model(16, 0), r)
	if err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{}) // as many items were answered as the benchmark asks for
	var callers sync.WaitGroup
	ctx := b.Context()
	for i := range waiting {
		if i%episode == 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithCancel(b.Context())
			defer cancel()
		}
		callers.Go(func() {
			for {
				if _, err := q.Do(ctx, i); err != nil {
					b.Error(err)
				}
				switch n := left.Add(-1); {
				case n == 0:
					close(done)
					return
				case n < 0:
					return
				}
			}
		})
	}
	running := runtime.GOMAXPROCS(0) * 16
	for queued := 0; queued < waiting-running; runtime.Gosched() {
		s.mu.Lock()
		queued = s.queued
		s.mu.Unlock()
	}
	runtime.GC()
	b.ReportAllocs()
	before := processorTime()
	b.ResetTimer()
	close(r.gate)
	<-done
	b.StopTimer()
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
	callers.Wait()
	if err := s.Close(context.Background()); err != nil {
		b.Error(err)
	}
}
