package models

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// Rehearsal is what VerifyRunner found out about a model and its runner.
type Rehearsal struct {
	Items   int      // that were run
	Batches []int    // sizes that were compared
	Faults  []string // empty: the model keeps all it promises
}

// rehearsedItems bounds the items of a rehearsal.
const rehearsedItems = 8

// VerifyRunner runs items of a model through its runner, each alone and then in
// batches of 2, 3, 4 and 8 (as far as batch.max_items allows) with items of its
// bucket, and checks that outputs are finite and that an item's output is the
// same bits in each. The error is about running them at all.
func VerifyRunner[In, Out any](ctx context.Context, m *Model, r Runner[In, Out], sessions Sessions, items []In) (Rehearsal, error) {
	var v Rehearsal
	if len(items) == 0 {
		v.fault("the task gave the model nothing to do on the fixed input")
		return v, nil
	}
	items = items[:min(len(items), rehearsedItems)]
	v.Items = len(items)
	run := func(batch []In) ([]Out, error) {
		n := len(batch)
		for m.Manifest.Batch.Fixed && len(batch) < m.Manifest.Batch.MaxItems {
			batch = append(batch, batch[n-1])
		}
		out, err := r.Run(ctx, sessions, batch)
		if err == nil && len(out) != len(batch) {
			err = fmt.Errorf("it gave %d outputs", len(out))
		}
		if err != nil {
			return nil, fmt.Errorf("models: rehearse %s: run a batch of %d: %w", m.Manifest.Ref(), n, err)
		}
		return out[:n], nil
	}
	alone := make([]Out, len(items))
	buckets := map[int][]int{}
	for i, item := range items {
		out, err := run([]In{item})
		if err != nil {
			return v, err
		}
		alone[i] = out[0]
		if at := notFinite(reflect.ValueOf(out[0])); at != "" {
			v.fault("the output of item %d has a value that is not finite (%s)", i, at)
		}
		buckets[r.Bucket(item)] = append(buckets[r.Bucket(item)], i)
	}
	for _, n := range []int{2, 3, 4, 8} {
		if n > m.Manifest.Batch.MaxItems || len(v.Faults) > 0 {
			break
		}
		v.Batches = append(v.Batches, n)
		for _, members := range buckets {
			batch, which := make([]In, n), make([]int, n)
			for place := range batch {
				which[place] = members[(n+place)%len(members)]
				batch[place] = items[which[place]]
			}
			out, err := run(batch)
			if err != nil {
				return v, err
			}
			for place, i := range which {
				if !sameBits(reflect.ValueOf(out[place]), reflect.ValueOf(alone[i])) {
					v.fault("an item's output depends on its batch: item %d at place %d of %d", i, place, n)
				}
			}
		}
	}
	return v, nil
}

func (v *Rehearsal) fault(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(v.Faults, text) {
		v.Faults = append(v.Faults, text)
	}
}

// sameBits compares two values of one type, their numbers as bits.
func sameBits(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameBits(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameBits(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && sameBits(a.Elem(), b.Elem())
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for i := a.MapRange(); i.Next(); {
			if other := b.MapIndex(i.Key()); !other.IsValid() || !sameBits(i.Value(), other) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}

// notFinite finds a number that is not finite in a value, and says where. A
// field of a struct may be NaN by itself: that the model does not tell it.
func notFinite(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Sprint(x)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if at := notFinite(v.Index(i)); at != "" {
				return fmt.Sprintf("[%d] %s", i, at)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if f.CanFloat() && math.IsNaN(f.Float()) {
				continue
			}
			if at := notFinite(f); at != "" {
				return v.Type().Field(i).Name + " " + at
			}
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return notFinite(v.Elem())
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			if at := notFinite(i.Value()); at != "" {
				return fmt.Sprintf("[%v] %s", i.Key(), at)
			}
		}
	}
	return ""
}
