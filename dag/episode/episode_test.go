package episode

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The guid is the example of the Podcasting 2.0 specification.
func TestPodcastGUIDs(t *testing.T) {
	for _, url := range []string{"https://podnews.net/rss", "http://podnews.net/rss/", "podnews.net/rss"} {
		if got := PodcastGUID(url); got != "9b024349-ccf0-5f69-a609-6b82873eab3c" {
			t.Errorf("%s: %s", url, got)
		}
	}
	a, b := NewID("9b024349-ccf0-5f69-a609-6b82873eab3c", "1"), NewID("9b024349-ccf0-5f69-a609-6b82873eab3c", "2")
	if a == b || len(a) != 36 || a[14] != '5' || a != NewID("9b024349-ccf0-5f69-a609-6b82873eab3c", "1") {
		t.Errorf("ids %s, %s", a, b)
	}
	if NewID("not a uuid", "1") == NewID("not a uuid 1", "") {
		t.Error("podcasts without a uuid share ids")
	}
}

func TestVersionsAreOrderedByRevisionThenGeneration(t *testing.T) {
	for _, c := range []struct {
		a, b Version
		want int
	}{{Version{1, 9}, Version{2, 1}, -1}, {Version{2, 1}, Version{2, 2}, -1}, {Version{2, 2}, Version{2, 2}, 0}, {Version{3, 0}, Version{2, 5}, 1}} {
		if got := c.a.Compare(c.b); got != c.want {
			t.Errorf("%v, %v: %d", c.a, c.b, got)
		}
	}
}

func TestTimesAndScoresAreRounded(t *testing.T) {
	b, err := json.Marshal([]any{Seconds(1.23456), Seconds(-0.0001), Score(0.123456), Decibels(-16.04)})
	if err != nil || string(b) != "[1.235,0,0.1235,-16]" {
		t.Errorf("%s, %v", b, err)
	}
	for _, v := range []any{Seconds(math.NaN()), Seconds(math.Inf(1)), Score(math.NaN())} {
		if _, err := json.Marshal(v); err == nil {
			t.Errorf("%v has no JSON, and none was refused", v)
		}
	}
}

func TestContentLeavesTheRunOut(t *testing.T) {
	r := Record{Schema: Schema, Run: &Run{Latency: Latency{FirstSeenToPreview: 3}}}
	a, err := r.Content()
	if err != nil || bytes.Contains(a, []byte(`"run"`)) || r.Run == nil {
		t.Errorf("%s, %v", a, err)
	}
	var back Record
	if err := json.Unmarshal(a, &back); err != nil {
		t.Fatal(err)
	}
	if b, _ := back.Content(); !bytes.Equal(a, b) {
		t.Errorf("read and written again it differs:\n%s\n%s", a, b)
	}
}

func TestEventsAreChecked(t *testing.T) {
	good := Event{ID: "x", Revision: 1, Enclosure: Enclosure{URL: "https://example.org/a.mp3"}, PublishedAt: time.Unix(1, 0)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for field, spoil := range map[string]func(*Event){
		"id": func(e *Event) { e.ID = "" }, "revision": func(e *Event) { e.Revision = 0 },
		"id: \"../../x\"": func(e *Event) { e.ID = "../../x" }, "id: \"..\"": func(e *Event) { e.ID = ".." }, `id: "a\\`: func(e *Event) { e.ID = "a\\b" },
		"id: \"xxx": func(e *Event) { e.ID = ID(strings.Repeat("x", 129)) }, `id: "a\x00`: func(e *Event) { e.ID = "a\x00" },
		"soundbites[1]": func(e *Event) { e.Soundbites = []Soundbite{{Span: Span{1, 2}}, {Span: Span{1, 1e307}}} },
		"enclosure.url": func(e *Event) { e.Enclosure.URL = "" }, "priority": func(e *Event) { e.Priority = "soon" },
		"enclosure.bytes": func(e *Event) { e.Enclosure.Bytes = -1 },
	} {
		e := good
		spoil(&e)
		var fault *FieldError
		if err := e.Check(); !errors.As(err, &fault) || !strings.Contains(err.Error(), "event: "+field) || !strings.HasPrefix(field, fault.Field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestRemovalsAreChecked(t *testing.T) {
	for field, r := range map[string]Removal{"": {ID: "x", Revision: 1}, "id": {ID: "a/b", Revision: 1}, "revision": {ID: "x", Revision: -1}} {
		var fault *FieldError
		if err := r.Check(); (err != nil) != (field != "") || err != nil && (!errors.As(err, &fault) || fault.Field != field) {
			t.Errorf("%q: %v", field, err)
		}
		e := Episode{ID: r.ID, Revision: r.Revision}
		if err := e.Check(); (err != nil) != (field != "") {
			t.Errorf("%q: %v", field, err)
		}
	}
	if err := (&Episode{ID: "x", Revision: 1, Generation: -1}).Check(); err == nil || err.Error() != "event: generation: -1 is negative" {
		t.Error(err)
	}
}

// No targets is not all targets, in a queue neither.
func TestControlsKeepUnsetFromEmpty(t *testing.T) {
	for want, c := range map[string]Control{"{}": {}, `{"targets":[],"force":[]}`: {Targets: []string{}, Force: []string{}}} {
		var back Control
		if b, err := json.Marshal(c); err != nil || string(b) != want || json.Unmarshal(b, &back) != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%s, %v; want %s", b, err, want)
		}
	}
}

func TestTimesOfAnySizeAreJSON(t *testing.T) {
	for _, s := range []Seconds{1.0005, 4.5e15, 1e300, -1e307, math.MaxFloat64} {
		b, err := json.Marshal(s)
		var back float64
		if err != nil || json.Unmarshal(b, &back) != nil || math.Abs(back-float64(s)) > 0.001 {
			t.Errorf("%v: %s, %v", float64(s), b, err)
		}
	}
}

func TestCaptions(t *testing.T) {
	tr := Transcript{Segments: []Segment{
		{Span: Span{Start: 1.5, End: 2.25}, Text: "a < b & c --> d\n\nnew cue?"},
		{Span: Span{Start: 3661.001, End: 3662}, Text: "later"},
	}}
	vtt := "WEBVTT\n\n00:00:01.500 --> 00:00:02.250\na &lt; b &amp; c --&gt; d new cue?\n\n01:01:01.001 --> 01:01:02.000\nlater\n"
	if got := string(tr.WebVTT()); got != vtt {
		t.Errorf("WebVTT:\n%s", got)
	}
	srt := "1\n00:00:01,500 --> 00:00:02,250\na < b & c -> d new cue?\n\n2\n01:01:01,001 --> 01:01:02,000\nlater\n\n"
	if got := string(tr.SRT()); got != srt {
		t.Errorf("SRT:\n%s", got)
	}
	b, err := tr.PodcastJSON()
	if err != nil || !bytes.Contains(b, []byte(`"startTime": 3661.001`)) || !bytes.Contains(b, []byte(`"version": "1.0.0"`)) {
		t.Errorf("JSON: %s, %v", b, err)
	}
	if b, _ := (&Transcript{}).PodcastJSON(); !bytes.Contains(b, []byte(`"segments": []`)) {
		t.Errorf("empty: %s", b)
	}
}
