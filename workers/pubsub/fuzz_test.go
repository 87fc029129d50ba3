package pubsub

import (
	"encoding/json"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

// Whatever lies on a subscription is a delivery that can be rejected, or a letter
// that can be looked at and filed again.
func FuzzWhatComes(f *testing.F) {
	c := &Client{options: Options{Project: "p"}}
	if err := c.options.complete(); err != nil {
		f.Fatal(err)
	}
	letter, err := json.Marshal(workerstest.Letter(1))
	if err != nil {
		f.Fatal(err)
	}
	for _, encoding := range []message.Encoding{message.Binary, message.JSON} {
		b, err := message.EncodePublished(event(1), encoding)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "", "earshot-backlog", "100")
		f.Add(b, "JSON", "earshot-removals", "x")
	}
	f.Add(letter, "BINARY", "", "")
	f.Add([]byte(`{"id":"x","event":{"revision":-1}}`), "", "", "")
	f.Add([]byte(" {"), "?", "earshot-live", "-1")
	f.Fuzz(func(t *testing.T, body []byte, encoding, from, attempts string) {
		m := &pubsubpb.PubsubMessage{Data: body, Attributes: map[string]string{attrEncoding: encoding}}
		for _, l := range []lane{laneLive, laneBacklog, laneRemovals} {
			d := read(m, l)
			if (d.Malformed != nil) != (d.Raw != nil) || d.Malformed == nil && d.Event.ID == "" || workers.LetterID(d) == "" {
				t.Errorf("%+v", d)
			}
		}
		if from != "" {
			m.Attributes[attrForwardedFrom], m.Attributes[attrForwardedAttempts] = from, attempts
		}
		l := c.letter(m)
		if _, err := letterBody(l, maxLetter); err != nil || l.ID == "" {
			t.Errorf("%+v: %v", l, err)
		}
	})
}
