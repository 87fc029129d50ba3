package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// binary reads one message field by field. The library's own reader takes a
// known field of another type for an unknown field, and does not say where a
// message is cut off.
func (r *reader) binary(b []byte, m protoreflect.Message, path string) {
	for len(b) > 0 {
		number, kind, tag := protowire.ConsumeTag(b)
		if tag < 0 {
			r.fault(whole(path), "is no protobuf: %v", protowire.ParseError(tag))
			return
		}
		f := m.Descriptor().Fields().ByNumber(number)
		var name string
		if f != nil {
			name = path + string(f.Name())
		} else {
			name = fmt.Sprintf("%sfield %d", path, number)
		}
		value := protowire.ConsumeFieldValue(number, kind, b[tag:])
		if value < 0 {
			r.fault(name, "is no protobuf: %v", protowire.ParseError(value))
			return
		}
		record := b[:tag+value]
		b = b[tag+value:]
		if f == nil {
			continue // of a later version
		}
		want := wireType(f.Kind())
		switch packed := f.IsList() && kind == protowire.BytesType && want != protowire.BytesType; {
		case kind != want && !packed:
			r.fault(name, "has wire type %d, not %d as %s has", kind, want, f.Kind())
		case f.Message() != nil:
			if child, name, ok := r.child(m, f, name); ok {
				content, _ := protowire.ConsumeBytes(record[tag:])
				r.binary(content, child, name+".")
			}
		default:
			before := 0
			if f.IsList() {
				before = m.Get(f).List().Len()
			}
			if err := (proto.UnmarshalOptions{Merge: true, DiscardUnknown: true}).Unmarshal(record, m.Interface()); err != nil {
				r.fault(name, "is no %s", f.Kind())
				continue
			}
			r.scalars(m, f, name, before)
		}
	}
}

// whole names the message that the path leads into.
func whole(path string) string {
	if path == "" {
		return "message"
	}
	return strings.TrimSuffix(path, ".")
}

// wireType is how a value of the kind is written. The contract has no groups.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.DoubleKind, protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protowire.Fixed64Type
	case protoreflect.FloatKind, protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protowire.Fixed32Type
	default:
		return protowire.VarintType
	}
}

// child is where the content of a field that is a message goes, and its path.
func (r *reader) child(m protoreflect.Message, f protoreflect.FieldDescriptor, name string) (protoreflect.Message, string, bool) {
	if !f.IsList() {
		return m.Mutable(f).Message(), name, true
	}
	list := m.Mutable(f).List()
	if list.Len() == MaxList {
		r.fault(name, "more than %d", MaxList)
		return nil, "", false
	}
	return list.AppendMutable().Message(), fmt.Sprintf("%s[%d]", name, list.Len()-1), true
}

// scalars checks what has just been read into a field of m; before is how many
// elements the list already had.
func (r *reader) scalars(m protoreflect.Message, f protoreflect.FieldDescriptor, name string, before int) {
	if !f.IsList() {
		if !finite(m.Get(f), f) {
			r.fault(name, "%v is no number to work with", m.Get(f).Float())
			m.Clear(f)
		}
		return
	}
	list := m.Mutable(f).List()
	if list.Len() > MaxList {
		r.fault(name, "more than %d", MaxList)
		list.Truncate(MaxList)
	}
	for i := before; i < list.Len(); i++ {
		if !finite(list.Get(i), f) {
			r.fault(fmt.Sprintf("%s[%d]", name, i), "%v is no number to work with", list.Get(i).Float())
		}
	}
}

func finite(v protoreflect.Value, f protoreflect.FieldDescriptor) bool {
	if k := f.Kind(); k != protoreflect.DoubleKind && k != protoreflect.FloatKind {
		return true
	}
	return !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
}

// json reads one JSON object field by field: the library's own reader, told to
// pass over fields that it does not know, passes over enum values too, and
// names no field when an object or a list is expected.
func (r *reader) json(b []byte, m protoreflect.Message, path string) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		r.fault(whole(path), "is no JSON object")
		return
	}
	seen := map[protoreflect.FieldNumber]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			r.fault(whole(path), "is no JSON: %v", err)
			return
		}
		key, _ := t.(string) // what else stood here would have been an error
		f := m.Descriptor().Fields().ByJSONName(key)
		if f == nil {
			f = m.Descriptor().Fields().ByName(protoreflect.Name(key))
		}
		name := fmt.Sprintf("%s%.60q", path, key)
		if f != nil {
			name = path + string(f.Name())
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			r.fault(name, "is no JSON: %v", err)
			return
		}
		switch {
		case f == nil: // of a later version
		case seen[f.Number()]:
			r.fault(name, "is there twice")
		default:
			seen[f.Number()] = true
			r.jsonField(value, m, f, name)
		}
	}
	if _, err := d.Token(); err != nil {
		r.fault(whole(path), "is no JSON: %v", err)
	} else if d.InputOffset() < int64(len(bytes.TrimRight(b, " \t\r\n"))) {
		r.fault(whole(path), "is followed by something else")
	}
}

func (r *reader) jsonField(value json.RawMessage, m protoreflect.Message, f protoreflect.FieldDescriptor, name string) {
	switch {
	case string(value) == "null": // unset
	case f.Message() == nil:
		// The rules for scalars are the library's; it gets one field at a time.
		one := m.New()
		object := fmt.Appendf(nil, "{%q:%s}", f.JSONName(), value)
		if err := protojson.Unmarshal(object, one.Interface()); err != nil {
			r.fault(name, "%s", misfit(value, f))
			return
		}
		m.Set(f, one.Get(f))
		r.scalars(m, f, name, 0)
	case !f.IsList():
		r.json(value, m.Mutable(f).Message(), name+".")
	default:
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			r.fault(name, "is no list")
			return
		}
		for _, element := range elements {
			child, name, ok := r.child(m, f, name)
			if !ok {
				return
			}
			r.json(element, child, name+".")
		}
	}
}

// misfit says what is wrong with a value. Only an enum's is told: others may
// hold an address with a password, and dead letters and logs are read.
func misfit(value json.RawMessage, f protoreflect.FieldDescriptor) string {
	if f.Enum() != nil && !f.IsList() {
		return fmt.Sprintf("%.60s is none of its values", value)
	}
	if f.IsList() {
		return fmt.Sprintf("is no list of %s", f.Kind())
	}
	return fmt.Sprintf("is no %s", f.Kind())
}
