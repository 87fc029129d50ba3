package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
	"github.com/earshot-fm/earshot/workers/index"
)

// A server that stops answers what it has begun, and sends who only waits
// elsewhere.
func TestAStopLetsCallsFinishAndSendsWatchersAway(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		c := newClock()
		o := c.options()
		o.Grace = time.Minute
		r := start(t, o)
		asked, answer := make(chan struct{}), make(chan struct{})
		r.index.get = func(_ context.Context, id episode.ID) (index.Entry, error) {
			if id == "watched" {
				return index.Entry{}, index.ErrNotFound
			}
			close(asked)
			<-answer
			e := index.Entry{}
			e.Title = "The final"
			return e, nil
		}
		client := apiv1connect.NewEarshotClient(r.http(protocol), r.url())
		stream, err := client.Watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("watched")})
		if err != nil {
			t.Fatal(err)
		}
		receive(t, stream, state(waiting, nil))
		<-c.pauses
		got := make(chan error)
		go func() {
			answer, err := client.Get(t.Context(), &apiv1.GetRequest{Id: proto.String("x")})
			if err == nil && answer.GetEpisode().GetTitle() != "The final" {
				err = fmt.Errorf("got %v", answer)
			}
			got <- err
		}()
		<-asked
		stopped := make(chan error)
		go func() { stopped <- r.stop() }()

		if stream.Receive() {
			t.Error(stream.Msg())
		}
		refused(t, stream.Err(), connect.CodeUnavailable, "this server stops")
		retryable(t, stream.Err())
		stream.Close()
		select {
		case err := <-stopped:
			t.Errorf("it did not wait for a call: %v", err)
		case err := <-got:
			t.Errorf("a call was ended: %v", err)
		default:
		}
		close(answer)
		if err := <-got; err != nil {
			t.Errorf("HTTP/%d: a call that was under way: %v", protocol, err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if conn, err := net.Dial("tcp", r.address); err == nil {
			conn.Close()
			t.Error("it still listens")
		}
	}
}

func TestAStopSendsAllWatchersAway(t *testing.T) {
	r := start(t, Options{PollFirst: time.Millisecond, PollMost: 5 * time.Millisecond})
	ended := make(chan error)
	streams := 0
	for _, protocol := range []int{1, 2} {
		client := r.http(protocol)
		for _, option := range []connect.ClientOption{connect.WithClientOptions(), connect.WithProtoJSON(), connect.WithGRPCWeb()} {
			for range 10 {
				stream, err := apiv1connect.NewEarshotClient(client, r.url(), option).Watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
				if err != nil {
					t.Fatal(err)
				}
				receive(t, stream, state(waiting, nil))
				streams++
				go func() {
					stream.Receive()
					ended <- errors.Join(stream.Err(), stream.Close())
				}()
			}
		}
	}
	stopped := make(chan error)
	go func() { stopped <- r.stop() }()
	for range streams {
		if err := <-ended; connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("a stream ended with %v", err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestWhatOutlastsTheGraceIsCut(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		s := slow{make(chan struct{})}
		r := start(t, Options{Index: s, Inbox: s, Timeout: time.Hour, Grace: time.Millisecond})
		done := make(chan error)
		go func() {
			_, err := apiv1connect.NewEarshotClient(r.http(protocol), r.url()).Submit(t.Context(), submission("x"))
			done <- err
		}()
		<-s.asked
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("a submission that the inbox never took was answered with OK")
		}
		r.log.await(t, "cut short")
		r.log.await(t, "api: call", "method=Submit", "code=unavailable")
	}
}

// patience is long enough for a machine that is busy: what does come in time
// must be read.
const patience = time.Second

const head = "POST /earshot.api.v1.Earshot/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"

func (r *running) dialRaw(beginning string) net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, beginning); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func TestClientsThatSendNothingMoreAreLetGo(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Patience: patience})
	var stalled []net.Conn
	for _, beginning := range []string{"", "POST /earshot.api.v1.Earshot/Submit HTTP/1.1\r\nHost: local", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", fmt.Sprintf(head, "Submit", 100, `{"event":`)} {
		stalled = append(stalled, r.dialRaw(beginning))
	}
	half, rest := io.Pipe()
	sent := make(chan error)
	go func() {
		w, err := r.http(2).Post(r.url()+apiv1connect.EarshotRemoveProcedure, "application/json", half)
		if err == nil {
			err = w.Body.Close()
		}
		sent <- err
	}()
	fmt.Fprint(rest, `{"id":`)
	r.log.await(t, "api: call", "method=Remove", "code=unread")
	rest.Close()
	<-sent // a refusal, or the end of the stream: either way the call is over
	for i, conn := range stalled {
		if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	r.log.await(t, "api: call", "method=Submit", "code=unread")
	if len(r.inbox.events)+len(r.inbox.removals) > 0 {
		t.Errorf("half a request was taken: %v %v", r.inbox.events, r.inbox.removals)
	}
}

// The rest of a body that was given up is no request of its own, whatever it
// says: a proxy may have it from somebody else.
func TestTheRestOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Patience: patience})
	const event = `{"event":{"id":"x","enclosure":{"url":"https://example.org/a"}}}`
	rest := fmt.Sprintf(head, "Submit", len(event), event)
	conn := r.dialRaw(fmt.Sprintf(head, "Submit", 1+len(rest), "{"))
	r.log.await(t, "api: call", "method=Submit", "code=unread")
	_, _ = io.WriteString(conn, rest) // the server may have closed by now
	answer, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	if n := strings.Count(string(answer), "HTTP/1.1 "); n > 1 || len(r.inbox.events) > 0 {
		t.Errorf("%d answers, %d episodes taken:\n%s", n, len(r.inbox.events), answer)
	}
}

func TestClientsThatTakeNothingMoreAreLetGo(t *testing.T) {
	t.Parallel()
	r := start(t, Options{Patience: patience})
	long := version(1, 1)
	long.Description = strings.Repeat("x", 16<<20)
	r.index.hold(long, nil)
	deaf := r.dialRaw(fmt.Sprintf(head, "Get", 10, `{"id":"x"}`))

	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url()+apiv1connect.EarshotGetProcedure, strings.NewReader(`{"id":"stream"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Accept-Encoding", "identity")
	w, err := r.http(2).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	r.log.await(t, "api: call", "method=Get", "episode=stream")
	if n, err := io.Copy(io.Discard, w.Body); err == nil {
		t.Errorf("all %d bytes came in the end", n)
	}
	r.log.await(t, "api: call", "method=Get", "remote="+deaf.LocalAddr().String())
}

// A stream may last longer than the time that a request may take to come.
func TestAStreamOutlastsTheTimeForRequests(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", protocol), func(t *testing.T) {
			t.Parallel()
			r := start(t, Options{Patience: patience, PollFirst: time.Millisecond, PollMost: 10 * time.Millisecond, Heartbeat: time.Millisecond, Now: time.Now})
			stream, err := apiv1connect.NewEarshotClient(r.http(protocol), r.url()).Watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
			if err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); time.Since(began) < 2*patience; {
				if !stream.Receive() {
					t.Fatalf("it ended: %v", stream.Err())
				}
			}
			r.index.hold(version(1, 1), nil)
			for stream.Receive() {
			}
			if stream.Err() != nil {
				t.Error(stream.Err())
			}
			stream.Close()
		})
	}
}

func TestAPanicIsAnAnswerAndALine(t *testing.T) {
	r := start(t, Options{})
	r.index.search = func(context.Context, index.Query) (index.Page, error) { panic("no such shelf") }
	_, err := r.client().Search(t.Context(), &apiv1.SearchRequest{})
	refused(t, err, connect.CodeInternal, "its log has it")
	r.log.await(t, "level=ERROR", "no such shelf", "method=earshot.api.v1.Earshot/Search")
	if _, err := r.client().Submit(t.Context(), submission("x")); err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	registry, c := prometheus.NewRegistry(), newClock()
	o := c.options()
	o.Registerer = registry
	r := start(t, o)
	value := func(name string, labels ...string) (sum float64) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				text := fmt.Sprint(m.GetLabel())
				fits := f.GetName() == name
				for _, l := range labels {
					fits = fits && strings.Contains(text, fmt.Sprintf("%q", l))
				}
				if fits {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
		return sum
	}
	stream := r.watch(t.Context(), &apiv1.WatchRequest{Id: proto.String("x")})
	receive(t, stream, state(waiting, nil))
	<-c.pauses
	if n := value("earshot_api_watches"); n != 1 {
		t.Errorf("%v watches are open", n)
	}
	r.index.hold(version(1, 1), nil)
	c.pass(time.Second)
	receive(t, stream, state(enriched, at(1, 1)))
	ends(t, stream)
	for range 2 {
		if _, err := r.client().Submit(t.Context(), submission("x")); err != nil {
			t.Fatal(err)
		}
	}
	r.post(apiv1connect.EarshotSubmitProcedure, "{}")
	r.post("/wp-login.php", "{}")
	r.post("/earshot.api.v1.Earshot/"+strings.Repeat("x", 100), "{}")
	r.log.await(t, "method=Watch", "code=ok")
	r.log.await(t, "method=Submit", "code=invalid_argument")
	if err := r.stop(); err != nil { // all are counted by then
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"earshot_api_watches", nil, 0},
		{"earshot_api_requests_total", []string{"Watch", "ok"}, 1},
		{"earshot_api_requests_total", []string{"Submit", "ok"}, 2},
		{"earshot_api_requests_total", []string{"Submit", "invalid_argument"}, 1},
		{"earshot_api_requests_total", []string{"other", "not_found"}, 2},
		{"earshot_api_request_seconds", []string{"Submit"}, 3},
		{"earshot_api_request_seconds", []string{"Watch"}, 0},
	} {
		if got := value(c.name, c.labels...); got != c.want {
			t.Errorf("%s %q is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
}

// A socket in the file system is this machine's, whatever Host says.
func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	r := startOn(t, Options{}, func(l net.Listener) net.Listener {
		l.Close()
		socket, err := net.Listen("unix", path)
		if err != nil {
			t.Error(err)
		}
		return socket
	})
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	if _, err := apiv1connect.NewEarshotClient(&http.Client{Transport: transport}, "http://earshot").Submit(t.Context(), submission("x")); err != nil {
		t.Error(err)
	}
	if len(r.inbox.events) != 1 {
		t.Errorf("%v", r.inbox.events)
	}
}

func TestAListenerThatFails(t *testing.T) {
	s, err := New(Options{Index: new(shelf), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := s.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "api: listen on "+l.Addr().String()) {
		t.Error(err)
	}
}
