package elastic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
)

// spoken is an episode of 36 minutes: 400 segments of 14 words.
func spoken(n int, random *rand.Rand) index.Document {
	d := document(episode.ID(fmt.Sprintf("b%d", n)), 1, 400)
	for i := range d.Segments {
		var words []string
		for range 14 {
			words = append(words, fmt.Sprintf("word%d", int(random.ExpFloat64()*500)))
		}
		d.Segments[i].Text = strings.Join(words, " ")
	}
	return d
}

func BenchmarkEncode(b *testing.B) {
	d := spoken(0, rand.New(rand.NewPCG(1, 1)))
	x := client(b, Options{URLs: []string{"http://127.0.0.1:1"}})
	for b.Loop() {
		e, err := encode(d)
		if err != nil {
			b.Fatal(err)
		}
		x.writing().segmentItems(e)
		x.writing().episodeItem(e)
	}
}

// BenchmarkPut puts new episodes, 16 at a time, without waiting for a refresh.
func BenchmarkPut(b *testing.B) {
	o := fresh(b, node(b, elastictest.V7))
	o.Refresh = Later
	x := client(b, o)
	if _, err := x.Create(b.Context()); err != nil {
		b.Fatal(err)
	}
	var (
		mu    sync.Mutex
		took  []time.Duration
		n     int
		group sync.WaitGroup
	)
	next := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n, n <= b.N
	}
	b.ResetTimer()
	for w := range 16 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(w)))
			for {
				at, more := next()
				if !more {
					return
				}
				d := spoken(at, random)
				began := time.Now()
				if _, err := x.Put(b.Context(), d); err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	}
}
