package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web answers requests without a network.
type web struct {
	mu       sync.Mutex
	body     string
	etag     string
	status   int
	header   http.Header
	requests []*http.Request
}

func (w *web) set(etag string, elements ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.etag, w.body = etag, rss(elements...)
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, r)
	answer := httptest.NewRecorder()
	for name, values := range w.header {
		answer.Header()[name] = values
	}
	switch {
	case w.status != 0:
		answer.WriteHeader(w.status)
	case w.etag != "" && r.Header.Get("If-None-Match") == w.etag:
		answer.WriteHeader(http.StatusNotModified)
	default:
		answer.Header().Set("ETag", w.etag)
		if _, err := answer.WriteString(w.body); err != nil {
			return nil, err
		}
	}
	return answer.Result(), nil
}

// inbox takes events; it refuses those that fail names.
type inbox struct {
	mu     sync.Mutex
	events []episode.Event
	fail   func(episode.Event) error
}

func (b *inbox) publish(_ context.Context, e episode.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(e); err != nil {
			return err
		}
	}
	b.events = append(b.events, e)
	return nil
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

var start = time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)

func poller(t *testing.T, w *web, cursors Cursors, b *inbox, o Options) *Poller {
	t.Helper()
	p, err := New(Public(feedURL), &http.Client{Transport: w}, cursors, b.publish, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func poll(t *testing.T, p *Poller) Summary {
	t.Helper()
	sum, err := p.Poll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func entry(n int, title string) string {
	return item(fmt.Sprintf(`<title>%s</title><guid>%d</guid><enclosure url="https://x.org/%d.mp3" type="audio/mpeg" length="%d"/>`, title, n, n, n))
}

func TestOnlyWhatIsNewOrChangedIsPublished(t *testing.T) {
	w, b, c := &web{}, &inbox{}, &clock{start}
	cursors := &MemoryCursors{}
	p := poller(t, w, cursors, b, Options{Now: c.read, UserAgent: "Earshot (ops@example.org)"})
	w.set(`"1"`, entry(2, "two"), entry(1, "one"))
	if sum := poll(t, p); sum.New != 2 || sum.Polled != 1 || len(b.events) != 2 {
		t.Fatalf("%+v", sum)
	}
	first := b.events[0]
	if first.Title != "one" || first.Revision != episode.Revision(start.UnixMilli()) || !first.FirstSeen.Equal(start) || first.Priority != episode.Live {
		t.Errorf("oldest entry: %+v", first)
	}
	if ua := w.requests[0].Header.Get("User-Agent"); ua != "Earshot (ops@example.org)" {
		t.Errorf("User-Agent %q", ua)
	}
	if sum := poll(t, p); sum.Unchanged != 1 || sum.New+sum.Changed != 0 {
		t.Errorf("not modified: %+v", sum)
	}
	// Another process with the same cursors, an hour later: one title changed,
	// one entry is new, and a host reports another length.
	c.now = start.Add(time.Hour)
	w.set(`"2"`, entry(3, "three"), strings.Replace(entry(2, "two"), `length="2"`, `length="99"`, 1), entry(1, "one, corrected"))
	p = poller(t, w, cursors, b, Options{Now: c.read})
	if sum := poll(t, p); sum.New != 1 || sum.Changed != 1 || len(b.events) != 4 {
		t.Errorf("%+v", sum)
	}
	if again := b.events[2]; again.ID != first.ID || again.Title != "one, corrected" || again.Revision != episode.Revision(c.now.UnixMilli()) {
		t.Errorf("changed: %+v", again)
	}
	// A clock that went back must not take revisions back.
	c.now = start.Add(-time.Hour)
	w.set(`"3"`, entry(1, "one, corrected again"))
	poll(t, p)
	if last := b.events[4]; last.Revision != b.events[2].Revision+1 {
		t.Errorf("revision %d after %d", last.Revision, b.events[2].Revision)
	}
}

func TestWhatCouldNotBePublishedIsFoundAgain(t *testing.T) {
	w, b, c := &web{}, &inbox{}, &clock{start}
	full := errors.New("disk full")
	b.fail = func(e episode.Event) error {
		if e.Title == "two" {
			return full
		}
		return nil
	}
	cursors := &MemoryCursors{}
	p := poller(t, w, cursors, b, Options{Now: c.read})
	w.set(`"1"`, entry(3, "three"), entry(2, "two"), entry(1, "one"))
	if _, err := p.Poll(t.Context()); !errors.Is(err, full) || len(b.events) != 1 {
		t.Fatalf("%v, %d events", err, len(b.events))
	}
	b.fail = nil
	c.now = start.Add(time.Hour)
	poll(t, poller(t, w, cursors, b, Options{Now: c.read}))
	if len(b.events) != 3 || b.events[1].Title != "two" || b.events[2].Title != "three" {
		t.Fatalf("%+v", b.events)
	}
	for _, e := range b.events {
		if e.Revision != episode.Revision(start.UnixMilli()) || !e.FirstSeen.Equal(start) {
			t.Errorf("%s has revision %d, first seen %s", e.Title, e.Revision, e.FirstSeen)
		}
	}
}

// crashing cursors lose every save after the first few, as a killed process
// does.
type crashing struct {
	Cursors
	saves int
}

var errCrash = errors.New("killed")

func (c *crashing) SaveCursor(ctx context.Context, name string, was, body []byte) (bool, error) {
	if c.saves--; c.saves < 0 {
		return false, errCrash
	}
	return c.Cursors.SaveCursor(ctx, name, was, body)
}

func TestACrashGivesNoEditionTwoRevisions(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w, b, c := &web{}, &inbox{}, &clock{start}
		w.set(`"1"`, entry(3, "three"), entry(2, "two"), entry(1, "one"))
		lasting := &MemoryCursors{}
		crashes := rapid.IntRange(0, 4).Draw(r, "crashes")
		for range crashes {
			left := rapid.IntRange(0, 3).Draw(r, "events before the crash")
			b.fail = func(episode.Event) error {
				if left--; left < 0 {
					return errCrash
				}
				return nil
			}
			cursors := &crashing{lasting, rapid.IntRange(0, 2).Draw(r, "saves before the crash")}
			if cursors.saves == 0 {
				left = 0 // nothing is published before the first save
			}
			_, _ = poller(t, w, cursors, b, Options{Now: c.read}).Poll(t.Context())
			c.now = c.now.Add(time.Minute)
		}
		b.fail = nil
		if _, err := poller(t, w, lasting, b, Options{Now: c.read}).Poll(t.Context()); err != nil {
			r.Fatal(err)
		}
		revisions := map[episode.ID]episode.Revision{}
		for _, e := range b.events {
			if was, ok := revisions[e.ID]; ok && was != e.Revision {
				r.Fatalf("%s has revisions %d and %d", e.Title, was, e.Revision)
			}
			revisions[e.ID] = e.Revision
		}
		if len(revisions) != 3 {
			r.Fatalf("%d episodes were published", len(revisions))
		}
	})
}

func TestABlockedEpisodeIsWithdrawnAndMayComeBack(t *testing.T) {
	w, b, c := &web{}, &inbox{}, &clock{start}
	withdrawn := map[episode.ID]episode.Revision{}
	p := poller(t, w, &MemoryCursors{}, b, Options{Now: c.read, Withdraw: func(_ context.Context, r episode.Removal) error {
		withdrawn[r.ID] = r.Revision
		return r.Check()
	}})
	blocked := func(n int) string {
		return strings.Replace(entry(n, "x"), "</item>", "<itunes:block>yes</itunes:block></item>", 1)
	}
	w.set(`"1"`, entry(1, "x"), blocked(2))
	if sum := poll(t, p); sum.New != 1 || sum.Withdrawn != 0 {
		t.Errorf("%+v", sum)
	}
	c.now = c.now.Add(time.Hour)
	w.set(`"2"`, blocked(1), blocked(2))
	if sum := poll(t, p); sum.Withdrawn != 1 || withdrawn[b.events[0].ID] <= b.events[0].Revision {
		t.Errorf("%+v, %v", sum, withdrawn)
	}
	w.set(`"3"`, entry(1, "x"), blocked(2))
	if sum := poll(t, p); sum.Changed != 1 || b.events[1].Revision <= withdrawn[b.events[0].ID] {
		t.Errorf("%+v: an episode that is back must be newer than its removal", sum)
	}
}

func TestAnArchiveIsBacklog(t *testing.T) {
	w, b, c := &web{}, &inbox{}, &clock{start}
	dated := func(n int, at time.Time) string {
		return strings.Replace(entry(n, "x"), "</item>", "<pubDate>"+at.Format(time.RFC1123Z)+"</pubDate></item>", 1)
	}
	p := poller(t, w, &MemoryCursors{}, b, Options{Now: c.read, Fresh: 48 * time.Hour})
	w.set(`"1"`, dated(2, start.Add(-time.Hour)), dated(1, start.AddDate(-1, 0, 0)))
	poll(t, p)
	w.set(`"2"`, dated(3, start.AddDate(-2, 0, 0)))
	poll(t, p)
	if p := []episode.Priority{b.events[0].Priority, b.events[1].Priority, b.events[2].Priority}; p[0] != episode.Backlog || p[1] != episode.Live || p[2] != episode.Live {
		t.Errorf("priorities %v", p)
	}
}

func TestServersThatFail(t *testing.T) {
	w, b, c := &web{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {"120"}}}, &inbox{}, &clock{start}
	p := poller(t, w, &MemoryCursors{}, b, Options{Now: c.read, MaxBytes: 1 << 20})
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("%v", err)
	}
	w.status = 0
	w.set(`"1"`, entry(1, "x"))
	c.now = start.Add(time.Minute)
	if sum := poll(t, p); sum.Waiting != 1 || len(b.events) != 0 {
		t.Errorf("Retry-After was ignored: %+v", sum)
	}
	c.now = start.Add(3 * time.Minute)
	if sum := poll(t, p); sum.New != 1 {
		t.Errorf("%+v", sum)
	}
	w.set(`"2"`, strings.Repeat("<x>padding</x>", 100_000))
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("%v", err)
	}
	w.status = http.StatusGone
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "take it off the list") {
		t.Errorf("%v", err)
	}
}

func TestRunPollsAtTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := &web{}, &inbox{}
		w.set("", entry(1, "x"))
		p := poller(t, w, &MemoryCursors{}, b, Options{Interval: time.Minute})
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute-time.Second)
		defer stop()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if len(w.requests) != 10 || len(b.events) != 1 {
			t.Errorf("%d requests, %d events", len(w.requests), len(b.events))
		}
	})
}

func TestAddressesAreChecked(t *testing.T) {
	for _, feeds := range [][]string{{"podnews.net/rss"}, {"ftp://x/y"}, {feedURL, feedURL}} {
		if _, err := New(Public(feeds...), http.DefaultClient, &MemoryCursors{}, nil, Options{}); err == nil {
			t.Errorf("%v was accepted", feeds)
		}
	}
}

func TestForgottenItemsAreBounded(t *testing.T) {
	c := cursor{Items: map[episode.ID]*state{}}
	for n := range 30 {
		c.Items[episode.ID(fmt.Sprintf("%02d", n))] = &state{Revision: episode.Revision(n)}
	}
	c.prune(map[episode.ID]bool{"00": true}, 10)
	if len(c.Items) != 11 || c.Items["00"] == nil || c.Items["20"] == nil || c.Items["19"] != nil {
		t.Errorf("%d are left", len(c.Items))
	}
}
