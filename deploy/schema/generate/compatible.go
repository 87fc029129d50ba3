package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// files are descriptors by the files' names.
type files = map[string]protoreflect.FileDescriptor

// api is the folder of the files that are no Pub/Sub schemas.
const api = "earshot/api/"

// unfit says what of the files a Pub/Sub schema cannot be, or what would bind
// later versions: a schema is one top-level message and imports nothing; only
// optional fields can be added to it or removed, so that each field says whether
// it is set; maps cannot be exported to BigQuery. The API's messages are held to
// what binds alone.
func unfit(now files) (faults []string) {
	for _, name := range sorted(now) {
		f := now[name]
		if f.Syntax() != protoreflect.Proto3 {
			faults = append(faults, name+": not proto3")
		}
		schema := !strings.HasPrefix(name, api)
		if schema && f.Imports().Len() > 0 {
			faults = append(faults, name+": imports "+f.Imports().Get(0).Path()+"; a Pub/Sub schema is one file")
		}
		if schema && (f.Messages().Len() != 1 || f.Enums().Len() != 0 || f.Services().Len() != 0 || f.Extensions().Len() != 0) {
			faults = append(faults, name+": a Pub/Sub schema has one top-level message and nothing beside it; nest the rest")
		}
		for _, m := range messages(f.Messages()) {
			for i := range m.Fields().Len() {
				d := m.Fields().Get(i)
				if d.IsMap() {
					faults = append(faults, string(d.FullName())+": is a map")
				} else if !d.IsList() && !d.HasOptionalKeyword() {
					faults = append(faults, string(d.FullName())+": is not optional")
				}
			}
		}
	}
	return faults
}

// broken says what in now breaks a released version, by the stricter of
// Protobuf's rules (a number keeps its field, in binary and, by its name, in
// JSON) and Pub/Sub's (no field is edited, only optional ones are added). That
// a field goes is refused although both allow it: whoever reads it would be
// told nothing. A new list goes into a message of its own.
func broken(old, now files) (faults []string) {
	fault := func(d protoreflect.Descriptor, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s: %s", d.FullName(), fmt.Sprintf(format, args...)))
	}
	for _, name := range sorted(old) {
		was, is := old[name], now[name]
		if is == nil {
			faults = append(faults, name+": removed")
			continue
		}
		if was.Package() != is.Package() || was.Syntax() != is.Syntax() {
			faults = append(faults, name+": its package or its syntax changed")
			continue
		}
		after := byName(messages(is.Messages()))
		for _, m := range messages(was.Messages()) {
			if n, ok := after[m.FullName()]; ok {
				compareFields(m, n, fault)
			} else {
				fault(m, "removed")
			}
		}
		calls := byName(methods(is))
		for _, m := range methods(was) {
			if n, ok := calls[m.FullName()]; !ok {
				fault(m, "removed, or renamed")
			} else if signature(m) != signature(n) {
				fault(m, "was %s, is %s", signature(m), signature(n))
			}
		}
		values := byName(enums(is))
		for _, e := range enums(was) {
			if n, ok := values[e.FullName()]; ok {
				compareValues(e, n, fault)
			} else {
				fault(e, "removed")
			}
		}
	}
	return faults
}

type report func(d protoreflect.Descriptor, format string, args ...any)

func compareFields(was, is protoreflect.MessageDescriptor, fault report) {
	for i := range was.Fields().Len() {
		a := was.Fields().Get(i)
		b := is.Fields().ByNumber(a.Number())
		if moved := is.Fields().ByName(a.Name()); moved != nil && moved != b {
			fault(a, "renumbered from %d to %d", a.Number(), moved.Number())
			continue
		}
		switch {
		case b == nil:
			fault(a, "removed")
		case a.Name() != b.Name() || a.JSONName() != b.JSONName():
			fault(a, "renamed to %s (%s in JSON)", b.Name(), b.JSONName())
		case typeOf(a) != typeOf(b):
			fault(a, "was %s, is %s", typeOf(a), typeOf(b))
		}
	}
	for i := range is.Fields().Len() {
		b := is.Fields().Get(i)
		if was.Fields().ByNumber(b.Number()) != nil || was.Fields().ByName(b.Name()) != nil {
			continue
		}
		if !b.HasOptionalKeyword() {
			fault(b, "new, and not optional")
		}
		if was.ReservedRanges().Has(b.Number()) || was.ReservedNames().Has(b.Name()) {
			fault(b, "its number or name is reserved")
		}
	}
	var before, after [][2]int32
	for i := range was.ReservedRanges().Len() {
		r := was.ReservedRanges().Get(i)
		before = append(before, [2]int32{int32(r[0]), int32(r[1])})
	}
	for i := range is.ReservedRanges().Len() {
		r := is.ReservedRanges().Get(i)
		after = append(after, [2]int32{int32(r[0]), int32(r[1])})
	}
	stillReserved(is, before, after, was.ReservedNames(), is.ReservedNames(), fault)
}

// stillReserved reports numbers, in half-open ranges, and names that were
// reserved and are not any more.
func stillReserved(d protoreflect.Descriptor, before, after [][2]int32, names, now protoreflect.Names, fault report) {
	for _, r := range before {
		for n := r[0]; n < r[1]; {
			i := slices.IndexFunc(after, func(a [2]int32) bool { return a[0] <= n && n < a[1] })
			if i < 0 {
				fault(d, "%d is no longer reserved", n)
				break
			}
			n = after[i][1]
		}
	}
	for i := range names.Len() {
		if n := names.Get(i); !now.Has(n) {
			fault(d, "%q is no longer reserved", n)
		}
	}
}

// typeOf is all of a field's type that matters to whoever reads it.
func typeOf(f protoreflect.FieldDescriptor) string {
	t := f.Cardinality().String() + " " + f.Kind().String()
	switch {
	case f.Message() != nil:
		t += " " + string(f.Message().FullName())
	case f.Enum() != nil:
		t += " " + string(f.Enum().FullName())
	}
	if f.HasPresence() {
		t += ", set or not"
	}
	if f.IsPacked() {
		t += ", packed"
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		t += ", of " + string(o.Name())
	}
	return t
}

func compareValues(was, is protoreflect.EnumDescriptor, fault report) {
	for i := range was.Values().Len() {
		a := was.Values().Get(i)
		switch b := is.Values().ByName(a.Name()); {
		case b == nil:
			fault(a, "removed, or renamed")
		case a.Number() != b.Number():
			fault(a, "renumbered from %d to %d", a.Number(), b.Number())
		}
	}
	for i := range is.Values().Len() {
		b := is.Values().Get(i)
		if was.ReservedRanges().Has(b.Number()) || was.ReservedNames().Has(b.Name()) {
			fault(b, "its number or name is reserved")
		}
	}
	stillReserved(is, halfOpen(was.ReservedRanges()), halfOpen(is.ReservedRanges()), was.ReservedNames(), is.ReservedNames(), fault)
}

// halfOpen converts an enum's ranges, whose ends are inclusive.
func halfOpen(ranges protoreflect.EnumRanges) (all [][2]int32) {
	for i := range ranges.Len() {
		r := ranges.Get(i)
		all = append(all, [2]int32{int32(r[0]), int32(min(r[1], math.MaxInt32-1)) + 1})
	}
	return all
}

// messages lists the messages with all that are nested in them.
func messages(in protoreflect.MessageDescriptors) (all []protoreflect.MessageDescriptor) {
	for i := range in.Len() {
		all = append(all, in.Get(i))
		all = append(all, messages(in.Get(i).Messages())...)
	}
	return all
}

// enums lists the file's enums, wherever they are nested.
func enums(f protoreflect.FileDescriptor) (all []protoreflect.EnumDescriptor) {
	add := func(in protoreflect.EnumDescriptors) {
		for i := range in.Len() {
			all = append(all, in.Get(i))
		}
	}
	add(f.Enums())
	for _, m := range messages(f.Messages()) {
		add(m.Enums())
	}
	return all
}

// methods lists what the file's services can be asked.
func methods(f protoreflect.FileDescriptor) (all []protoreflect.MethodDescriptor) {
	for i := range f.Services().Len() {
		of := f.Services().Get(i).Methods()
		for j := range of.Len() {
			all = append(all, of.Get(j))
		}
	}
	return all
}

// signature is all of a method that matters to whoever calls it.
func signature(m protoreflect.MethodDescriptor) string {
	side := func(d protoreflect.MessageDescriptor, stream bool) string {
		if stream {
			return "stream " + string(d.FullName())
		}
		return string(d.FullName())
	}
	level := m.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel()
	return fmt.Sprintf("%s to %s, %s", side(m.Input(), m.IsStreamingClient()), side(m.Output(), m.IsStreamingServer()), level)
}

func byName[D protoreflect.Descriptor](all []D) map[protoreflect.FullName]D {
	m := make(map[protoreflect.FullName]D, len(all))
	for _, d := range all {
		m[d.FullName()] = d
	}
	return m
}

func sorted(f files) []string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
