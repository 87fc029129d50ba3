package feed

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// running polls the sites until stop, in a bubble's time.
func running(t *testing.T, s *sites, cursors Cursors, b *inbox, o Options, feeds ...string) (stop func()) {
	t.Helper()
	p, err := New(Public(feeds...), &http.Client{Transport: s}, cursors, b.publish, o)
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
	return func() {
		cancel()
		run.Wait()
	}
}

func at(random float64) func() float64 { return func() float64 { return random } }

// timed answers with status and header, and keeps when it was asked.
type timed struct {
	mu     sync.Mutex
	times  []time.Duration
	start  time.Time
	answer func(n int, w http.ResponseWriter)
}

func (k *timed) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	n := len(k.times)
	k.times = append(k.times, time.Since(k.start).Round(time.Second))
	k.mu.Unlock()
	k.answer(n, w)
}

func (k *timed) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint(k.times)
}

func TestAFeedIsPolledAsItsServerWishes(t *testing.T) {
	plain := rss(entry(1, "x"))
	for name, test := range map[string]struct {
		answer func(n int, w http.ResponseWriter)
		random float64
		want   string
	}{
		"nothing said":               {func(_ int, w http.ResponseWriter) { fmt.Fprint(w, plain) }, 0, "[0s 5m0s 10m0s 15m0s 20m0s 25m0s]"},
		"max-age":                    {cacheControl("public, max-age=600", plain), 0, "[0s 10m0s 20m0s]"},
		"a short max-age":            {cacheControl("max-age=1", plain), 0, "[0s 5m0s 10m0s 15m0s 20m0s 25m0s]"},
		"an endless max-age":         {cacheControl("max-age=31536000", plain), 0, "[0s 20m0s]"},
		"ttl, in minutes":            {func(_ int, w http.ResponseWriter) { fmt.Fprint(w, rss("<ttl>15</ttl>", entry(1, "x"))) }, 0, "[0s 15m0s]"},
		"Retry-After":                {failing(429, "900", 1, plain), 0.5, "[0s 15m0s 20m0s 25m0s]"},
		"Retry-After, short":         {failing(503, "1", 1, plain), 0.5, "[0s 5m0s 10m0s 15m0s 20m0s 25m0s]"},
		"failures":                   {failing(500, "", 9, plain), 0.6, "[0s 6m0s 18m0s]"},
		"failures, the jitter's end": {failing(500, "", 9, plain), 0, "[0s 5m0s 10m0s 15m0s 20m0s 25m0s]"},
		"a failure that passes":      {failing(500, "", 2, plain), 0.5, "[0s 5m0s 15m0s 20m0s 25m0s]"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &timed{start: time.Now(), answer: test.answer}
				s := &sites{}
				s.set(oldHome, k.ServeHTTP)
				stop := running(t, s, &MemoryCursors{}, &inbox{}, Options{Random: at(test.random), Longest: 20 * time.Minute}, oldHome)
				<-time.After(29 * time.Minute)
				stop()
				if got := k.said(); got != test.want {
					t.Errorf("asked at %s, want %s", got, test.want)
				}
			})
		})
	}
}

func cacheControl(header, body string) func(int, http.ResponseWriter) {
	return func(_ int, w http.ResponseWriter) {
		w.Header().Set("Cache-Control", header)
		fmt.Fprint(w, body)
	}
}

// failing answers with the status so many times.
func failing(status int, retryAfter string, times int, body string) func(int, http.ResponseWriter) {
	return func(n int, w http.ResponseWriter) {
		if n < times {
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(status)
			return
		}
		fmt.Fprint(w, body)
	}
}

func TestQuietHoursAndDays(t *testing.T) {
	d := parsed(t, rss("<skipHours><hour>8</hour><hour>9</hour><hour>24</hour></skipHours><skipDays><day>Saturday</day><day>Sunday</day></skipDays>"))
	for _, test := range []struct{ at, want string }{
		{"Fri 07:59", "Fri 07:59"}, {"Fri 08:10", "Fri 10:00"}, {"Fri 00:30", "Fri 01:00"},
		{"Sat 12:00", "Sun 12:00"}, // a day at most
		{"Sun 23:10", "Mon 01:00"},
	} {
		at := clockOf(t, test.at)
		if got := d.quiet.end(at); !got.Equal(clockOf(t, test.want)) {
			t.Errorf("%s: %v, want %s", test.at, got, test.want)
		}
	}
	if never := parsed(t, rss("<skipDays><day>Monday</day></skipDays><skipHours><hour>x</hour><hour>99</hour></skipHours>")).quiet; never.Hours != 0 || never.Days != 2 {
		t.Errorf("%+v", never)
	}
}

func clockOf(t *testing.T, at string) time.Time {
	t.Helper()
	days := map[string]int{"Fri": 20, "Sat": 21, "Sun": 22, "Mon": 23} // November 2026
	var day string
	var hour, minute int
	if _, err := fmt.Sscanf(at, "%s %d:%d", &day, &hour, &minute); err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 11, days[day], hour, minute, 0, 0, time.UTC)
}

func TestARestartDoesNotHammerAFeedThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &timed{start: time.Now(), answer: failing(500, "", 99, "")}
		s, cursors := &sites{}, &MemoryCursors{}
		s.set(oldHome, k.ServeHTTP)
		for range 10 { // every two minutes a new process
			stop := running(t, s, cursors, &inbox{}, Options{Random: at(0.999)}, oldHome)
			<-time.After(2 * time.Minute)
			stop()
		}
		if got := k.said(); got != "[0s 9m59s]" {
			t.Errorf("asked at %s", got)
		}
	})
}

func TestAClockThatWasWrongKeepsNoFeedWaiting(t *testing.T) {
	for _, status := range []int{http.StatusGone, http.StatusServiceUnavailable} {
		s := newStation()
		s.now = start.AddDate(10, 0, 0)
		s.set(oldHome, func(w http.ResponseWriter, r *http.Request) { failing(status, "3600", 1, "")(0, w) })
		p, err := New(Public(oldHome), &http.Client{Transport: s.sites}, &s.cursors, s.publish, Options{Now: s.read})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Poll(t.Context()); err == nil {
			t.Errorf("%d was no failure", status)
		}
		s.now = start
		s.set(oldHome, page(entry(1, "x")))
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 {
			t.Errorf("%d: %+v", status, sum)
		}
	}
}

func TestAServersWordCountsForAllItsFeeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sites{}
		busy := &timed{start: time.Now(), answer: failing(429, "1800", 1, rss())}
		other := &timed{start: time.Now(), answer: func(_ int, w http.ResponseWriter) { fmt.Fprint(w, rss()) }}
		elsewhere := &timed{start: time.Now(), answer: other.answer}
		s.set("https://hub.example.org/1", busy.ServeHTTP)
		s.set("https://hub.example.org/2", other.ServeHTTP)
		s.set("https://other.example.org/", elsewhere.ServeHTTP)
		stop := running(t, s, &MemoryCursors{}, &inbox{}, Options{Random: at(0), HostGap: time.Second}, "https://hub.example.org/1", "https://hub.example.org/2", "https://other.example.org/")
		<-time.After(29 * time.Minute)
		stop()
		if busy.said() != "[0s]" || other.said() != "[]" || elsewhere.said() != "[0s 5m0s 10m0s 15m0s 20m0s 25m0s]" {
			t.Errorf("the feed that was refused: %s, another there: %s, elsewhere: %s", busy.said(), other.said(), elsewhere.said())
		}
	})
}

// counting finds how many requests one host and all have at once.
type counting struct {
	mu       sync.Mutex
	now, max map[string]int
	first    map[string]time.Time // address
	last     map[string]time.Time // host
	closest  time.Duration
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	for _, name := range []string{r.URL.Host, "all"} {
		c.now[name]++
		c.max[name] = max(c.max[name], c.now[name])
	}
	now := time.Now()
	if at, ok := c.last[r.URL.Host]; ok {
		c.closest = min(c.closest, now.Sub(at))
	}
	c.last[r.URL.Host] = now
	if _, again := c.first[r.URL.String()]; !again {
		c.first[r.URL.String()] = now
	}
	c.mu.Unlock()
	<-time.After(300 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range []string{r.URL.Host, "all"} {
		c.now[name]--
	}
	return (&web{body: rss()}).RoundTrip(r)
}

func TestManyFeedsAreSpreadOverHostsAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counting{now: map[string]int{}, max: map[string]int{}, first: map[string]time.Time{}, last: map[string]time.Time{}, closest: time.Hour}
		var feeds []string
		for i := range 2000 {
			host := fmt.Sprintf("host%d.example.org", i%500)
			if i%4 == 0 {
				host = "hub.example.org"
			}
			feeds = append(feeds, fmt.Sprintf("https://%s/%d", host, i))
		}
		p, err := New(Public(feeds...), &http.Client{Transport: c}, &MemoryCursors{}, (&inbox{}).publish, Options{Parallel: 32})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		defer cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		soon, small, hub := 0, 0, 0
		for address, at := range c.first {
			if strings.Contains(address, "hub.") {
				hub++
				continue
			}
			small++
			if at.Sub(began) < 5*time.Second {
				soon++
			}
		}
		if small != 1500 || hub != 500 {
			t.Errorf("%d of 1500 feeds on small hosts were polled, %d of 500 on the hub", small, hub)
		}
		if soon > 500 {
			t.Errorf("%d feeds began within 5 s", soon)
		}
		for host, n := range c.max {
			if host != "all" && n > 1 {
				t.Errorf("%d requests at once to %s", n, host)
			}
		}
		if c.max["all"] > 32 || c.closest < 250*time.Millisecond {
			t.Errorf("%d requests at once, %v between two to one host", c.max["all"], c.closest)
		}
	})
}

func TestAFeedThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := &sites{}, &inbox{}
		s.set("https://hangs.example.org/", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		s.set(oldHome, page(entry(1, "x")))
		p, err := New(Public("https://hangs.example.org/", oldHome), &http.Client{Transport: cut{s}}, &MemoryCursors{}, b.publish, Options{Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		sum, err := p.Poll(t.Context())
		if err == nil || !strings.Contains(err.Error(), "no answer within 10s") || sum.New != 1 || time.Since(began) != 10*time.Second {
			t.Errorf("%+v, %v after %v", sum, err, time.Since(began))
		}
	})
}

// cut ends with the request's context, as a connection does.
type cut struct{ http.RoundTripper }

func (c cut) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.RoundTripper.RoundTrip(r)
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return answer, err
}
