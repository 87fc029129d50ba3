package pubsub

import (
	"bytes"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
)

// lane says what a subscription's messages are.
type lane int

const (
	laneLive lane = iota
	laneBacklog
	laneRemovals
)

// The attributes of messages. Pub/Sub sets the encoding on topics with a
// schema, its libraries the second of the traces.
const (
	attrEncoding      = "googclient_schemaencoding"
	attrTrace         = "traceparent"
	attrLibrarysTrace = "googclient_traceparent"
)

// delivery reads a message that has just come.
func (s *Source) delivery(m *pubsubpb.ReceivedMessage) workers.Delivery {
	body := m.GetMessage()
	d := read(body, s.lane)
	d.Attempt, d.Failures = s.tallies.delivered(body.GetMessageId(), int(m.DeliveryAttempt))
	d.Received = s.client.options.Now().UTC()
	if d.FirstSeen.IsZero() {
		d.FirstSeen = d.Received
	}
	return d
}

// read decodes a message of a lane, whatever a schema has let through.
func read(m *pubsubpb.PubsubMessage, l lane) (d workers.Delivery) {
	var err error
	if l == laneRemovals {
		var r episode.Removal
		r, err = decode(m, message.DecodeRemoved)
		d.Event = episode.Event{ID: r.ID, Revision: r.Revision}
		if err == nil {
			d.Removal = &r
		}
	} else {
		d.Event, err = decode(m, message.DecodePublished)
		if d.Event.Priority == "" && l == laneBacklog {
			d.Event.Priority = episode.Backlog
		}
	}
	if err != nil {
		d.Malformed, d.Raw = err, append([]byte{}, m.GetData()...)
	}
	d.FirstSeen = d.Event.FirstSeen
	if d.FirstSeen.IsZero() && m.GetPublishTime() != nil {
		d.FirstSeen = m.GetPublishTime().AsTime()
	}
	if d.Traceparent = m.GetAttributes()[attrTrace]; d.Traceparent == "" {
		d.Traceparent = m.GetAttributes()[attrLibrarysTrace]
	}
	return d
}

// decode reads a message in the encoding that the topic's schema names. Without
// one, JSON is told by its brace: no field of the contract begins with that
// byte. White space before the brace may begin a binary message too.
func decode[T any](m *pubsubpb.PubsubMessage, as func([]byte, message.Encoding) (T, error)) (T, error) {
	data := m.GetData()
	switch m.GetAttributes()[attrEncoding] {
	case "BINARY":
		return as(data, message.Binary)
	case "JSON":
		return as(data, message.JSON)
	}
	if bytes.HasPrefix(data, []byte("{")) {
		return as(data, message.JSON)
	}
	v, err := as(data, message.Binary)
	if err != nil && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return as(data, message.JSON)
	}
	return v, err
}
