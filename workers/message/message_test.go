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
		Private:     true,
		Control:     episode.Control{Targets: []string{"record"}, Force: []string{"topics", "ads"}, Ping: true, Recipients: []string{"reprocess-eu"}},
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
	for _, list := range []string{"targets", "force", "recipients"} {
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
				ev := episode.Event{ID: "x", Revision: 1, Enclosure: episode.Enclosure{URL: "u"}, Explicit: explicit, Control: episode.Control{Targets: names, Force: names, Recipients: names}}
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
