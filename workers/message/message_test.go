package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	encodings = []Encoding{Binary, JSON}
	moment    = time.Date(2026, 11, 29, 12, 0, 0, 123456789, time.UTC)
)

// full is an event with every field.
func full() episode.Event {
	yes := true
	return episode.Event{
		ID: "3f6f", Podcast: "p", Title: "A title", Description: "Words.", Revision: 1764417600000, PublishedAt: moment, FirstSeen: moment.Add(time.Hour),
		Enclosure: episode.Enclosure{URL: "https://example.org/a.mp3", Type: "audio/mpeg", Bytes: 1482311},
		Language:  "en-GB", Explicit: &yes, Priority: episode.Backlog,
		Soundbites:  []episode.Soundbite{{Span: episode.Span{Start: 1.5, End: 60}, Title: "Best"}, {Span: episode.Span{End: 1}}},
		Transcripts: []episode.Link{{URL: "https://example.org/t.vtt", Type: "text/vtt", Language: "en"}, {}},
		Chapters:    &episode.Link{URL: "https://example.org/c.json", Type: "application/json+chapters"},
		Control:     episode.Control{Targets: []string{"record"}, Force: []string{"topics", "ads"}, Ping: true},
	}
}

// record is one with every field that is announced.
func record() *episode.Record {
	return &episode.Record{
		Episode:   episode.Episode{ID: "3f6f", Revision: 1764417600000, Generation: 3},
		Preview:   &episode.Preview{Manifest: "previews/3f6f/manifest.json"},
		Topics:    []episode.Topic{{Taxonomy: "iab-3.1", ID: "483", Name: "Sports", Score: .91}},
		Language:  &episode.Language{Code: "en", Confidence: .98, Candidates: []episode.LanguageCandidate{{Code: "en", Confidence: .98}, {Code: "de", Confidence: .01}}},
		Embedding: &episode.Embedding{Model: "earshot-passages@2", Values: []episode.Component{.12345, -.00001, 0}},
		Run: &episode.Run{
			Nodes: map[string]episode.NodeRun{
				"decode":   {Status: "ran", Started: .25, Ran: 3.5},
				"fetch":    {Status: "reused", Reason: "artifact present"},
				"topics":   {Status: "gap", Reason: "no model for de", Model: "earshot-topics@2", Device: "cpu", Waited: .01},
				"speakers": {Status: "skipped", Reason: "not wanted"},
			},
			Latency: episode.Latency{FirstSeenToPreview: 31.5, ReceivedToPreview: 30, CriticalPath: []string{"fetch", "decode", "publish"}},
		},
	}
}

func TestEventsComeBackAsTheyWent(t *testing.T) {
	for _, e := range encodings {
		for _, ev := range []episode.Event{full(), {ID: "x", Revision: 1, Enclosure: episode.Enclosure{URL: "file:///a.mp3"}}} {
			b, err := EncodePublished(ev, e)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := DecodePublished(b, e); err != nil || !reflect.DeepEqual(back, ev) {
				t.Errorf("%s: %+v, %v", e, back, err)
			}
			if again, _ := EncodePublished(ev, e); !bytes.Equal(again, b) {
				t.Errorf("%s: other bytes for the same event", e)
			}
		}
		removal := episode.Removal{ID: "3f6f", Revision: 7, Reason: "court order"}
		b, err := EncodeRemoved(removal, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeRemoved(b, e); err != nil || back != removal {
			t.Errorf("%s: %+v, %v", e, back, err)
		}
		for _, r := range []*episode.Record{record(), {Episode: episode.Episode{ID: "x", Revision: 1}}} {
			b, err := EncodeEnriched(r, moment, e)
			if err != nil {
				t.Fatal(err)
			}
			if back, at, err := DecodeEnriched(b, e); err != nil || !at.Equal(moment) || !reflect.DeepEqual(back, r) {
				t.Errorf("%s: %+v, %v, %v", e, back, at, err)
			}
		}
	}
}

// What JSON calls a field here is what it is called in all of Earshot's JSON.
func TestFieldsHaveTheNamesOfEarshotsJSON(t *testing.T) {
	ev := full()
	ours, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodePublished(ev, JSON)
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if json.Unmarshal(ours, &want) != nil || json.Unmarshal(b, &got) != nil {
		t.Fatal(string(b))
	}
	// Where the contract differs: an enum's name, 64 bits as text, lists that can be unset.
	want["priority"] = "PRIORITY_BACKLOG"
	want["revision"] = "1764417600000"
	want["enclosure"].(map[string]any)["bytes"] = "1482311"
	for _, list := range []string{"targets", "force"} {
		c := want["control"].(map[string]any)
		c[list] = map[string]any{"names": c[list]}
	}
	want["transcripts"].([]any)[1] = map[string]any{}               // an empty address is unset
	delete(want["soundbites"].([]any)[1].(map[string]any), "start") // and so is 0
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nwant %s", b, ours)
	}
}

func TestTheExampleOfTheEventsPageWorks(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	example, _, found := strings.Cut(rest, "```")
	ev, err := DecodePublished([]byte(example), JSON)
	want := episode.Event{ID: "3f6f0c1e-…", Revision: 1764417600000, Title: "The final", PublishedAt: moment.Truncate(time.Second),
		Enclosure: episode.Enclosure{URL: "https://example.org/final.mp3", Type: "audio/mpeg", Bytes: 48211002},
		Priority:  episode.Backlog, Control: episode.Control{Targets: []string{"topics"}, Ping: true}}
	if !found || err != nil || !reflect.DeepEqual(ev, want) {
		t.Errorf("%+v, %v", ev, err)
	}
}

// JSON comes in both spellings of a name, and numbers of 64 bits in both.
func TestJSONIsReadAsProtobufMapsIt(t *testing.T) {
	ev, err := DecodePublished([]byte(` {"id":"x","revision":"7","publishedAt":"2026-11-29T13:00:00.123456789+01:00","first_seen":null,
		"enclosure":{"url":"u","bytes":5e0},"priority":2,"control":{"targets":{},"ping":false},"explicit":false} `), JSON)
	no := false
	want := episode.Event{ID: "x", Revision: 7, PublishedAt: moment, Enclosure: episode.Enclosure{URL: "u", Bytes: 5},
		Priority: episode.Backlog, Explicit: &no, Control: episode.Control{Targets: []string{}}}
	if err != nil || !reflect.DeepEqual(ev, want) {
		t.Errorf("%+v, %v", ev, err)
	}
}

func TestUnsetIsToldFromEmptyAndFalse(t *testing.T) {
	no := false
	for _, e := range encodings {
		for _, explicit := range []*bool{nil, &no} {
			for _, names := range [][]string{nil, {}} {
				ev := episode.Event{ID: "x", Revision: 1, Enclosure: episode.Enclosure{URL: "u"}, Explicit: explicit, Control: episode.Control{Targets: names, Force: names}}
				b, err := EncodePublished(ev, e)
				if err != nil {
					t.Fatal(err)
				}
				back, err := DecodePublished(b, e)
				if err != nil || !reflect.DeepEqual(back, ev) {
					t.Errorf("%s: %+v, %v; want %+v", e, back, err, ev)
				}
			}
		}
	}
}

// refused fails the test unless err names the field.
func refused(t *testing.T, err error, field, problem string) {
	t.Helper()
	var fault *episode.FieldError
	if !errors.As(err, &fault) || fault.Field != field || !strings.Contains(fault.Problem, problem) {
		t.Errorf("%v; want a FieldError of %s: %s", err, field, problem)
	}
}

func TestWhatAFieldCannotMeanIsRefused(t *testing.T) {
	const base = `{"id":"x","revision":1,"enclosure":{"url":"u"}}`
	for _, c := range []struct{ from, to, field, problem string }{
		{`"id":"x",`, ``, "id", "missing"},
		{`"x"`, `"../x"`, "id", "is no episode id"},
		{`"x"`, `"` + strings.Repeat("x", 129) + `"`, "id", "is no episode id"},
		{`"revision":1,`, ``, "revision", "is no time"},
		{`"revision":1`, `"revision":-1`, "revision", "is no time"},
		{`"url":"u"`, ``, "enclosure.url", "missing"},
		{`,"enclosure":{"url":"u"}`, ``, "enclosure.url", "missing"},
		{`"url":"u"`, `"url":"u","bytes":-1`, "enclosure.bytes", "is no size"},
		{`"id"`, `"published_at":"yesterday","id"`, "published_at", "RFC 3339"},
		{`"id"`, `"published_at":"","id"`, "published_at", "RFC 3339"},
		{`"id"`, `"first_seen":"2026-13-01T00:00:00Z","id"`, "first_seen", "RFC 3339"},
		{`"id"`, `"first_seen":"0000-01-01T00:00:00+01:00","id"`, "first_seen", "RFC 3339"},
		{`"id"`, `"priority":7,"id"`, "priority", "7 is none of its values"},
		{`"id"`, `"soundbites":[{"end":1},{"start":2,"end":1}],"id"`, "soundbites[1]", "no episode has a span"},
		{`"id"`, `"soundbites":[{"end":1e9}],"id"`, "soundbites[0]", "no episode has a span"},
		{`"id"`, `"soundbites":[{"end":"Infinity"}],"id"`, "soundbites[0].end", "is no number"},
		{`"id"`, `"soundbites":[{"start":"NaN"}],"id"`, "soundbites[0].start", "is no number"},
	} {
		text := strings.Replace(base, c.from, c.to, 1)
		_, err := DecodePublished([]byte(text), JSON)
		refused(t, err, c.field, c.problem)
		m := new(eventsv1.EpisodePublished)
		if err := protojson.Unmarshal([]byte(text), m); err != nil {
			t.Fatal(err)
		}
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodePublished(b, Binary)
		refused(t, err, c.field, c.problem)
	}
	for text, field := range map[string]string{`{"revision":1}`: "id", `{"id":"x"}`: "revision"} {
		_, err := DecodeRemoved([]byte(text), JSON)
		refused(t, err, field, "")
	}
	for text, field := range map[string]string{
		`{"revision":1}`: "id", `{"id":"x"}`: "revision", `{"id":"x","revision":1,"generation":-1}`: "generation",
		`{"id":"x","revision":1,"announced":"now"}`: "announced", `{"id":"x","revision":1,"nodes":[{"outcome":1}]}`: "nodes[0].name",
		`{"id":"x","revision":1,"nodes":[{"name":"a"}]}`:                                                  "nodes[0].outcome",
		`{"id":"x","revision":1,"nodes":[{"name":"a","outcome":9}]}`:                                      "nodes[0].outcome",
		`{"id":"x","revision":1,"nodes":[{"name":"a","outcome":"OUTCOME_RAN"},{"name":"a","outcome":1}]}`: "nodes[1].name",
		`{"id":"x","revision":1,"embedding":{"values":[0,1e39]}}`:                                         "embedding.values",
		`{"id":"x","revision":1,"embedding":{"values":[0,"NaN"]}}`:                                        "embedding.values[1]",
	} {
		_, _, err := DecodeEnriched([]byte(text), JSON)
		refused(t, err, field, "")
	}
}

var contract = []proto.Message{new(eventsv1.EpisodePublished), new(eventsv1.EpisodeRemoved), new(eventsv1.EpisodeEnriched)}

// Every field of every message, however deep, refuses what is not of its type,
// by its name.
func TestEachFieldRefusesAnotherType(t *testing.T) {
	fields := 0
	for _, m := range contract {
		// wrap puts a field's record or value where the message m stands.
		var each func(d protoreflect.MessageDescriptor, path string, binary, object func(string) string)
		each = func(d protoreflect.MessageDescriptor, path string, binary, object func(string) string) {
			for i := range d.Fields().Len() {
				f := d.Fields().Get(i)
				fields++
				name := path + string(f.Name())
				other := protowire.AppendVarint(protowire.AppendTag(nil, f.Number(), protowire.VarintType), 1)
				if wireType(f.Kind()) == protowire.VarintType {
					other = protowire.AppendFixed32(protowire.AppendTag(nil, f.Number(), protowire.Fixed32Type), 1)
				}
				refused(t, decode([]byte(binary(string(other))), Binary, m.ProtoReflect().New().Interface()), name, "has wire type")
				cut := protowire.AppendTag(nil, f.Number(), protowire.BytesType)
				refused(t, decode([]byte(binary(string(cut))), Binary, m.ProtoReflect().New().Interface()), name, "is no protobuf")
				for _, value := range []string{"[[]]", "true", `"tr\u0075th"`} {
					if f.Kind() == protoreflect.BoolKind && value == "true" || f.Kind() == protoreflect.StringKind && value[0] == '"' {
						continue
					}
					field := name
					if f.IsList() && f.Message() != nil && value[0] == '[' {
						field += "[0]"
					}
					text := object(fmt.Sprintf("%q:%s", f.Name(), value))
					refused(t, decode([]byte(text), JSON, m.ProtoReflect().New().Interface()), field, "")
				}
				if f.Kind() == protoreflect.StringKind {
					bad := protowire.AppendString(protowire.AppendTag(nil, f.Number(), protowire.BytesType), "a\xff")
					refused(t, decode([]byte(binary(string(bad))), Binary, m.ProtoReflect().New().Interface()), name, "is no string")
					value := "\"a\xff\""
					if f.IsList() {
						value = "[" + value + "]"
					}
					refused(t, decode([]byte(object(fmt.Sprintf("%q:%s", f.Name(), value))), JSON, m.ProtoReflect().New().Interface()), name, "string")
				}
				if f.Message() != nil {
					below := name
					open, end := "", ""
					if f.IsList() {
						below, open, end = name+"[0]", "[", "]"
					}
					each(f.Message(), below+".", func(s string) string {
						return binary(string(protowire.AppendString(protowire.AppendTag(nil, f.Number(), protowire.BytesType), s)))
					}, func(s string) string { return object(fmt.Sprintf("%q:%s{%s}%s", f.Name(), open, s, end)) })
				}
			}
		}
		each(m.ProtoReflect().Descriptor(), "", func(s string) string { return s }, func(s string) string { return "{" + s + "}" })
	}
	if fields < 60 {
		t.Errorf("only %d fields were looked at", fields)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	for text, field := range map[string]string{
		"": "message", "null": "message", "[]": "message", `"x"`: "message", "{": "message", `{"id"`: "id", `{"id":"x"`: "message", `{"id":"x",}`: "message",
		`{"id":"x"} {}`: "message", `{"id":"x"}x`: "message", `{"id":"x","id":"y"}`: "id", `{"publishedAt":null,"published_at":null}`: "published_at",
		`{"priority":"PRIORITY_SOON"}`: "priority", `{"control":{"targets":["a"]}}`: "control.targets", `{"control":{"targets":{"names":[null]}}}`: "control.targets.names",
		`{"soundbites":[null]}`: "soundbites[0]", `{1:2}`: "message", `{"later":tru}`: `"later"`,
	} {
		_, err := DecodePublished([]byte(text), JSON)
		refused(t, err, field, "")
	}
	_, err := DecodePublished([]byte{0xff}, Binary)
	refused(t, err, "message", "is no protobuf")
	_, err = DecodePublished([]byte{0x3a, 1, 0xff}, Binary)
	refused(t, err, "enclosure", "is no protobuf")
	_, err = DecodePublished([]byte("{}"), "yaml")
	refused(t, err, "message", `"yaml" is neither`)
}

// A rejection is read by many, an address may hold a password.
func TestRejectionsTellNoValues(t *testing.T) {
	for _, text := range []string{`{"enclosure":"https://user:secret@example.org"}`, `{"enclosure":{"bytes":"secret"}}`, `{"transcripts":"secret"}`, `{"control":{"targets":{"names":"secret"}}}`} {
		if _, err := DecodePublished([]byte(text), JSON); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The dead letter of a message that does not fit names its episode.
func TestWhatFitsIsReadBesideWhatDoesNot(t *testing.T) {
	b, err := EncodePublished(full(), Binary)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := DecodePublished(append(b, 0x28, 0xff), Binary) // a second revision, cut off
	refused(t, err, "revision", "is no protobuf")
	if !reflect.DeepEqual(ev, full()) {
		t.Errorf("%+v", ev)
	}
	ev, err = DecodePublished([]byte(`{"revision":"soon","priority":"PRIORITY_SOON","soundbites":[{"start":"NaN"}],"id":"x"}`), JSON)
	refused(t, err, "revision", "is no int64")
	if ev.ID != "x" {
		t.Errorf("%+v", ev)
	}
	if _, err := json.Marshal(ev); err != nil {
		t.Errorf("no dead letter can hold it: %v", err)
	}
}

func TestFieldsOfLaterVersionsArePassedOver(t *testing.T) {
	more := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "new")
	more = protowire.AppendFixed64(protowire.AppendTag(more, 1001, protowire.Fixed64Type), 1)
	b, err := EncodePublished(full(), Binary)
	if err != nil {
		t.Fatal(err)
	}
	chapters := protowire.AppendBytes(protowire.AppendTag(nil, 12, protowire.BytesType), more) // merged with those that are there
	if ev, err := DecodePublished(append(append(b, more...), chapters...), Binary); err != nil || !reflect.DeepEqual(ev, full()) {
		t.Errorf("%+v, %v", ev, err)
	}
	if b, err = EncodePublished(full(), JSON); err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, []byte("{"), []byte(`{"later":{"a":[1,{"b":null}]},"":"",`))
	b = bytes.ReplaceAll(b, []byte(",}"), []byte("}"))
	if ev, err := DecodePublished(b, JSON); err != nil || !reflect.DeepEqual(ev, full()) {
		t.Errorf("%s: %+v, %v", b, ev, err)
	}
}

func TestSizesAreBounded(t *testing.T) {
	ev := full()
	ev.Description = strings.Repeat("x", MaxBytes)
	long := func(n int) []string { return strings.Split(strings.Repeat("a", n), "") }
	for _, e := range encodings {
		_, err := EncodePublished(ev, e)
		refused(t, err, "message", "want up to 1048576")
		_, err = DecodePublished(make([]byte, MaxBytes+1), e)
		refused(t, err, "message", "want up to 1048576")

		many := full()
		many.Control.Targets = long(MaxList)
		if _, err := EncodePublished(many, e); err != nil {
			t.Error(err)
		}
		many.Control.Targets = long(MaxList + 1)
		_, err = EncodePublished(many, e)
		refused(t, err, "control.targets.names", "more than 10000")
		many = full()
		many.Transcripts = make([]episode.Link, MaxList+1)
		_, err = EncodePublished(many, e)
		refused(t, err, "transcripts", "more than 10000")
	}
	b := bytes.Repeat([]byte{0x52, 0}, MaxBytes/2) // half a million empty soundbites
	got, err := DecodePublished(b, Binary)
	refused(t, err, "soundbites", "more than 10000")
	if len(got.Soundbites) > MaxList {
		t.Errorf("%d soundbites were made", len(got.Soundbites))
	}
}

func TestWhatNobodyCouldReadIsNotWritten(t *testing.T) {
	for field, spoil := range map[string]func(*episode.Event){
		"id":            func(e *episode.Event) { e.ID = "" },
		"published_at":  func(e *episode.Event) { e.PublishedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"first_seen":    func(e *episode.Event) { e.FirstSeen = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"soundbites[0]": func(e *episode.Event) { e.Soundbites[0].End = episode.Seconds(math.NaN()) },
		"message":       func(e *episode.Event) { e.Title = "\xff" },
	} {
		for _, e := range encodings {
			ev := full()
			spoil(&ev)
			_, err := EncodePublished(ev, e)
			refused(t, err, field, "")
		}
	}
	_, err := EncodeRemoved(episode.Removal{ID: "x"}, Binary)
	refused(t, err, "revision", "")
	for field, spoil := range map[string]func(*episode.Record){
		"id":                          func(r *episode.Record) { r.Episode.ID = "" },
		"nodes[0].outcome":            func(r *episode.Record) { r.Run.Nodes["a"] = episode.NodeRun{Status: "failed"} },
		"language.confidence":         func(r *episode.Record) { r.Language.Confidence = episode.Score(math.Inf(1)) },
		"topics[0].score":             func(r *episode.Record) { r.Topics[0].Score = episode.Score(math.NaN()) },
		"latency.received_to_preview": func(r *episode.Record) { r.Run.Latency.ReceivedToPreview = episode.Seconds(math.Inf(-1)) },
	} {
		for _, e := range encodings {
			r := record()
			spoil(r)
			_, err := EncodeEnriched(r, moment, e)
			refused(t, err, field, "")
		}
	}
	_, err = EncodeEnriched(record(), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), JSON)
	refused(t, err, "announced", "")
}

func drawEvent(t *rapid.T) episode.Event {
	text := rapid.StringN(0, 40, -1)
	link := rapid.Custom(func(t *rapid.T) episode.Link {
		return episode.Link{URL: text.Draw(t, "url"), Type: text.Draw(t, "type"), Language: text.Draw(t, "language")}
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "unset") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	})
	names := rapid.Custom(func(t *rapid.T) []string {
		if rapid.Bool().Draw(t, "unset") {
			return nil
		}
		return append([]string{}, rapid.SliceOfN(text, 0, 4).Draw(t, "names")...)
	})
	ev := episode.Event{
		ID:      episode.ID(rapid.StringMatching(`[a-z0-9-]{1,128}`).Draw(t, "id")),
		Podcast: text.Draw(t, "podcast"), Title: text.Draw(t, "title"), Description: text.Draw(t, "description"), Language: text.Draw(t, "language"),
		Revision:    episode.Revision(rapid.Int64Range(1, math.MaxInt64).Draw(t, "revision")),
		PublishedAt: at.Draw(t, "published"), FirstSeen: at.Draw(t, "seen"),
		Enclosure: episode.Enclosure{URL: rapid.StringN(1, 40, -1).Draw(t, "enclosure"), Type: text.Draw(t, "type"), Bytes: rapid.Int64Range(0, math.MaxInt64).Draw(t, "bytes")},
		Priority:  rapid.SampledFrom([]episode.Priority{"", episode.Live, episode.Backlog}).Draw(t, "priority"),
		Explicit:  rapid.Ptr(rapid.Bool(), true).Draw(t, "explicit"),
		Chapters:  rapid.Ptr(link, true).Draw(t, "chapters"),
		Control:   episode.Control{Targets: names.Draw(t, "targets"), Force: names.Draw(t, "force"), Ping: rapid.Bool().Draw(t, "ping")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "soundbites") {
		start := rapid.Float64Range(0, 1e6).Draw(t, "start")
		ev.Soundbites = append(ev.Soundbites, episode.Soundbite{
			Span: episode.Span{Start: episode.Seconds(start), End: episode.Seconds(start + rapid.Float64Range(.001, 1e6).Draw(t, "length"))}, Title: text.Draw(t, "title"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "transcripts") {
		ev.Transcripts = append(ev.Transcripts, link.Draw(t, "transcript"))
	}
	return ev
}

func TestAnyEventComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		b, err := EncodePublished(ev, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodePublished(b, e); err != nil || !reflect.DeepEqual(back, ev) {
			t.Fatalf("%s\n%+v, %v\n%+v", b, back, err, ev)
		}
	})
}

func TestAnyRemovalComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		r := episode.Removal{ID: ev.ID, Revision: ev.Revision, Reason: ev.Title}
		b, err := EncodeRemoved(r, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeRemoved(b, e); err != nil || back != r {
			t.Fatalf("%+v, %v", back, err)
		}
	})
}

func TestAnyAnnouncementComesBack(t *testing.T) {
	score := rapid.Float64Range(0, 1)
	text := rapid.StringN(0, 20, -1)
	seconds := rapid.Float64Range(0, 1e5)
	rapid.Check(t, func(t *rapid.T) {
		ev, e := drawEvent(t), rapid.SampledFrom(encodings).Draw(t, "encoding")
		r := &episode.Record{Episode: episode.Episode{ID: ev.ID, Revision: ev.Revision, Generation: episode.Generation(rapid.IntRange(0, math.MaxInt).Draw(t, "generation"))}}
		if rapid.Bool().Draw(t, "preview") {
			r.Preview = &episode.Preview{Manifest: rapid.StringN(1, 20, -1).Draw(t, "manifest")}
		}
		for range rapid.IntRange(0, 3).Draw(t, "topics") {
			r.Topics = append(r.Topics, episode.Topic{Taxonomy: text.Draw(t, "taxonomy"), ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Score: episode.Score(score.Draw(t, "score"))})
		}
		if rapid.Bool().Draw(t, "language") {
			r.Language = &episode.Language{Code: text.Draw(t, "code"), Confidence: episode.Score(score.Draw(t, "confidence"))}
			for range rapid.IntRange(0, 2).Draw(t, "candidates") {
				r.Language.Candidates = append(r.Language.Candidates, episode.LanguageCandidate{Code: text.Draw(t, "code"), Confidence: episode.Score(score.Draw(t, "confidence"))})
			}
		}
		if rapid.Bool().Draw(t, "embedding") {
			r.Embedding = &episode.Embedding{Model: text.Draw(t, "model")}
			for range rapid.IntRange(0, 5).Draw(t, "components") {
				r.Embedding.Values = append(r.Embedding.Values, episode.Component(float64(rapid.IntRange(-100_000, 100_000).Draw(t, "component"))/1e5))
			}
		}
		if rapid.Bool().Draw(t, "run") {
			r.Run = &episode.Run{Nodes: map[string]episode.NodeRun{}, Latency: episode.Latency{
				FirstSeenToPreview: episode.Seconds(seconds.Draw(t, "first")), ReceivedToPreview: episode.Seconds(seconds.Draw(t, "received")),
			}}
			for range rapid.IntRange(0, 3).Draw(t, "path") {
				r.Run.Latency.CriticalPath = append(r.Run.Latency.CriticalPath, text.Draw(t, "node"))
			}
			for range rapid.IntRange(0, 4).Draw(t, "nodes") {
				r.Run.Nodes[rapid.StringN(1, 10, -1).Draw(t, "name")] = episode.NodeRun{
					Status: rapid.SampledFrom([]string{"ran", "reused", "skipped", "gap"}).Draw(t, "status"),
					Reason: text.Draw(t, "reason"), Model: text.Draw(t, "model"), Device: text.Draw(t, "device"),
					Started: episode.Seconds(seconds.Draw(t, "started")), Waited: episode.Seconds(seconds.Draw(t, "waited")), Ran: episode.Seconds(seconds.Draw(t, "ran")),
				}
			}
		}
		b, err := EncodeEnriched(r, ev.FirstSeen, e)
		if err != nil {
			t.Fatal(err)
		}
		if back, at, err := DecodeEnriched(b, e); err != nil || !at.Equal(ev.FirstSeen) || !reflect.DeepEqual(back, r) {
			t.Fatalf("%s\n%+v, %v\n%+v", b, back, err, r)
		}
	})
}

// Whatever comes is an event that works, and then comes back as it went, or is
// refused by a field, and can still be filed.
func FuzzDecode(f *testing.F) {
	for _, e := range encodings {
		b, err := EncodePublished(full(), e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
		if b, err = EncodeEnriched(record(), moment, e); err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
		if b, err = EncodeRemoved(episode.Removal{ID: "x", Revision: 1, Reason: "r"}, e); err != nil {
			f.Fatal(err)
		}
		f.Add(b, e == JSON)
	}
	f.Add([]byte(`{"id":"x","revision":"1e3","enclosure":{"url":"u"},"soundbites":[{"end":"NaN"}],"publishedAt":"2026-11-29T12:00:00+24:00"}`), true)
	f.Add([]byte{0x3a, 2, 0x0a, 0xff, 0x52, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, asJSON bool) {
		e := Binary
		if asJSON {
			e = JSON
		}
		named := func(err error) {
			var fault *episode.FieldError
			if !errors.As(err, &fault) || fault.Field == "" {
				t.Errorf("names no field: %v", err)
			}
		}
		ev, err := DecodePublished(b, e)
		if _, err := json.Marshal(ev); err != nil {
			t.Errorf("no dead letter can hold it: %v", err)
		}
		if err != nil {
			named(err)
		} else if again, err := EncodePublished(ev, e); err != nil {
			// A message just below the bound may be longer when written in full.
			if named(err); !strings.Contains(err.Error(), "want up to") {
				t.Error(err)
			}
		} else if back, err := DecodePublished(again, e); err != nil || !reflect.DeepEqual(back, ev) {
			t.Errorf("%+v, %v; was %+v", back, err, ev)
		}
		if r, err := DecodeRemoved(b, e); err != nil {
			named(err)
		} else if err := r.Check(); err != nil {
			t.Error(err)
		}
		if r, _, err := DecodeEnriched(b, e); err != nil {
			named(err)
		} else if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
	})
}
