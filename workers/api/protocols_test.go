package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1/apiv1connect"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/sqlite"
	"github.com/earshot-fm/earshot/workers/queue"
)

// queued is the embedded queue as an inbox.
type queued struct{ *queue.Queue }

func (q queued) Publish(ctx context.Context, e episode.Event) error {
	_, err := q.Queue.Publish(ctx, e)
	return err
}

// embedded opens a queue and an index in a folder of the test's own.
func embedded(t *testing.T) (queued, *sqlite.Index) {
	t.Helper()
	ctx, folder := t.Context(), t.TempDir()
	q, err := queue.Open(ctx, filepath.Join(folder, "queue.db"), queue.Options{UntilEmpty: true})
	if err != nil {
		t.Fatal(err)
	}
	x, err := sqlite.Open(ctx, filepath.Join(folder, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return queued{q}, x
}

// work does all that is queued: what is published is put into the index with one
// sentence, what is removed is taken out.
func work(t *testing.T, q queued, x *sqlite.Index) {
	t.Helper()
	err := q.Receive(t.Context(), 1, func(ctx context.Context, d workers.Delivery) workers.Verdict {
		if d.Removal != nil {
			if _, err := x.Remove(ctx, d.Removal.ID, d.Removal.Revision); err != nil {
				t.Error(err)
			}
			return workers.Verdict{Kind: workers.Done, Outcome: workers.Removed}
		}
		document := index.Document{ID: d.Event.ID, Title: d.Event.Title, Version: episode.Version{Revision: d.Event.Revision, Generation: 3}, Duration: 60,
			Language: "en", Segments: []index.Segment{{Span: episode.Span{Start: 1.5, End: 3}, Text: "The keeper saved the penalty."}}}
		if _, err := x.Put(ctx, document); err != nil {
			t.Error(err)
		}
		return workers.Verdict{Kind: workers.Done, Outcome: workers.Enriched}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever a client speaks, the way of an episode is the same: submitted, worked
// on by whoever reads the queue, found, taken down.
func TestEachProtocolTakesAnEpisodeFromSubmitToRemove(t *testing.T) {
	for name, c := range map[string]struct {
		http    int
		options []connect.ClientOption
	}{
		"Connect, HTTP/1":        {1, nil},
		"Connect, HTTP/2":        {2, nil},
		"Connect, GET":           {2, []connect.ClientOption{connect.WithHTTPGet()}},
		"Connect, gzip":          {2, []connect.ClientOption{connect.WithSendGzip()}},
		"JSON, HTTP/1":           {1, []connect.ClientOption{connect.WithProtoJSON()}},
		"JSON, HTTP/2":           {2, []connect.ClientOption{connect.WithProtoJSON()}},
		"gRPC":                   {2, []connect.ClientOption{connect.WithGRPC()}},
		"gRPC, JSON":             {2, []connect.ClientOption{connect.WithGRPC(), connect.WithProtoJSON()}},
		"gRPC-Web, HTTP/1":       {1, []connect.ClientOption{connect.WithGRPCWeb()}},
		"gRPC-Web, HTTP/2, JSON": {2, []connect.ClientOption{connect.WithGRPCWeb(), connect.WithProtoJSON()}},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", TLS"}[secure], func(t *testing.T) {
				q, x := embedded(t)
				o := Options{Inbox: q, Index: x, PollFirst: 10 * time.Millisecond}
				var ca authority
				if secure {
					ca = newAuthority(t)
					o.Keys = ca.keys(t, "")
				}
				r := start(t, o)
				if secure {
					r.secure = ca.trusted()
				}
				client := apiv1connect.NewEarshotClient(r.http(c.http), r.url(), c.options...)
				pass(t, client, func() { work(t, q, x) })
			})
		}
	}
}

func pass(t *testing.T, client apiv1connect.EarshotClient, work func()) {
	ctx := t.Context()
	submitted, err := client.Submit(ctx, submission("3f6f"))
	if err != nil {
		t.Fatal(err)
	}
	if submitted.GetId() != "3f6f" || submitted.GetRevision() != noon.UnixMilli() {
		t.Errorf("submitted: %v", submitted)
	}
	_, err = client.Get(ctx, &apiv1.GetRequest{Id: submitted.Id})
	refused(t, err, connect.CodeNotFound, `"3f6f"`)

	stream, err := client.Watch(ctx, &apiv1.WatchRequest{Id: submitted.Id, Revision: submitted.Revision})
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().GetState() != apiv1.WatchResponse_STATE_WAITING || stream.Msg().Version != nil {
		t.Fatalf("%v, %v", stream.Msg(), stream.Err())
	}
	work()
	if !stream.Receive() || stream.Msg().GetState() != apiv1.WatchResponse_STATE_ENRICHED || stream.Msg().GetVersion().GetGeneration() != 3 {
		t.Fatalf("%v, %v", stream.Msg(), stream.Err())
	}
	if stream.Receive() || stream.Err() != nil {
		t.Errorf("the stream goes on: %v, %v", stream.Msg(), stream.Err())
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}

	got, err := client.Get(ctx, &apiv1.GetRequest{Id: submitted.Id})
	if err != nil || got.GetEpisode().GetTitle() != "The final" || len(got.GetEpisode().GetSegments()) != 1 || got.GetEpisode().GetRemoved() {
		t.Errorf("%v, %v", got, err)
	}
	page, err := client.Search(ctx, &apiv1.SearchRequest{Text: proto.String("penalty")})
	if err != nil || page.GetTotal() != 1 || len(page.GetHits()) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	if m := page.Hits[0].GetMoments(); len(m) != 1 || m[0].GetStart() != 1.5 || m[0].GetText() != "The keeper saved the <em>penalty</em>." {
		t.Errorf("%v", m)
	}

	if _, err := client.Remove(ctx, &apiv1.RemoveRequest{Id: submitted.Id, Reason: proto.String("court order")}); err != nil {
		t.Fatal(err)
	}
	work()
	got, err = client.Get(ctx, &apiv1.GetRequest{Id: submitted.Id})
	want := &apiv1.Episode{Id: proto.String("3f6f"), Removed: proto.Bool(true), Version: &apiv1.Version{Revision: proto.Int64(noon.UnixMilli())}}
	if err != nil || !proto.Equal(got.GetEpisode(), want) {
		t.Errorf("%v, %v", got, err)
	}
}

// What one replica takes, another knows of.
func TestAnyReplicaAnswers(t *testing.T) {
	q, x := embedded(t)
	o := Options{Inbox: q, Index: x, PollFirst: 10 * time.Millisecond}
	one, other := start(t, o), start(t, o)
	submitted, err := one.client().Submit(t.Context(), submission("3f6f"))
	if err != nil {
		t.Fatal(err)
	}
	stream := other.watch(t.Context(), &apiv1.WatchRequest{Id: submitted.Id, Revision: submitted.Revision})
	receive(t, stream, state(waiting, nil))
	if err := one.stop(); err != nil {
		t.Fatal(err)
	}
	work(t, q, x)
	receive(t, stream, state(enriched, at(submitted.GetRevision(), 3)))
	ends(t, stream)
}

// What curl sends and gets, without a client of ours.
func TestPlainJSONOverHTTP(t *testing.T) {
	q, x := embedded(t)
	r := start(t, Options{Inbox: q, Index: x})
	status, answer := r.post(apiv1connect.EarshotSubmitProcedure, `{"event": {"id": "3f6f", "title": "The final", "enclosure": {"url": "https://example.org/final.mp3"}}}`)
	var submitted struct{ ID, Revision string }
	if err := json.Unmarshal([]byte(answer), &submitted); err != nil || status != http.StatusOK || submitted.ID != "3f6f" || submitted.Revision != "1795953600000" {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	work(t, q, x)
	w, err := r.http(1).Get(r.url() + apiv1connect.EarshotSearchProcedure + "?connect=v1&encoding=json&message=" + url.QueryEscape(`{"text":"penalty"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	var page index.Page
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&page); err != nil || w.StatusCode != http.StatusOK {
		t.Fatalf("%d %v", w.StatusCode, err)
	}
	if page.Total != 1 || len(page.Hits) != 1 || page.Hits[0].ID != "3f6f" {
		t.Errorf("%+v", page)
	}
	for body, want := range map[string]string{
		`{"event": {"id": "x"}}`: `"code":"invalid_argument","message":"event.enclosure.url: missing"`,
		`{"event": `:             `"code":"invalid_argument","message":"event: is no JSON`,
	} {
		if status, answer := r.post(apiv1connect.EarshotSubmitProcedure, body); status != http.StatusBadRequest || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for path, want := range map[string]int{"/": 404, "/earshot.api.v1.Earshot/Steal": 404, "/metrics": 404} {
		if status, _ := r.post(path, "{}"); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status, _ := r.post(apiv1connect.EarshotSubmitProcedure, "{}", "Content-Type", "text/plain"); status != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", status)
	}
}

// The examples of docs/api.md that need no tool but curl.
func TestTheExamplesOfThePageWork(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, Options{})
	r.index.hold(version(1, 1), nil)
	posts := regexp.MustCompile(`(?m)^curl (?:\$A|localhost:8480)/(\S+) -H 'Content-Type: application/json' -d '(.*)'$`).FindAllStringSubmatch(string(page), -1)
	for _, p := range posts {
		procedure := "/" + p[1]
		if !strings.Contains(p[1], "/") {
			procedure = "/" + apiv1connect.EarshotName + procedure
		}
		if status, answer := r.post(procedure, p[2]); status != http.StatusOK {
			t.Errorf("%s: %d %s", p[0], status, answer)
		}
	}
	if len(posts) != 4 || len(r.inbox.events) != 1 || len(r.inbox.removals) != 1 {
		t.Errorf("%d examples, %d submitted, %d removed", len(posts), len(r.inbox.events), len(r.inbox.removals))
	}
}

// The page is what `earshot search -o json` prints: the same names, and nothing
// is left out.
func TestTheAnswersHaveTheNamesOfTheCommandLine(t *testing.T) {
	var page index.Page
	fill(reflect.ValueOf(&page).Elem())
	var entry index.Entry
	fill(reflect.ValueOf(&entry).Elem())
	entry.Removed = false
	r := start(t, Options{})
	r.index.hold(entry, nil)
	r.index.search = func(context.Context, index.Query) (index.Page, error) { return page, nil }
	_, answer := r.post(apiv1connect.EarshotSearchProcedure, "{}")
	same(t, answer, page)
	_, answer = r.post(apiv1connect.EarshotGetProcedure, `{"id":"x"}`)
	same(t, answer, map[string]any{"episode": entry})
}

// same compares JSON; Protobuf writes integers of 64 bits as text.
func same(t *testing.T, answer string, want any) {
	t.Helper()
	var a, b any
	text, err := json.Marshal(want)
	if err != nil || json.Unmarshal(text, &b) != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		t.Fatal(err, answer)
	}
	if a = numbers(a); !reflect.DeepEqual(a, b) {
		t.Errorf("%s\nwant %s", answer, text)
	}
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && (k == "revision" || k == "generation" || k == "bytes") {
				v[k] = json.Number(s)
				if f, err := v[k].(json.Number).Float64(); err == nil {
					v[k] = f
				}
				continue
			}
			v[k] = numbers(e)
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}

// fill sets every field of a struct to something.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(noon))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.String:
		v.SetString("s")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanFloat():
		v.SetFloat(0.25)
	}
}

// Too much is refused before it is read, also what gzip hides.
func TestRequestsThatAreTooLarge(t *testing.T) {
	r := start(t, Options{})
	request := submission("x")
	request.Event.Description = proto.String(strings.Repeat("x", 1<<20))
	for _, options := range [][]connect.ClientOption{nil, {connect.WithSendGzip()}, {connect.WithGRPC()}, {connect.WithGRPC(), connect.WithSendGzip()}, {connect.WithGRPCWeb()}, {connect.WithProtoJSON()}} {
		_, err := r.client(options...).Submit(t.Context(), request)
		refused(t, err, connect.CodeResourceExhausted, "")
	}
	if len(r.inbox.events) > 0 {
		t.Errorf("%d were taken", len(r.inbox.events))
	}
}

// Whatever comes, the answer is a refusal, and the server goes on.
func TestGarbage(t *testing.T) {
	r := start(t, Options{})
	bodies := []string{"", "\x00", "{", "null", "[]", strings.Repeat("[", 100_000), "\x00\x00\x00\x00\x05hello", "\x00\xff\xff\xff\xff", "\x01\x00\x00\x00\x02{}", "\x80\x00\x00\x00\x00", strings.Repeat("\x0a", 1<<16)}
	for _, procedure := range []string{"Submit", "Remove", "Get", "Search", "Watch"} {
		for _, kind := range []string{"application/json", "application/proto", "application/grpc", "application/grpc+json", "application/grpc-web", "application/connect+json", "application/connect+proto", "application/xml", "", "application/grpc-web-text"} {
			for _, version := range []int{1, 2} {
				client := r.http(version)
				for _, body := range bodies {
					q, err := http.NewRequest(http.MethodPost, r.url()+"/earshot.api.v1.Earshot/"+procedure, strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					q.Header.Set("Content-Type", kind)
					w, err := client.Do(q)
					if err != nil {
						t.Fatalf("%s %s %.20q: %v", procedure, kind, body, err)
					}
					answer, err := io.ReadAll(w.Body)
					w.Body.Close()
					said := string(answer) + w.Header.Get("Grpc-Message") + w.Trailer.Get("Grpc-Message")
					code := w.Header.Get("Grpc-Status") + w.Trailer.Get("Grpc-Status")
					// A frame that is none is "internal" by gRPC's rules, and said to be a protocol error.
					fault := code == "2" || (code == "13" || strings.Contains(said, `"internal"`)) && !strings.Contains(said, "protocol error")
					if err != nil || w.StatusCode >= 500 || fault {
						t.Errorf("%s, %s, HTTP/%d, %.20q: %d, status %q, %.200q, %v", procedure, kind, version, body, w.StatusCode, code, said, err)
					}
				}
			}
		}
	}
	if len(r.inbox.events)+len(r.inbox.removals) > 0 {
		t.Errorf("taken: %v %v", r.inbox.events, r.inbox.removals)
	}
	if _, err := r.client().Submit(t.Context(), submission("x")); err != nil {
		t.Error(err)
	}
}
