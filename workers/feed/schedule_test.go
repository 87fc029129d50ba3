package feed

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Whatever is due, one host never has more than its share of requests, nor two
// of them within the gap, and every feed gets its turn.
func TestHostsAreAskedInTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perHost := rapid.IntRange(1, 3).Draw(t, "per host")
		gap := time.Duration(rapid.IntRange(0, 5).Draw(t, "gap"))
		s := newSchedule(perHost, gap)
		now := start
		feeds := rapid.IntRange(1, 30).Draw(t, "feeds")
		turns := map[*listing]int{}
		for i := range feeds {
			e := &listing{subscription: subscription{shown: fmt.Sprint(i)}}
			turns[e] = 0
			s.add(e, fmt.Sprint("host ", rapid.IntRange(0, 4).Draw(t, "host")), now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "due"))))
		}
		running := map[string][]*listing{}
		began := map[string]time.Time{}
		held := map[string]time.Time{}
		for steps := 0; steps < 2000; steps++ {
			if e := s.next(now); e != nil {
				h := e.host.name
				if e.due.After(now) {
					t.Fatalf("%s was asked before it was due", e.shown)
				}
				if at, ok := began[h]; ok && now.Sub(at) < gap {
					t.Fatalf("%s was asked twice within %v", h, now.Sub(at))
				}
				if now.Before(held[h]) {
					t.Fatalf("%s was asked although it is held", h)
				}
				began[h] = now
				running[h] = append(running[h], e)
				turns[e]++
				if len(running[h]) > perHost {
					t.Fatalf("%d requests at %s", len(running[h]), h)
				}
				continue
			}
			// Nothing may start: end one, or let time pass to when something may.
			ended := false
			for h, all := range running {
				if len(all) > 0 && rapid.Bool().Draw(t, "ends") {
					e := all[0]
					running[h] = all[1:]
					if rapid.IntRange(0, 9).Draw(t, "hold") == 0 {
						held[h] = now.Add(7)
						s.done(e, held[h])
					} else {
						s.done(e, time.Time{})
					}
					if turns[e] < 3 {
						s.add(e, h, now.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "again"))))
					}
					ended = true
				}
			}
			if at, known := s.wake(); known && at.After(now) {
				now = at
			} else if known && !ended {
				t.Fatalf("at %v there is nothing to do, and the schedule wakes at %v", now, at)
			} else if !known && !ended && len(s.due) == 0 {
				left := 0
				for _, all := range running {
					left += len(all)
				}
				if left == 0 {
					break
				}
			}
		}
		for e, n := range turns {
			if n != 3 {
				t.Fatalf("%s had %d turns", e.shown, n)
			}
		}
	})
}

// A hub with thousands of feeds does not keep the others waiting.
func TestAHubStarvesNobody(t *testing.T) {
	s := newSchedule(1, time.Second)
	for i := range 5000 {
		s.add(&listing{subscription: subscription{shown: fmt.Sprint(i)}}, "hub", start)
	}
	for i := range 50 {
		s.add(&listing{}, fmt.Sprint("small ", i), start)
	}
	names := map[string]int{}
	for e := s.next(start); e != nil; e = s.next(start) {
		names[e.host.name]++
	}
	if len(names) != 51 || names["hub"] != 1 {
		t.Errorf("%d hosts began at once, the hub with %d", len(names), names["hub"])
	}
}

// Feeds that wait take neither goroutines nor much memory.
func TestManyFeedsWaitCheaply(t *testing.T) {
	const feeds = 10_000
	addresses := make([]string, feeds)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("https://feeds%d.example.org/podcasts/%d/rss", i%5000, i)
	}
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		transport := roundTrip(func(*http.Request) (*http.Response, error) {
			asked.Add(1)
			return &http.Response{StatusCode: http.StatusNotModified, Body: http.NoBody}, nil
		})
		before, goroutines := inUse(), runtime.NumGoroutine()
		p, err := New(Public(addresses...), &http.Client{Transport: transport}, &MemoryCursors{}, (&inbox{}).publish, Options{Random: at(0.5)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		<-time.After(2 * time.Minute) // their time is after 2.5 min
		synctest.Wait()
		if n := runtime.NumGoroutine() - goroutines; n > 3 {
			t.Errorf("%d goroutines while all wait", n)
		}
		bytes := (inUse() - before) / feeds
		if bytes > 600 {
			t.Errorf("%d bytes a feed that waits", bytes)
		}
		t.Logf("%d bytes a feed that waits", bytes)
		<-time.After(10 * time.Minute)
		cancel()
		run.Wait()
		if n := asked.Load(); n < feeds {
			t.Errorf("%d of %d feeds were asked", n, feeds)
		}
	})
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkSchedule asks each of 100,000 feeds on 20,000 hosts, half of them on
// five hubs, again and again.
func BenchmarkSchedule(b *testing.B) {
	const feeds = 100_000
	s := newSchedule(1, time.Millisecond)
	now := start
	for i := range feeds {
		at := fmt.Sprint("host ", i%20_000)
		if i%2 == 0 {
			at = fmt.Sprint("hub ", i%10)
		}
		s.add(&listing{}, at, now.Add(time.Duration(i)*time.Millisecond))
	}
	b.ReportAllocs()
	for b.Loop() {
		e := s.next(now)
		for e == nil {
			at, _ := s.wake()
			now = at
			e = s.next(now)
		}
		name := e.host.name
		s.done(e, time.Time{})
		s.add(e, name, now.Add(5*time.Minute))
	}
}
