package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

func TestADeliverysSpanLinksToThePublishers(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	tracer := provider.Tracer("test")
	d := workers.Delivery{
		Event: episode.Event{ID: "e", Revision: 7}, Attempt: 2,
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	ctx, span := startDelivery(t.Context(), tracer, d)
	traceNodes(ctx, tracer, dag.Report{Decisions: []dag.Decision{
		{Node: "fetch", Status: dag.Ran}, {Node: "topics", Status: dag.Reused}, {Node: "index", Status: dag.Failed, Reason: "away"},
	}})
	endDelivery(span, workers.Enriched, nil)
	ended := recorder.Ended()
	if len(ended) != 3 {
		t.Fatalf("%d spans: one of the delivery and one of each node that ran are wanted", len(ended))
	}
	own := ended[2]
	if own.Name() != "earshot.delivery" || len(own.Links()) != 1 || own.Links()[0].SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" || own.Parent().IsValid() {
		t.Errorf("delivery: %s, links %v, parent %v", own.Name(), own.Links(), own.Parent())
	}
	for _, s := range ended[:2] {
		if s.Parent().SpanID() != own.SpanContext().SpanID() {
			t.Errorf("%s is no child of the delivery", s.Name())
		}
	}
	want := attribute.Int64("earshot.revision", 7)
	found := false
	for _, a := range own.Attributes() {
		found = found || a == want
	}
	if !found {
		t.Errorf("attributes: %v", own.Attributes())
	}
	for _, bad := range []string{"", "nonsense", "00-0-0-00"} {
		d.Traceparent = bad
		_, span := startDelivery(t.Context(), tracer, d)
		span.End()
		if links := recorder.Ended()[len(recorder.Ended())-1].Links(); len(links) > 0 {
			t.Errorf("%q: links %v", bad, links)
		}
	}
	if err := provider.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// The real program exports its spans by OTLP and logs JSON lines that say what
// they are about.
func TestStreamExportsTracesAndLogsJSON(t *testing.T) {
	var mu sync.Mutex
	var exported bytes.Buffer
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&exported, r.Body)
	}))
	defer collector.Close()
	state := t.TempDir()
	audio, err := filepath.Abs("../../sample/feed/old-dog.wav")
	if err != nil {
		t.Fatal(err)
	}
	submit := builtCommand(t, "submit", "--state", state, "-")
	submit.Stdin = strings.NewReader(`{"id": "dog", "title": "Dog", "revision": 77, "enclosure": {"url": "file://` + audio + `"}}`)
	if out, err := submit.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	stream := builtCommand(t, "stream", "--state", state, "--until-empty", "--local-files", "-v", "--log-format", "json", "--operator", "127.0.0.1:0")
	stream.Env = append(stream.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL)
	var logged bytes.Buffer
	stream.Stderr = &logged
	if err := stream.Run(); err != nil {
		t.Fatalf("%v\n%s", err, logged.String())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"earshot.delivery", "transcript", "publish", "service.name"} {
		if !bytes.Contains(exported.Bytes(), []byte(name)) {
			t.Errorf("the collector got no %s", name)
		}
	}
	nodes := map[string]bool{}
	for line := range strings.Lines(logged.String()) {
		var l struct {
			Episode, Node string
			Revision      int64
			TraceID       string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l.Node != "" && l.Episode == "dog" && l.Revision == 77 && l.TraceID != "" {
			nodes[l.Node] = true
		}
	}
	if !nodes["fetch"] || !nodes["announce"] {
		t.Errorf("nodes in the log: %v", nodes)
	}
}
