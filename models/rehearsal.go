package models

import (
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
)

// Rehearsal is what VerifyRunner found out about a model and its runner.
type Rehearsal struct {
	Items    int      // that were run
	Batches  []int    // sizes that were compared
	Refilled int      // items that joined a batch under way, in the place of one that was done
	Faults   []string // empty: the model keeps all it promises
}

// rehearsedItems bounds the items of a rehearsal.
const rehearsedItems = 8

// RunBatch runs a batch as the scheduler does: a model with batch.fixed always
// has max_items, the last repeated.
func RunBatch[In, Out any](ctx context.Context, m *Model, r Runner[In, Out], sessions Sessions, batch []In) ([]Out, error) {
	n := len(batch)
	batch = slices.Clip(batch)
	for m.Manifest.Batch.Fixed && len(batch) < m.Manifest.Batch.MaxItems {
		batch = append(batch, batch[n-1])
	}
	out, err := r.Run(ctx, sessions, batch)
	if err == nil && len(out) != len(batch) {
		err = fmt.Errorf("it gave %d outputs", len(out))
	}
	if err != nil {
		return nil, fmt.Errorf("models: run a batch of %d of %s: %w", n, m.Manifest.Ref(), err)
	}
	return out[:n], nil
}

// VerifyRunner runs items of a model through its runner as the scheduler does:
// each alone, then in batches of 2, 3, 4 and 8 (as far as batch.max_items
// allows) with items of its bucket; where the runner is a Refiller, in batches
// of 2 and 3, then in all places of a full batch, as items that come while
// others run and take the places of those that are done.
// It checks that outputs are finite and that an item's output is the same bits
// in each. The error is about running them at all.
func VerifyRunner[In, Out any](ctx context.Context, m *Model, r Runner[In, Out], sessions Sessions, items []In) (Rehearsal, error) {
	var v Rehearsal
	if len(items) == 0 {
		v.fault("the task gave the model nothing to do on the fixed input")
		return v, nil
	}
	items = items[:min(len(items), rehearsedItems)]
	v.Items = len(items)
	alone := make([]Out, len(items))
	buckets := map[int][]int{}
	for i, item := range items {
		if cost := r.Cost(item); !(cost >= 0) || math.IsInf(cost, 0) {
			v.fault("the cost of item %d is %v", i, cost)
		}
		out, err := RunBatch(ctx, m, r, sessions, []In{item})
		if err != nil {
			return v, err
		}
		alone[i] = out[0]
		if at := notFinite(reflect.ValueOf(out[0])); at != "" {
			v.fault("the output of item %d has a value that is not finite (%s)", i, at)
		}
		buckets[r.Bucket(item)] = append(buckets[r.Bucket(item)], i)
	}
	refiller, refills := r.(Refiller[In, Out])
	refills = refills && !m.Manifest.Batch.Fixed
	sizes := []int{2, 3, 4, 8}
	if refills {
		sizes = sizes[:2] // it runs in all its places below
	}
	for _, n := range sizes {
		if n > m.Manifest.Batch.MaxItems || len(v.Faults) > 0 {
			break
		}
		v.Batches = append(v.Batches, n)
		for _, bucket := range slices.Sorted(maps.Keys(buckets)) {
			members := buckets[bucket]
			batch, which := make([]In, n), make([]int, n)
			for place := range batch {
				which[place] = members[(n+place)%len(members)]
				batch[place] = items[which[place]]
			}
			out, err := RunBatch(ctx, m, r, sessions, batch)
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
	if !refills {
		return v, nil
	}
	for _, bucket := range slices.Sorted(maps.Keys(buckets)) {
		if len(v.Faults) > 0 {
			break
		}
		f := newFitfulFeed[In, Out](m.Manifest.Batch.MaxItems, items, buckets[bucket])
		if err := f.drain(ctx, refiller, sessions); err != nil {
			return v, fmt.Errorf("models: refill a batch of %s: %w", m.Manifest.Ref(), err)
		}
		v.Refilled += f.joined
		for turn, out := range f.outputs {
			if i := f.order[turn]; !sameBits(reflect.ValueOf(out), reflect.ValueOf(alone[i])) {
				v.fault("an item's output depends on what ran in its place before, or beside it: item %d, given %d of %d", i, turn+1, len(f.order))
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
