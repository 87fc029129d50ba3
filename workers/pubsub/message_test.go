package pubsub

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
)

var moment = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func encoded(t *testing.T, e episode.Event, as message.Encoding) []byte {
	t.Helper()
	b, err := message.EncodePublished(e, as)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A message is read in the encoding it has, whether or not a schema says which.
func TestTheEncodingIsTold(t *testing.T) {
	e := event(1)
	padded := e
	padded.ID = "{an-id-that-has-thirty-two-bytes"
	binary, asJSON := encoded(t, e, message.Binary), encoded(t, e, message.JSON)
	for name, test := range map[string]struct {
		data     []byte
		encoding string
		want     episode.Event
	}{
		"binary":                      {binary, "", e},
		"JSON":                        {asJSON, "", e},
		"JSON after white space":      {append([]byte("\n \t"), asJSON...), "", e},
		"binary that looks like JSON": {encoded(t, padded, message.Binary), "", padded},
		"binary by its schema":        {binary, "BINARY", e},
		"JSON by its schema":          {asJSON, "JSON", e},
	} {
		m := &pubsubpb.PubsubMessage{Data: test.data, PublishTime: timestamppb.New(moment), Attributes: map[string]string{}}
		if test.encoding != "" {
			m.Attributes[attrEncoding] = test.encoding
		}
		if d := read(m, laneLive); d.Malformed != nil || !reflect.DeepEqual(d.Event, test.want) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestWhatIsNoMessageIsDeliveredAsMalformed(t *testing.T) {
	e := event(1)
	for name, test := range map[string]struct {
		data  []byte
		lane  lane
		field string
	}{
		"nothing":                {nil, laneLive, "id"},
		"cut off":                {encoded(t, e, message.Binary)[:50], laneLive, "podcast"},
		"JSON of something else": {[]byte(`{"id": "x", "revision": "soon"}`), laneBacklog, "revision"},
		"no JSON":                {[]byte(` {"id": "x"`), laneLive, "message"},
		"no removal":             {[]byte(`{"id": "x"}`), laneRemovals, "revision"},
	} {
		d := read(&pubsubpb.PubsubMessage{Data: test.data}, test.lane)
		if d.Malformed == nil || !strings.Contains(d.Malformed.Error(), "event: "+test.field) || d.Raw == nil || string(d.Raw) != string(test.data) || d.Removal != nil {
			t.Errorf("%s: %+v", name, d)
		}
		if strings.Contains(string(test.data), `"x"`) && test.field != "message" && d.Event.ID != "x" {
			t.Errorf("%s: its episode is not told: %+v", name, d.Event)
		}
	}
}

func TestWhatADeliveryTells(t *testing.T) {
	const span, librarys = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	e := event(1)
	e.FirstSeen = time.Time{}
	for _, test := range []struct {
		lane       lane
		attributes map[string]string
		priority   episode.Priority
		trace      string
	}{
		{laneLive, nil, "", ""},
		{laneBacklog, map[string]string{attrLibrarysTrace: librarys}, episode.Backlog, librarys},
		{laneLive, map[string]string{attrLibrarysTrace: librarys, attrTrace: span}, "", span},
	} {
		d := read(&pubsubpb.PubsubMessage{Data: encoded(t, e, message.Binary), Attributes: test.attributes, PublishTime: timestamppb.New(moment)}, test.lane)
		if d.Event.Priority != test.priority || d.Traceparent != test.trace || !d.FirstSeen.Equal(moment) {
			t.Errorf("%+v", d)
		}
	}
}

func TestPublishedMessagesCanBeFiltered(t *testing.T) {
	server := inMemory(t)
	const span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := open(t, server.Address, Options{Project: "p", Names: Names{Live: "news"}, Traceparent: func(context.Context) string { return span }})
	backlog := event(2)
	backlog.Priority = episode.Backlog
	publish(t, c, event(1), backlog)
	if err := c.Remove(t.Context(), episode.Removal{ID: "x", Revision: 7}); err != nil {
		t.Fatal(err)
	}
	record := &episode.Record{Episode: episode.Episode{ID: "x", Podcast: "pod", Revision: 7, Generation: 2}, Language: &episode.Language{Code: "de"}}
	if err := c.Announce(t.Context(), record, moment); err != nil {
		t.Fatal(err)
	}
	if err := c.File(t.Context(), workers.DeadLetter{ID: "x@7", Event: episode.Event{ID: "x", Revision: 7}, Node: "decode", Reason: "no audio", Attempts: 3}); err != nil {
		t.Fatal(err)
	}
	podcast := event(1).Podcast
	want := []struct {
		topic      string
		attributes map[string]string
	}{
		{"news", map[string]string{"episode": string(event(1).ID), "revision": "1795154400001", "podcast": podcast}},
		{"earshot-backlog", map[string]string{"episode": string(event(2).ID), "revision": "1795154400002", "podcast": podcast}},
		{"earshot-removals", map[string]string{"episode": "x", "revision": "7"}},
		{"earshot-enriched", map[string]string{"episode": "x", "revision": "7", "podcast": "pod", "language": "de"}},
		{"earshot-dead-letters", map[string]string{"letter": "x@7", "episode": "x", "revision": "7", "node": "decode", "reason": "no audio", "attempts": "3"}},
	}
	for i, m := range server.Messages() {
		want[i].attributes["traceparent"] = span
		if m.Topic != "projects/p/topics/"+want[i].topic || !reflect.DeepEqual(m.Attributes, want[i].attributes) {
			t.Errorf("%s has %v, want %v", m.Topic, m.Attributes, want[i])
		}
	}
	r, at, err := message.DecodeEnriched(server.Messages()[3].Data, message.Binary)
	if err != nil || !at.Equal(moment) || r.Episode.Generation != 2 {
		t.Errorf("%+v, %s, %v", r, at, err)
	}
}

func TestATakedownIsDelivered(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		c := open(t, address(t), Options{})
		want := episode.Removal{ID: "x", Revision: 7, Reason: "court order"}
		if err := c.Remove(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		got := make(chan workers.Delivery, 1)
		receive(t, c.Removals(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			got <- d
			return done()
		})
		if d := next(t, got); d.Removal == nil || *d.Removal != want || d.Event.ID != "x" || d.Event.Revision != 7 || d.Attempt != 1 {
			t.Errorf("%+v", d)
		}
	})
}

func TestWhatCannotBePublishedSaysWhy(t *testing.T) {
	c := open(t, inMemory(t).Address, Options{})
	if err := c.Publish(t.Context(), episode.Event{ID: "x"}); err == nil || !strings.Contains(err.Error(), "revision") {
		t.Errorf("%v", err)
	}
	if err := c.Announce(t.Context(), &episode.Record{}, moment); err == nil || !strings.Contains(err.Error(), "id") {
		t.Errorf("%v", err)
	}
	c.options.Names.Live = "nowhere"
	if err := c.Publish(t.Context(), event(1)); err == nil || !strings.Contains(err.Error(), "topics/nowhere") || !strings.Contains(err.Error(), "preflight --create") {
		t.Errorf("%v", err)
	}
}

func TestAttributesFit(t *testing.T) {
	for text, want := range map[string]string{"a\xffb": "a\uFFFDb", strings.Repeat("é", 600): strings.Repeat("é", 512), "x" + strings.Repeat("é", 600): "x" + strings.Repeat("é", 511), "": ""} {
		if got := attribute(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestOpenNamesTheOptionAtFault(t *testing.T) {
	for problem, o := range map[string]Options{
		"no project":                   {},
		`encoding "yaml"`:              {Project: "p", Encoding: "yaml"},
		"a lease of 5s":                {Project: "p", Lease: 5 * time.Second},
		"a lease of 11m0s":             {Project: "p", Lease: 11 * time.Minute},
		"held for 30s, less than 1m0s": {Project: "p", MaxExtension: 30 * time.Second},
	} {
		c, err := Open(t.Context(), o)
		if c != nil || err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "its lease of ", ""), problem) {
			t.Errorf("%v, want %s", err, problem)
		}
	}
}
