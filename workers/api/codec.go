package api

import (
	"encoding/json"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/workers/message"
)

// arrived is a request as it came: read by the rules of the event contract, with
// the field at fault where it does not fit. Connect's own codecs name none, and
// pass over values that they do not know.
type arrived[T any] struct {
	message T
	fault   error
}

func (a *arrived[T]) read(b []byte, e message.Encoding) {
	a.fault = message.Read(b, e, any(&a.message).(proto.Message))
}

// codec replaces one of connect's.
type codec struct {
	name     string
	encoding message.Encoding
}

func codecs() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(codec{"proto", message.Binary}),
		connect.WithCodec(codec{"json", message.JSON}),
		connect.WithCodec(codec{"json; charset=utf-8", message.JSON}),
	}
}

func (c codec) Name() string { return c.name }

// Marshal writes JSON with the names of the command line's JSON, and lists that
// are empty.
func (c codec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("api: %T is no message", v)
	}
	if c.encoding == message.JSON {
		return protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	}
	return proto.Marshal(m)
}

func (c codec) Unmarshal(b []byte, v any) error {
	a, ok := v.(interface {
		read([]byte, message.Encoding)
	})
	if !ok {
		return fmt.Errorf("api: %T is not read here", v)
	}
	a.read(b, c.encoding)
	return nil
}

// convert writes one of the index's types as its message. Both have the same
// names in JSON, which is how the command line prints them; what a message lacks
// is left out.
func convert(from any, to proto.Message) error {
	b, err := json.Marshal(from)
	if err == nil {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, to)
	}
	if err != nil {
		return fmt.Errorf("api: write %T as %s: %w", from, to.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}
