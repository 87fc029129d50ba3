// Package message reads and writes the messages of the event contract
// (deploy/schema) as the vocabulary's types. What it reads it checks by itself,
// whatever a topic's schema has let through: what does not fit is refused with
// the name of its field, for workers.Delivery's Malformed; fields of later
// versions are passed over; sizes are bounded. docs/events.md is the contract in
// words.
package message

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Encoding is how a message is written: the two that a Pub/Sub topic with a
// schema knows.
type Encoding string

const (
	Binary Encoding = "binary" // Protobuf's wire format
	JSON   Encoding = "json"   // Protobuf's JSON mapping
)

const (
	// MaxBytes is the longest message.
	MaxBytes = 1 << 20
	// MaxList is the longest list in a message.
	MaxList = 10_000
)

// decode reads b into m, which is empty. Its error is the first that is wrong,
// a *episode.FieldError; m then holds what could be read all the same.
func decode(b []byte, e Encoding, m proto.Message) error {
	var r reader
	switch {
	case len(b) > MaxBytes:
		r.fault("message", "%d bytes, want up to %d", len(b), MaxBytes)
	case e == Binary:
		r.binary(b, m.ProtoReflect(), "")
	case e == JSON:
		r.json(b, m.ProtoReflect(), "")
	default:
		r.fault("message", "encoding %q is neither %q nor %q", e, Binary, JSON)
	}
	if r.err == nil {
		return nil
	}
	return r.err
}

// encode writes m, always the same bytes for the same m. What a reader would
// refuse is an error here.
func encode(m proto.Message, e Encoding) (b []byte, err error) {
	if e == JSON {
		b, err = protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		if err == nil {
			var compact bytes.Buffer // protojson varies its spaces
			err = json.Compact(&compact, b)
			b = compact.Bytes()
		}
	} else {
		b, err = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	if err != nil {
		return nil, &episode.FieldError{Field: "message", Problem: err.Error()}
	}
	if err := decode(b, e, m.ProtoReflect().New().Interface()); err != nil {
		return nil, err
	}
	return b, nil
}

// reader keeps the first fault of a message, and reads on.
type reader struct{ err *episode.FieldError }

func (r *reader) fault(field, problem string, args ...any) {
	if r.err == nil {
		r.err = &episode.FieldError{Field: field, Problem: fmt.Sprintf(problem, args...)}
	}
}
