package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/message"
)

func TestWhatIsLeftOutOfASubmissionIsTheArrival(t *testing.T) {
	r := start(t, Options{})
	answer, err := r.client().Submit(t.Context(), submission("x"))
	if err != nil || answer.GetId() != "x" || answer.GetRevision() != noon.UnixMilli() {
		t.Errorf("%v, %v", answer, err)
	}
	full := submission("y")
	full.Event.Revision, full.Event.FirstSeen, full.Event.Priority = proto.Int64(7), proto.String("2026-11-29T11:59:00Z"), eventsv1.EpisodePublished_PRIORITY_BACKLOG.Enum()
	full.Event.Control = &eventsv1.EpisodePublished_Control{Targets: &eventsv1.EpisodePublished_Nodes{}}
	if answer, err := r.client().Submit(t.Context(), full); err != nil || answer.GetRevision() != 7 {
		t.Errorf("%v, %v", answer, err)
	}
	enclosure := episode.Enclosure{URL: "https://example.org/final.mp3"}
	want := []episode.Event{
		{ID: "x", Title: "The final", Revision: episode.Revision(noon.UnixMilli()), FirstSeen: noon, Enclosure: enclosure},
		{ID: "y", Title: "The final", Revision: 7, FirstSeen: noon.Add(-time.Minute), Enclosure: enclosure, Priority: episode.Backlog, Control: episode.Control{Targets: []string{}}},
	}
	if !reflect.DeepEqual(r.inbox.events, want) {
		t.Errorf("%+v", r.inbox.events)
	}
}

// The rules of a topic's messages hold, in every encoding, and the field is in
// the refusal's text and in its detail.
func TestASubmissionThatDoesNotFitIsRefusedWithItsField(t *testing.T) {
	r := start(t, Options{})
	const base = `{"event":{"id":"x","revision":1,"enclosure":{"url":"https://example.org/a.mp3"}}}`
	for _, c := range []struct{ from, to, field string }{
		{base, `{}`, "event.id"},
		{`"id":"x",`, ``, "event.id"},
		{`"x"`, `"../x"`, "event.id"},
		{`"revision":1`, `"revision":-1`, "event.revision"},
		{`,"enclosure":{"url":"https://example.org/a.mp3"}`, ``, "event.enclosure.url"},
		{`https://example.org/a.mp3`, `file:///etc/passwd`, "event.enclosure.url"},
		{`https://example.org/a.mp3`, `gopher://example.org/a`, "event.enclosure.url"},
		{`https://example.org/a.mp3`, `https:///a.mp3`, "event.enclosure.url"},
		{`https://example.org/a.mp3`, `a.mp3`, "event.enclosure.url"},
		{`"id"`, `"transcripts":[{"url":"https://example.org/a.vtt"},{"url":"file:///etc/passwd"}],"id"`, "event.transcripts[1].url"},
		{`"id"`, `"chapters":{"url":"file:///etc/passwd"},"id"`, "event.chapters.url"},
		{`"id"`, `"priority":7,"id"`, "event.priority"},
		{`"id"`, `"published_at":"yesterday","id"`, "event.published_at"},
		{`"id"`, `"soundbites":[{"start":2,"end":1}],"id"`, "event.soundbites[0]"},
		{`"id"`, `"soundbites":[{"start":"NaN"}],"id"`, "event.soundbites[0].start"},
		{`"url"`, `"bytes":-1,"url"`, "event.enclosure.bytes"},
	} {
		text := strings.Replace(base, c.from, c.to, 1)
		m := new(apiv1.SubmitRequest)
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		for _, options := range [][]connect.ClientOption{nil, {connect.WithProtoJSON()}, {connect.WithGRPC()}, {connect.WithGRPCWeb()}} {
			_, err := r.client(options...).Submit(t.Context(), m)
			refused(t, err, connect.CodeInvalidArgument, c.field+": ")
			if field := fieldOf(t, err); field != c.field {
				t.Errorf("%s: field %q", text, field)
			}
		}
	}
	for text, field := range map[string]string{
		`{"event":{"id":"x","id":"y"}}`:                                     "event.id",
		`{"event":{"revision":"soon"}}`:                                     "event.revision",
		`{"event":{"priority":"PRIORITY_SOON"}}`:                            "event.priority",
		`{"event":{"enclosure":"https://user:secret@example.org/a.mp3"}}`:   "event.enclosure",
		`{"event":{"control":{"targets":["a"]}}}`:                           "event.control.targets",
		`{"event":{"enclosure":{"url":"ftp://user:secret@example.org/a"}}}`: "event.id",
		`{"event":{"id":"x","enclosure":{"url":"ftp://user:secret@h/a"}}}`:  "event.enclosure.url",
		`[]`: "message",
	} {
		status, answer := r.post(apiv1connect.EarshotSubmitProcedure, text)
		if status != http.StatusBadRequest || !strings.Contains(answer, `"message":"`+field+`: `) || strings.Contains(answer, "secret") {
			t.Errorf("%s: %d %s", text, status, answer)
		}
	}
	if len(r.inbox.events) > 0 {
		t.Errorf("taken: %v", r.inbox.events)
	}
	if strings.Contains(r.log.String(), "secret") {
		t.Error("the log has a password")
	}
}

// OK is said only when the inbox has the request; what the inbox says of its own
// troubles is for the log.
func TestAnInboxThatFails(t *testing.T) {
	r := start(t, Options{})
	r.inbox.fault = errors.New("topic at 10.0.0.7 is gone")
	_, err := r.client().Submit(t.Context(), submission("x"))
	refused(t, err, connect.CodeUnavailable, "try again")
	retryable(t, err)
	_, remErr := r.client(connect.WithGRPC()).Remove(t.Context(), &apiv1.RemoveRequest{Id: proto.String("x")})
	refused(t, remErr, connect.CodeUnavailable, "try again")
	retryable(t, remErr)
	if strings.Contains(err.Error()+remErr.Error(), "10.0.0.7") {
		t.Errorf("told: %v, %v", err, remErr)
	}
	r.log.await(t, "10.0.0.7")
	r.log.await(t, "api: call", "method=Submit", "code=unavailable", "episode=x")

	r.inbox.fault = &episode.FieldError{Field: "message", Problem: "too long"}
	_, err = r.client().Submit(t.Context(), submission("x"))
	refused(t, err, connect.CodeInvalidArgument, "event.message: too long")
}

// slow is an inbox or an index that never answers.
type slow struct{ asked chan struct{} }

func (s slow) Publish(ctx context.Context, _ episode.Event) error  { return s.wait(ctx) }
func (s slow) Remove(ctx context.Context, _ episode.Removal) error { return s.wait(ctx) }
func (s slow) Get(ctx context.Context, _ episode.ID) (index.Entry, error) {
	return index.Entry{}, s.wait(ctx)
}
func (s slow) Search(ctx context.Context, _ index.Query) (index.Page, error) {
	return index.Page{}, s.wait(ctx)
}

func (s slow) wait(ctx context.Context) error {
	select {
	case s.asked <- struct{}{}:
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestInboxAndIndexHaveATimeLimit(t *testing.T) {
	s := slow{make(chan struct{}, 10)}
	r := start(t, Options{Inbox: s, Index: s, Timeout: 300 * time.Millisecond})
	c, ctx := r.client(), t.Context()
	_, err := c.Submit(ctx, submission("x"))
	refused(t, err, connect.CodeDeadlineExceeded, "took too long")
	retryable(t, err)
	_, err = c.Get(ctx, &apiv1.GetRequest{Id: proto.String("x")})
	refused(t, err, connect.CodeDeadlineExceeded, "took too long")
	_, err = c.Search(ctx, &apiv1.SearchRequest{})
	refused(t, err, connect.CodeDeadlineExceeded, "took too long")
}

// A client that goes away takes its call along.
func TestACallEndsWithItsClient(t *testing.T) {
	for _, version := range []int{1, 2} {
		s := slow{make(chan struct{})}
		r := start(t, Options{Inbox: s, Index: s, Timeout: time.Hour})
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := apiv1connect.NewEarshotClient(r.http(version), r.url()).Submit(ctx, submission("x"))
			done <- err
		}()
		<-s.asked
		leave()
		refused(t, <-done, connect.CodeCanceled, "")
		r.log.await(t, "api: call", "method=Submit", "code=canceled")
	}
}

func TestARemovalWithoutRevisionTakesDownAllThatIsThere(t *testing.T) {
	r := start(t, Options{})
	now := episode.Revision(noon.UnixMilli())
	x := &apiv1.RemoveRequest{Id: proto.String("x"), Reason: proto.String("court order")}
	for _, c := range []struct {
		name  string
		entry index.Entry
		err   error
		want  episode.Revision
	}{
		{"nothing is there, but an edition may be on its way", index.Entry{}, index.ErrNotFound, now},
		{"an older edition is there", version(now-1, 1), nil, now},
		{"an edition of a clock that is ahead", version(now+5, 1), nil, now + 5},
		{"a removal is there", tombstone(now + 5), nil, now + 5},
	} {
		r.index.hold(c.entry, c.err)
		answer, err := r.client().Remove(t.Context(), x)
		got := r.inbox.removals[len(r.inbox.removals)-1]
		if err != nil || answer.GetRevision() != int64(c.want) || got != (episode.Removal{ID: "x", Revision: c.want, Reason: "court order"}) {
			t.Errorf("%s: %v, %v, %+v", c.name, answer, err, got)
		}
	}
	taken := len(r.inbox.removals)
	r.index.hold(index.Entry{}, errors.New("no node answers"))
	_, err := r.client().Remove(t.Context(), x)
	refused(t, err, connect.CodeUnavailable, "to look up")
	if len(r.inbox.removals) != taken {
		t.Error("it was removed up to a revision that nobody knows")
	}
	// With a revision the index need not answer.
	if answer, err := r.client().Remove(t.Context(), &apiv1.RemoveRequest{Id: proto.String("x"), Revision: proto.Int64(3)}); err != nil || answer.GetRevision() != 3 {
		t.Errorf("%v, %v", answer, err)
	}
	for field, m := range map[string]*apiv1.RemoveRequest{"id": {}, "revision": {Id: proto.String("x"), Revision: proto.Int64(0)}} {
		_, err := r.client().Remove(t.Context(), m)
		refused(t, err, connect.CodeInvalidArgument, field+": ")
		if f := fieldOf(t, err); f != field {
			t.Errorf("%v: %q", m, f)
		}
	}
}

// Whatever JSON is submitted: what reaches the inbox can be worked on, and what
// does not is refused with a field.
func FuzzSubmit(f *testing.F) {
	f.Add([]byte(`{"event":{"id":"x","revision":"7","published_at":"2026-11-29T12:00:00Z","enclosure":{"url":"https://example.org/a.mp3","bytes":5},"soundbites":[{"start":1,"end":2}],"control":{"targets":{"names":["a"]},"ping":true}}}`))
	f.Add([]byte(`{"event":{"id":"../x","enclosure":{"url":"file:///x"},"transcripts":[{}],"chapters":{}}}`))
	f.Add([]byte(`{"event":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		inbox := new(tray)
		s, err := New(Options{Inbox: inbox, Index: new(shelf), Now: func() time.Time { return noon }})
		if err != nil {
			t.Fatal(err)
		}
		in := new(arrived[apiv1.SubmitRequest])
		if err := (codec{"json", message.JSON}).Unmarshal(b, in); err != nil {
			t.Fatal(err)
		}
		var answer *apiv1.SubmitResponse
		if err = in.fault; err != nil {
			err = invalid("", err)
		} else {
			answer, err = s.submit(t.Context(), &in.message)
		}
		if err != nil {
			if connect.CodeOf(err) != connect.CodeInvalidArgument || fieldOf(t, err) == "" || len(inbox.events) > 0 {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		ev := inbox.events[0]
		if ev.Check() != nil || !strings.HasPrefix(strings.ToLower(ev.Enclosure.URL), "http") || ev.FirstSeen.IsZero() || answer.GetId() != string(ev.ID) || answer.GetRevision() != int64(ev.Revision) {
			t.Fatalf("%q: %+v", b, ev)
		}
		if _, err := message.EncodePublished(ev, message.Binary); err != nil {
			t.Fatalf("%q is accepted, and no topic takes it: %v", b, err)
		}
	})
}
