// Package feedtest is the suite that every driver of feed.Cursors must pass.
package feedtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/feed"
)

// Run runs the suite. open gives a store without cursors, which open's t cleans
// up; what the function that it returns gives is another process's view of the
// same store.
func Run(t *testing.T, open func(t *testing.T) (view func() feed.Cursors)) {
	tests := []struct {
		name string
		run  func(t *testing.T, view func() feed.Cursors)
	}{
		{"what was saved is loaded, by whomever", saved},
		{"any name is a name", names},
		{"what was loaded before another saved replaces nothing", overtaken},
		{"of many at once one saves", atOnce},
		{"a poller that lost its turn leaves the next one's cursor alone", deposed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func save(t *testing.T, c feed.Cursors, want bool, name string, was, body []byte) {
	t.Helper()
	if got, err := c.SaveCursor(t.Context(), name, was, body); err != nil || got != want {
		t.Fatalf("SaveCursor(%s, %.20q, %.20q) = %v, %v; want %v", name, was, body, got, err, want)
	}
}

func load(t *testing.T, c feed.Cursors, name string) []byte {
	t.Helper()
	body, err := c.LoadCursor(t.Context(), name)
	if err != nil {
		t.Fatalf("LoadCursor(%s): %v", name, err)
	}
	return body
}

func saved(t *testing.T, view func() feed.Cursors) {
	a, b := view(), view()
	const name = "https://podnews.net/rss"
	if body := load(t, a, name); body != nil {
		t.Fatalf("before anything was saved: %q", body)
	}
	large := bytes.Repeat([]byte("{\"é\x00"), 200_000)
	var was []byte
	for _, body := range [][]byte{[]byte("{}"), large, []byte("two")} {
		save(t, a, true, name, was, body)
		if got := load(t, b, name); !bytes.Equal(got, body) {
			t.Fatalf("%d bytes came back of %d", len(got), len(body))
		}
		was, a, b = load(t, b, name), b, a
	}
	if body := load(t, a, "https://podnews.net/rss/"); body != nil {
		t.Errorf("another name has %q", body)
	}
}

func names(t *testing.T, view func() feed.Cursors) {
	c := view()
	all := []string{"", ".", "..", "a/b", "a//b", "/a", "A", "a", "https://x.org/a?b=c&d=%2F#é", strings.Repeat("long", 2000), "private/00ff", "a\x00b"}
	for _, name := range all {
		save(t, c, true, name, nil, []byte(name+"!"))
	}
	for _, name := range all {
		if got := load(t, c, name); string(got) != name+"!" {
			t.Errorf("%.40q has %.40q", name, got)
		}
	}
}

func overtaken(t *testing.T, view func() feed.Cursors) {
	a, b := view(), view()
	save(t, a, true, "f", nil, []byte("1"))
	save(t, b, false, "f", nil, []byte("2")) // b thought that there was nothing
	was := load(t, b, "f")
	save(t, b, true, "f", was, []byte("3"))
	save(t, a, false, "f", []byte("1"), []byte("4"))
	save(t, a, false, "g", []byte("1"), []byte("4")) // there is nothing to replace
	if got := load(t, a, "f"); string(got) != "3" {
		t.Errorf("kept %q", got)
	}
	if got := load(t, a, "g"); got != nil {
		t.Errorf("kept %q", got)
	}
	// Saving the same once more changes nothing, and is no conflict.
	save(t, a, true, "f", []byte("3"), []byte("3"))
}

func atOnce(t *testing.T, view func() feed.Cursors) {
	const savers, rounds = 6, 5
	for round := range rounds {
		name, winners := fmt.Sprintf("f%d", round%2), make([]bool, savers)
		was := load(t, view(), name)
		var all sync.WaitGroup
		for i := range savers {
			c := view()
			all.Go(func() {
				var err error
				if winners[i], err = c.SaveCursor(t.Context(), name, was, fmt.Appendf(nil, "%d by %d", round, i)); err != nil {
					t.Errorf("SaveCursor: %v", err)
				}
			})
		}
		all.Wait()
		won := -1
		for i, w := range winners {
			if w && won >= 0 {
				t.Fatalf("%d and %d both saved", won, i)
			}
			if w {
				won = i
			}
		}
		if got := string(load(t, view(), name)); won < 0 || got != fmt.Sprintf("%d by %d", round, won) {
			t.Errorf("%d saved, %q is kept", won, got)
		}
	}
}

// deposed has two pollers read one feed. The first is stopped in the middle,
// with what it found, while the second reads a newer edition.
func deposed(t *testing.T, view func() feed.Cursors) {
	var mu sync.Mutex
	title := "first"
	asked, goOn := make(chan struct{}), make(chan struct{})
	hold := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now, held := title, hold
		hold = false
		mu.Unlock()
		if held {
			close(asked)
			<-goOn
		}
		_, _ = fmt.Fprintf(w, `<rss version="2.0"><channel><title>P</title><item><title>%s</title><guid>1</guid><enclosure url="https://x.org/1.mp3" type="audio/mpeg"/></item></channel></rss>`, now)
	}))
	defer server.Close()
	defer server.Client().CloseIdleConnections()
	published := map[episode.Revision]string{}
	publish := func(_ context.Context, e episode.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if was, ok := published[e.Revision]; ok && was != e.Title {
			return fmt.Errorf("revision %d is %s and %s", e.Revision, was, e.Title)
		}
		published[e.Revision] = e.Title
		return nil
	}
	start := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	poller := func(at time.Time) *feed.Poller {
		p, err := feed.New(feed.Public(server.URL+"/rss"), server.Client(), view(), publish, feed.Options{Now: func() time.Time { return at }})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var first sync.WaitGroup
	first.Go(func() {
		if sum, err := poller(start.Add(time.Hour)).Poll(t.Context()); err == nil || sum.New != 0 {
			t.Errorf("the poller that was overtaken: %+v, %v", sum, err)
		}
	})
	<-asked
	mu.Lock()
	title = "second"
	mu.Unlock()
	if sum, err := poller(start).Poll(t.Context()); err != nil || sum.New != 1 {
		t.Errorf("the poller at work: %+v, %v", sum, err)
	}
	close(goOn)
	first.Wait()
	if sum, err := poller(start.Add(2 * time.Hour)).Poll(t.Context()); err != nil || sum.New+sum.Changed != 0 {
		t.Errorf("afterwards something seemed new: %+v, %v", sum, err)
	}
	if len(published) != 1 || published[episode.Revision(start.UnixMilli())] != "second" {
		t.Errorf("published %v", published)
	}
}
