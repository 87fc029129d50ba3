package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

var (
	loadEpisodes = flag.Int("load.episodes", 24, "episodes that go through the services in TestLoad")
	loadRefresh  = flag.String("load.refresh", "wait_for", "elasticsearch.refresh of the configuration")
	loadStandIn  = flag.Duration("load.stand-in", 30*time.Millisecond, "what the stand-in for models and codecs costs an episode")
)

// loadSlots are the episodes in flight.
const loadSlots = 16

// TestLoad takes short episodes through Pub/Sub, Elasticsearch and an origin,
// sixteen at a time, with a stand-in for codecs and models, and says where the
// time goes. Every episode must come out whole; no time is a verdict.
func TestLoad(t *testing.T) {
	for _, kind := range []string{"S3", "folders"} {
		var folders []string
		if kind == "folders" {
			folders = []string{stateFolder(t), stateFolder(t)}
		}
		t.Run(kind, func(t *testing.T) {
			s := newSite(t, loadSlots, folders...)
			events := shortEpisodes(*loadEpisodes)
			s.publish(t, events...)
			watch := &stopwatch{}
			took := watch.run(t, s, events)
			s.drained(t)
			sample := events[:min(8, len(events))]
			for _, e := range sample {
				entry, err := s.index.Get(t.Context(), e.ID)
				if err != nil {
					t.Error(err)
					continue
				}
				s.found(t, entry)
			}
			files := map[string]string{}
			s.published(t, files)
			if want := 4 * len(events); len(files) != want { // two previews, the manifest and the list
				t.Errorf("%d files at the origin, want %d", len(files), want)
			}
			t.Logf("%d episodes in %.1f s, %.1f a second\n%s", len(events), took.Seconds(), float64(len(events))/took.Seconds(), watch.report())
		})
	}
}

// stopwatch notes of each episode when it was in the worker's hands, and when
// something of it was under way that is not ours.
type stopwatch struct {
	mu        sync.Mutex
	episodes  []*visit
	processor time.Duration // of this process, and so of the S3 in it too
}

// processorTime is what this process has used of all processors.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// visit is one episode's.
type visit struct {
	began, ended time.Time
	mu           sync.Mutex
	spans        map[string][]stretch
}

type stretch struct{ from, to time.Time }

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	l, _ := ctx.Value(visitKey{}).(*visit)
	return l
}

// during notes that something of a kind was under way.
func during(ctx context.Context, kind string) (over func()) {
	l, from := visitOf(ctx), time.Now()
	if l == nil {
		return func() {}
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.spans[kind] = append(l.spans[kind], stretch{from, time.Now()})
	}
}

// begin starts a visit, in which every HTTP round trip is noted, from when a
// connection is wanted until the answer's first byte.
func (w *stopwatch) begin(ctx context.Context) (context.Context, *visit) {
	l := &visit{began: time.Now(), spans: map[string][]stretch{}}
	return context.WithValue(ctx, visitKey{}, l), l
}

// wired notes round trips below an operation.
func wired(ctx context.Context) context.Context {
	var mu sync.Mutex
	var over func()
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			mu.Lock()
			defer mu.Unlock()
			over = during(ctx, "wire")
		},
		GotFirstResponseByte: func() {
			mu.Lock()
			defer mu.Unlock()
			if over != nil {
				over()
			}
			over = nil
		},
	})
}

// union is for how long at least one of the stretches lasted.
func union(all ...[]stretch) (sum time.Duration) {
	s := slices.Concat(all...)
	slices.SortFunc(s, func(a, b stretch) int { return a.from.Compare(b.from) })
	var until time.Time
	for _, x := range s {
		if x.from.Before(until) {
			x.from = until
		}
		if x.to.After(x.from) {
			sum += x.to.Sub(x.from)
			until = x.to
		}
	}
	return sum
}

// report says, of the episodes, percentiles of what took how long.
func (w *stopwatch) report() string {
	type row struct {
		name string
		of   func(l *visit) float64
	}
	operations := []string{"artifacts", "heads", "origin", "index", "announce"}
	services := func(l *visit) (all []stretch) {
		for _, kind := range operations {
			all = append(all, l.spans[kind]...)
		}
		return all
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	rows := []row{
		{"in the worker's hands, ms", func(l *visit) float64 { return ms(l.ended.Sub(l.began)) }},
		{"stand-in, ms", func(l *visit) float64 { return ms(union(l.spans["stand-in"])) }},
		{"calls of services, ms", func(l *visit) float64 { return ms(union(services(l))) }},
		{"neither, ms", func(l *visit) float64 { return ms(l.ended.Sub(l.began) - union(l.spans["stand-in"], services(l))) }},
		{"neither by what is on the wire, ms", func(l *visit) float64 {
			return ms(l.ended.Sub(l.began) - union(l.spans["stand-in"], l.spans["wire"], l.spans["announce"]))
		}},
		{"HTTP requests", func(l *visit) float64 { return float64(len(l.spans["wire"])) }},
	}
	for _, kind := range operations {
		rows = append(rows, row{kind + ": calls", func(l *visit) float64 { return float64(len(l.spans[kind])) }},
			row{kind + ", ms", func(l *visit) float64 { return ms(union(l.spans[kind])) }})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%-36s %9s %9s %9s\n", "of an episode", "p50", "p99", "most")
	for _, r := range rows {
		var values []float64
		for _, l := range w.episodes {
			values = append(values, r.of(l))
		}
		slices.Sort(values)
		at := func(p float64) float64 { return values[int(p*float64(len(values)-1))] }
		fmt.Fprintf(&out, "%-36s %9.1f %9.1f %9.1f\n", r.name, at(0.5), at(0.99), at(1))
	}
	fmt.Fprintf(&out, "%-36s %9.1f\n", "processor time of the process, ms", ms(w.processor)/float64(len(w.episodes)))
	return out.String()
}

// run takes the events through a worker in this process.
func (w *stopwatch) run(t *testing.T, s *site, events []episode.Event) (took time.Duration) {
	t.Helper()
	a := &app{out: io.Discard, err: io.Discard, configPath: s.config, state: stateFolder(t), format: "json", logFormat: "text", probers: newProbers()}
	c, err := a.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.standIn = *loadStandIn
	c.Elasticsearch.Refresh, c.Elasticsearch.Timeout = *loadRefresh, 30*time.Second
	p, err := a.openPipeline(t.Context(), c, a.state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	w.fit(t, p)
	tracer, closeTracing, err := openTracing(t.Context(), c.Worker.Name)
	if err != nil {
		t.Fatal(err)
	}
	p.closers.add(closeTracing)
	stream := &streamer{app: a, pipeline: p, health: p.health(), tracer: tracer, log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	left := len(events)
	var mu sync.Mutex
	for i, l := range p.messaging.lanes {
		p.messaging.lanes[i].Source = timedSource{l.Source, w}
	}
	began, used := time.Now(), processorTime()
	worker := workers.New(stream.traced(stream.enrich), p.messaging.letters, workers.Options{
		Heads: timedHeads{p.messaging.headsIn(p.sinks)},
		Observe: func(_ workers.Delivery, v workers.Verdict, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if v.Kind != workers.Done {
				t.Errorf("%v", v)
			} else if left--; left == 0 {
				took = time.Since(began)
				w.processor = processorTime() - used
				stop()
			}
		},
	})
	if err := worker.Run(ctx, p.messaging.lanes...); err != nil {
		t.Error(err)
	}
	return took
}

// fit puts the watch around the stand-in and every port to a service.
func (w *stopwatch) fit(t *testing.T, p *pipeline) {
	t.Helper()
	ports := enrich.Ports{Publish: timedOrigin{publishing{p.origin}}, Index: timedIndex{indexing{p.index}}, Announce: timedAnnouncer{p.messaging.announce}}
	in := standIn{p.config.standIn}
	in.fit(&ports)
	ports.Audio, ports.Transcript, ports.Preview = timedAudio{in}, timedTranscriber{in}, timedRenderer{in}
	catalog, err := p.config.catalog()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := p.config.spec(catalog)
	if err != nil {
		t.Fatal(err)
	}
	store, ledger := timedStore{marked{p.store}}, timedLedger{markedLedger{p.store}}
	p.wired.enricher, err = enrich.New(enrich.Options{
		Spec: spec, Ports: ports, Generation: p.config.Generation, Store: store, Ledger: ledger, Scratch: p.layout.scratch, Worker: p.config.Worker.Name,
	})
	if err != nil {
		t.Fatal(err)
	}
}

type timedSource struct {
	workers.Source
	watch *stopwatch
}

func (s timedSource) Receive(ctx context.Context, slots int, handle workers.Handler) error {
	return s.Source.Receive(ctx, slots, func(ctx context.Context, d workers.Delivery) workers.Verdict {
		ctx, l := s.watch.begin(ctx)
		v := handle(ctx, d)
		l.ended = time.Now()
		s.watch.mu.Lock()
		defer s.watch.mu.Unlock()
		s.watch.episodes = append(s.watch.episodes, l)
		return v
	})
}

type timedHeads struct{ workers.Heads }

func (h timedHeads) Look(ctx context.Context, id episode.ID) (workers.Editions, error) {
	defer during(ctx, "heads")()
	return h.Heads.Look(wired(ctx), id)
}

func (h timedHeads) Change(ctx context.Context, id episode.ID, change func(workers.Editions) workers.Editions) (workers.Editions, error) {
	defer during(ctx, "heads")()
	return h.Heads.Change(wired(ctx), id, change)
}

type timedOrigin struct{ publishing }

func (o timedOrigin) Publish(ctx context.Context, p enrich.Publication) (bool, error) {
	defer during(ctx, "origin")()
	return o.publishing.Publish(wired(ctx), p)
}

type timedIndex struct{ indexing }

func (i timedIndex) Put(ctx context.Context, r *episode.Record) (bool, error) {
	defer during(ctx, "index")()
	return i.indexing.Put(wired(ctx), r)
}

type timedAnnouncer struct{ enrich.Announcer }

func (a timedAnnouncer) Announce(ctx context.Context, r *episode.Record) error {
	defer during(ctx, "announce")()
	return a.Announcer.Announce(ctx, r)
}

type timedAudio struct{ standIn }

func (a timedAudio) Decode(ctx context.Context, path string, tape *audio.Tape) (enrich.Heard, error) {
	defer during(ctx, "stand-in")()
	return a.standIn.Decode(ctx, path, tape)
}

type timedTranscriber struct{ standIn }

func (a timedTranscriber) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, enrich.Use, error) {
	defer during(ctx, "stand-in")()
	return a.standIn.Transcribe(ctx, tape, speech)
}

type timedRenderer struct{ standIn }

func (a timedRenderer) Render(ctx context.Context, path string, span episode.Span) ([]enrich.RenderedAudio, error) {
	defer during(ctx, "stand-in")()
	return a.standIn.Render(ctx, path, span)
}

// timedStore times the artifacts' store.
type timedStore struct{ marked }

var _ dag.Store = timedStore{}

func (s timedStore) Lookup(ctx context.Context, key string) (string, bool, error) {
	defer during(ctx, "artifacts")()
	return s.marked.Lookup(wired(ctx), key)
}

func (s timedStore) Has(ctx context.Context, hash string) (bool, error) {
	defer during(ctx, "artifacts")()
	return s.marked.Has(wired(ctx), hash)
}

// Open reads all at once: what comes after is no call.
func (s timedStore) Open(ctx context.Context, hash string) (io.ReadCloser, error) {
	defer during(ctx, "artifacts")()
	r, err := s.marked.Open(wired(ctx), hash)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	return io.NopCloser(strings.NewReader(string(body))), err
}

func (s timedStore) Put(ctx context.Context, r io.Reader) (string, error) {
	defer during(ctx, "artifacts")()
	return s.marked.Put(wired(ctx), r)
}

func (s timedStore) Bind(ctx context.Context, key, hash string, replace bool) (string, error) {
	defer during(ctx, "artifacts")()
	return s.marked.Bind(wired(ctx), key, hash, replace)
}

func (s timedStore) Of(subject string) dag.Store { return timedStore{s.marked.Of(subject).(marked)} }

type timedLedger struct{ markedLedger }

func (s timedLedger) Recall(ctx context.Context, subject string) ([]byte, error) {
	defer during(ctx, "artifacts")()
	return s.markedLedger.Recall(wired(ctx), subject)
}

func (s timedLedger) Record(ctx context.Context, subject string, doc []byte) error {
	defer during(ctx, "artifacts")()
	return s.markedLedger.Record(wired(ctx), subject, doc)
}
