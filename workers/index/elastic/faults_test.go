package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
)

// proxy stands before a real node and does what it is told to some requests.
type proxy struct {
	url string

	mu     sync.Mutex
	first  func(w http.ResponseWriter, r *http.Request, body []byte) (answered bool)
	change func(r *http.Request, answer []byte) []byte
}

func newProxy(t *testing.T, node string) *proxy {
	p := &proxy{}
	transport := &http.Transport{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.mu.Lock()
		first, change := p.first, p.change
		p.mu.Unlock()
		if first != nil && first(w, r, body) {
			return
		}
		onward, err := http.NewRequestWithContext(r.Context(), r.Method, node+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		onward.Header = r.Header
		onward.Header.Del("Accept-Encoding") // what is changed here must be plain
		answer, err := transport.RoundTrip(onward)
		if err != nil {
			return // its caller has gone
		}
		defer answer.Body.Close()
		said, err := io.ReadAll(answer.Body)
		if err != nil {
			return
		}
		if change != nil && answer.StatusCode == http.StatusOK {
			said = change(r, said)
		}
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(said)
	}))
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	p.url = server.URL
	return p
}

func (p *proxy) answer(f func(w http.ResponseWriter, r *http.Request, body []byte) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = f
}

func (p *proxy) alter(f func(r *http.Request, answer []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.change = f
}

// times answers the first n requests to a path.
func times(n int, path string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request, []byte) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || !strings.HasSuffix(r.URL.Path, path) {
			return false
		}
		n--
		f(w, r)
		return true
	}
}

// patient is a client that notes its pauses and does not make them.
func patient(t *testing.T, o Options) (*Index, func() []time.Duration) {
	x := client(t, o)
	var mu sync.Mutex
	var pauses []time.Duration
	x.pause = func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		pauses = append(pauses, d)
		return ctx.Err()
	}
	return x, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return pauses
	}
}

func cut(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "<html><body>It is not well</body></html>")
	}
}

// What passes by itself is waited for.
func TestWhatPassesIsTriedAgain(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	create(t, p.url)
	faults := map[string]http.HandlerFunc{
		"429":             status(429),
		"429 Retry-After": status(429, "Retry-After", "7"),
		"502 of a proxy":  status(502),
		"503":             status(503),
		"504":             status(504),
		"cut off":         cut,
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"took":3,`)
		},
		"no JSON": status(200),
		"a half": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"took":3,"errors":false,"items":[`)
		},
		"no items": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"took":3,"errors":false,"items":[]}`)
		},
		"nameless": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"items":[{},{},{}]}`) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			x, pauses := patient(t, create(t, p.url).options)
			p.answer(times(2, "/_bulk", fault))
			put(t, x, index.Stored, document("e", 1, 2))
			p.answer(nil)
			if n := len(pauses()); n != 2 {
				t.Errorf("%d pauses, want 2", n)
			}
			for _, d := range pauses() {
				if name == "429 Retry-After" && d < 7*time.Second || d > longestPause {
					t.Errorf("paused for %s", d)
				}
			}
			if page := find(t, x, index.Query{Text: "edition1"}); page.Total != 1 || len(page.Hits[0].Moments) != 2 {
				t.Errorf("%+v", page)
			}
		})
	}
}

func TestWhatDoesNotPassIsUnavailable(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	x, pauses := patient(t, create(t, p.url).options)
	put(t, x, index.Stored, document("e", 1, 1))
	p.answer(times(-1, "", status(503)))
	for name, ask := range map[string]func() error{
		"Put":    func() error { _, err := x.Put(t.Context(), document("e", 2, 1)); return err },
		"Get":    func() error { _, err := x.Get(t.Context(), "e"); return err },
		"Remove": func() error { _, err := x.Remove(t.Context(), "e", 2); return err },
		"Search": func() error { _, err := x.Search(t.Context(), index.Query{Text: "e"}); return err },
		"Check":  func() error { return x.Check(t.Context()) },
	} {
		before := len(pauses())
		err := ask()
		if u, ok := errors.AsType[*index.Unavailable](err); !ok || u.After != 0 || !strings.Contains(err.Error(), "503 Service Unavailable") {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(pauses()) - before; n < attempts-1 || n > 2*attempts {
			t.Errorf("%s: %d pauses", name, n)
		}
	}
	p.answer(times(-1, "", status(429, "Retry-After", "120")))
	before := len(pauses())
	_, err := x.Get(t.Context(), "e")
	if u, ok := errors.AsType[*index.Unavailable](err); !ok || u.After != 2*time.Minute || len(pauses()) != before {
		t.Errorf("asked to stay away for longer than a request waits: %v", err)
	}
}

func TestAnAnswerThatDoesNotCome(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	o := create(t, p.url).options
	stuck := make(chan struct{}, 100)
	hang := func(w http.ResponseWriter, r *http.Request) {
		stuck <- struct{}{}
		<-r.Context().Done()
	}
	// A request has a limit of its own.
	p.answer(times(1, "/_bulk", hang))
	short := o
	short.Timeout = 3 * time.Second
	x, pauses := patient(t, short)
	put(t, x, index.Stored, document("e", 1, 1))
	if len(pauses()) < 1 {
		t.Error("the request that hung was not given up")
	}
	<-stuck
	// Whoever gives up waiting is not held up.
	p.answer(times(-1, "/_bulk", hang))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := client(t, o).Put(ctx, document("e", 2, 1))
		ended <- err
	}()
	<-stuck
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	p.answer(nil)
	if got, err := client(t, o).Get(t.Context(), "e"); err != nil || got.Version.Revision != 1 {
		t.Errorf("%v, %v", got.Version, err)
	}
}

// Where a proxy takes less in one request than we send, it is split, the
// episode's own document last.
func TestTooLargeIsSplit(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	x := create(t, p.url)
	const limit = 4_000
	var last string
	p.answer(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if len(body) > limit {
			status(413)(w, r)
			return true
		}
		if strings.HasSuffix(r.URL.Path, "/_bulk") {
			last = string(body)
		}
		return false
	})
	d := document("e", 1, 200)
	for i := range d.Segments {
		d.Segments[i].Text = "words"
	}
	if _, err := x.Put(t.Context(), d); !isRefused(err) {
		t.Fatalf("an episode's document that is too large by itself: %v", err)
	}
	if page := find(t, x, index.Query{}); page.Total != 0 {
		t.Errorf("it is visible in part: %+v", page)
	}
	d.Segments = d.Segments[:12]
	put(t, x, index.Stored, d)
	if !strings.Contains(last, x.writeEpisodes()) {
		t.Error("the episode's document was not the last")
	}
	if page := find(t, x, index.Query{Text: "words", Moments: index.MaxMoments}); page.Total != 1 || len(page.Hits[0].Moments) != 12 {
		t.Errorf("%+v", page)
	}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*index.Refused](err)
	return ok
}

// A bulk answers 200 although items of it failed.
func TestEachItemIsLookedAt(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	x, pauses := patient(t, create(t, p.url).options)
	failing := func(n int, status int, kind string) {
		p.answer(nil)
		p.alter(func(r *http.Request, answer []byte) []byte {
			if n == 0 || !strings.HasSuffix(r.URL.Path, "/_bulk") {
				return answer
			}
			n--
			var said map[string]any
			if err := json.Unmarshal(answer, &said); err != nil {
				t.Error(err)
			}
			items := said["items"].([]any)
			item := items[min(1, len(items)-1)].(map[string]any)["index"].(map[string]any)
			item["status"], item["error"] = status, map[string]any{"type": kind, "reason": "as the test has it"}
			said["errors"] = true
			answer, err := json.Marshal(said)
			if err != nil {
				t.Error(err)
			}
			return answer
		})
	}
	failing(1, 429, "es_rejected_execution_exception")
	sent := 0
	p.answer(func(_ http.ResponseWriter, r *http.Request, body []byte) bool {
		if strings.HasSuffix(r.URL.Path, "/_bulk") {
			sent += bytes.Count(body, []byte(`"_index"`))
		}
		return false
	})
	put(t, x, index.Stored, document("busy", 1, 3))
	if len(pauses()) != 1 || sent != 3+1+1 {
		t.Errorf("%d pauses, %d items sent; want the one that failed sent again", len(pauses()), sent)
	}
	failing(-1, 503, "unavailable_shards_exception")
	_, err := x.Put(t.Context(), document("down", 1, 3))
	if _, ok := errors.AsType[*index.Unavailable](err); !ok {
		t.Errorf("%v", err)
	}
	failing(-1, 400, "mapper_parsing_exception")
	if _, err := x.Put(t.Context(), document("bad", 1, 3)); !isRefused(err) || !strings.Contains(err.Error(), "as the test has it") {
		t.Errorf("%v", err)
	}
	failing(0, 0, "")
	// The promise holds after each: it is whole, whatever the answer said.
	for _, id := range []episode.ID{"down", "bad"} {
		put(t, x, index.Unchanged, document(id, 1, 3))
	}
}

// An index whose mapping is not ours refuses documents, and says so once.
func TestAMappingConflictIsARefusal(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x, pauses := patient(t, fresh(t, url))
		conflict := episodesMapping(nil, provenance{Earshot: mappingVersion})
		conflict["properties"].(field)["podcast"] = field{"type": "long"}
		if err := x.ensure(t.Context(), http.MethodPut, "/"+x.segmentsOf(1), field{"mappings": segmentsMapping(nil, provenance{})}); err != nil {
			t.Fatal(err)
		}
		if err := x.ensure(t.Context(), http.MethodPut, "/"+x.episodesOf(1), field{"mappings": conflict}); err != nil {
			t.Fatal(err)
		}
		if err := x.point(t.Context(), 0, 1); err != nil {
			t.Fatal(err)
		}
		d := document("e", 1, 1)
		d.Podcast = "no number"
		_, err := x.Put(t.Context(), d)
		if r, ok := errors.AsType[*index.Refused](err); !ok || r.ID != "e" || !strings.Contains(r.Reason, "podcast") || len(pauses()) != 0 {
			t.Errorf("after %d pauses: %v", len(pauses()), err)
		}
		if page := find(t, x, index.Query{}); page.Total != 0 {
			t.Errorf("%+v", page)
		}
		if _, err := x.Get(t.Context(), "e"); !errors.Is(err, index.ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

// What was not made by Create is no place to write to: nothing is made there by
// the way, and it is the operator's fault and not the document's.
func TestWithoutIndicesNothingIsMade(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x, _ := patient(t, fresh(t, url))
		_, err := x.Put(t.Context(), document("e", 1, 1))
		if err == nil || isRefused(err) || !strings.Contains(err.Error(), "earshot index create") {
			t.Errorf("Put: %v", err)
		}
		if _, err := x.Get(t.Context(), "e"); err == nil || errors.Is(err, index.ErrNotFound) {
			t.Errorf("Get: %v; want that there is no index", err)
		}
		e, err := encode(document("e", 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		results, err := x.bulk(t.Context(), []item{x.writing().episodeItem(e)}, Now)
		if err != nil || results[0].fault == nil {
			t.Errorf("a bulk made an index of its own: %+v, %v", results, err)
		}
	})
}

func TestVersionsThatDoNotFitAreRefused(t *testing.T) {
	x := client(t, Options{URLs: []string{"http://127.0.0.1:1"}})
	for _, v := range []episode.Version{{Revision: 1, Generation: -1}, {Revision: 1, Generation: removal}, {Revision: -1}, {Revision: maxRevision + 1}} {
		d := index.Document{ID: "e", Version: v}
		if _, err := x.Put(t.Context(), d); !isRefused(err) {
			t.Errorf("%+v: %v", v, err)
		}
	}
	if _, err := x.Remove(t.Context(), "e", maxRevision+1); !isRefused(err) {
		t.Error("a removal beyond all versions")
	}
	last := int64(-1)
	for _, v := range []episode.Version{{}, {Generation: 1}, {Generation: removal - 1}, {Revision: 1}, {Revision: maxRevision, Generation: removal - 1}} {
		n, err := number(v)
		if err != nil || n <= last {
			t.Errorf("%+v: %d after %d, %v", v, n, last, err)
		}
		last = n
		gone, err := removalNumber(v.Revision)
		if err != nil || gone <= n {
			t.Errorf("the removal of %+v: %d", v, gone)
		}
	}
}

func TestNoErrorTellsASecret(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		status(401)(w, r)
	}))
	address := strings.Replace(server.URL, "http://", "http://ann:hush@", 1)
	for want, o := range map[string]Options{
		"Basic YW5uOmh1c2g=": {URLs: []string{address}},
		"Basic Ym9iOmh1c2g=": {URLs: []string{address}, Username: "bob", Password: "hush"},
		"ApiKey hush":        {URLs: []string{server.URL}, APIKey: "hush"},
	} {
		x, _ := patient(t, o)
		_, err := x.Get(t.Context(), "e")
		if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "YW5u") || !strings.Contains(err.Error(), "401") {
			t.Errorf("%v", err)
		}
		if got := seen[len(seen)-1]; got != want {
			t.Errorf("authorization %q, want %q", got, want)
		}
	}
	server.Close()
	x, _ := patient(t, Options{URLs: []string{address}})
	if _, err := x.Get(t.Context(), "e"); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"ann:hush@host:9200", "http://ann:hush@host:port:9", "ftp://ann:hush@host", "%zz://hush"} {
		if _, err := Open(Options{URLs: []string{bad}}); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v", err)
		}
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("without an address")
	}
	if _, err := Open(Options{URLs: []string{"https://h:1"}, CAFile: "/nowhere.pem"}); err == nil {
		t.Error("without its authorities")
	}
}
