package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
	"github.com/earshot-fm/earshot/workers/index"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when these tests take place.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// shelf is an index whose answers a test sets.
type shelf struct {
	mu     sync.Mutex
	get    func(ctx context.Context, id episode.ID) (index.Entry, error)
	search func(ctx context.Context, q index.Query) (index.Page, error)
}

func (s *shelf) Get(ctx context.Context, id episode.ID) (index.Entry, error) {
	s.mu.Lock()
	get := s.get
	s.mu.Unlock()
	if get == nil {
		return index.Entry{}, fmt.Errorf("shelf: %w", index.ErrNotFound)
	}
	return get(ctx, id)
}

func (s *shelf) Search(ctx context.Context, q index.Query) (index.Page, error) {
	if s.search == nil {
		return index.Page{}, nil
	}
	return s.search(ctx, q)
}

// hold has Get answer from now on with this.
func (s *shelf) hold(e index.Entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get = func(context.Context, episode.ID) (index.Entry, error) { return e, err }
}

func version(revision episode.Revision, generation episode.Generation) index.Entry {
	return index.Entry{Document: index.Document{ID: "x", Version: episode.Version{Revision: revision, Generation: generation}}}
}

func tombstone(revision episode.Revision) index.Entry {
	e := version(revision, 0)
	e.Removed = true
	return e
}

// tray is an inbox that keeps what it is given, unless it fails.
type tray struct {
	mu       sync.Mutex
	fault    error
	events   []episode.Event
	removals []episode.Removal
}

func (t *tray) Publish(_ context.Context, e episode.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault == nil {
		t.events = append(t.events, e)
	}
	return t.fault
}

func (t *tray) Remove(_ context.Context, r episode.Removal) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fault == nil {
		t.removals = append(t.removals, r)
	}
	return t.fault
}

// journal is a log that can be waited on.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	line chan struct{} // closed and replaced with each line
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(b)
	close(j.line)
	j.line = make(chan struct{})
	return len(b), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// await waits until all words stand in one line.
func (j *journal) await(t *testing.T, words ...string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		j.mu.Lock()
		text, more := j.text.String(), j.line
		j.mu.Unlock()
		for line := range strings.Lines(text) {
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return
			}
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no line with %q in the log:\n%s", words, text)
		}
	}
}

// running is a server that listens.
type running struct {
	t       *testing.T
	server  *Server
	log     *journal
	index   *shelf
	inbox   *tray
	address string
	secure  *tls.Config // of clients; nil: no TLS
	stop    func() error
}

// elsewhere is a listener that says that it is not on loopback.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func start(t *testing.T, o Options) *running {
	t.Helper()
	return startOn(t, o, func(l net.Listener) net.Listener { return l })
}

func startOn(t *testing.T, o Options, wrap func(net.Listener) net.Listener) *running {
	t.Helper()
	r := &running{t: t, log: &journal{line: make(chan struct{})}, index: &shelf{}, inbox: &tray{}}
	if o.Index == nil {
		o.Index = r.index
	}
	if o.Inbox == nil {
		o.Inbox = r.inbox
	}
	if o.Now == nil {
		o.Now = func() time.Time { return noon }
	}
	o.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.server, r.address = s, l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	l = wrap(l)
	go func() { done <- s.Serve(ctx, l) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return r
}

func (r *running) url() string {
	if r.secure != nil {
		return "https://" + r.address
	}
	return "http://" + r.address
}

// http is a client of one version of HTTP.
func (r *running) http(version int) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(version == 1)
	p.SetHTTP2(version == 2)
	p.SetUnencryptedHTTP2(version == 2)
	transport := &http.Transport{Protocols: p, TLSClientConfig: r.secure}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r *running) client(options ...connect.ClientOption) apiv1connect.EarshotClient {
	return apiv1connect.NewEarshotClient(r.http(2), r.url(), options...)
}

// post sends one request as curl does.
func (r *running) post(procedure, body string, headers ...string) (status int, answer string) {
	r.t.Helper()
	q, err := http.NewRequest(http.MethodPost, r.url()+procedure, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			q.Host = headers[i+1]
		}
	}
	w, err := r.http(1).Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return w.StatusCode, string(b)
}

// refused fails the test unless err has the code, and text in its message.
func refused(t *testing.T, err error, code connect.Code, text string) {
	t.Helper()
	if connect.CodeOf(err) != code || err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("%v; want %s: …%s…", err, code, text)
	}
}

// fieldOf is the field that a refusal's detail names.
func fieldOf(t *testing.T, err error) string {
	t.Helper()
	bad, ok := detailOf(err).(*errdetails.BadRequest)
	if !ok || len(bad.FieldViolations) != 1 {
		t.Errorf("%v names no field: %v", err, detailOf(err))
		return ""
	}
	return bad.FieldViolations[0].Field
}

func detailOf(err error) proto.Message {
	c, ok := errors.AsType[*connect.Error](err)
	if !ok || len(c.Details()) != 1 {
		return nil
	}
	m, _ := c.Details()[0].Value()
	return m
}

// retryable fails the test unless err asks the client to try again.
func retryable(t *testing.T, err error) {
	t.Helper()
	if d, ok := detailOf(err).(*errdetails.RetryInfo); !ok || d.RetryDelay.AsDuration() <= 0 {
		t.Errorf("%v does not say when to try again: %v", err, detailOf(err))
	}
}

func submission(id string) *apiv1.SubmitRequest {
	return &apiv1.SubmitRequest{Event: &eventsv1.EpisodePublished{
		Id: proto.String(id), Title: proto.String("The final"), Enclosure: &eventsv1.EpisodePublished_Enclosure{Url: proto.String("https://example.org/final.mp3")},
	}}
}
