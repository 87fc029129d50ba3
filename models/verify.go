package models

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Verification is what Verify found out about a model on a device.
type Verification struct {
	Model   string // name@version
	Device  string
	Build   string   // of the engine
	Batches []int    // sizes that were compared
	Faults  []string // empty: the model keeps all it promises
}

// Sizes that Verify gives to dimensions with a name other than "batch".
const verifySize = 160

// Verify runs a model's first session on fixed inputs of its declared shapes
// and checks that the outputs are as declared and finite, and that an item's
// output is the same bits in batches of 2, 3, 4 and 8, at each place, beside
// whatever items. The reference is the item as it runs alone: beside a copy of
// itself, or with batch.alone as one row. A model with batch.fixed is checked in batches
// of max_items alone. The error is about running it at all.
func Verify(ctx context.Context, r Runtime, m *Model, device string) (Verification, error) {
	v := Verification{Model: m.Manifest.Ref(), Device: device, Build: r.Build()}
	session, err := m.Open(ctx, r, m.Manifest.Sessions[0], device)
	if err != nil {
		return v, fmt.Errorf("models: verify %s: %w", v.Model, err)
	}
	err = v.check(ctx, m, session)
	if err := errors.Join(err, session.Close()); err != nil {
		return v, fmt.Errorf("models: verify %s: %w", v.Model, err)
	}
	return v, nil
}

func (v *Verification) check(ctx context.Context, m *Model, session Session) error {
	for _, p := range slices.Concat(m.Manifest.Inputs, m.Manifest.Outputs) {
		if len(p.Shape) == 0 || p.Shape[0] != "batch" {
			v.fault("port %q has no batch axis first: how it runs in batches cannot be checked", p.Name)
			return nil
		}
	}
	sizes := []int{2, 3, 4, 8}
	if m.Manifest.Batch.Alone {
		sizes = []int{1, 2, 3, 4, 8}
	}
	if m.Manifest.Batch.Fixed {
		sizes = []int{m.Manifest.Batch.MaxItems}
	}
	const items = 8
	references := make([]map[string][]byteRow, items)
	for i := range items {
		copies := slices.Repeat([]int{i}, sizes[0])
		rows, err := v.run(ctx, m, session, copies)
		if err != nil {
			return err
		}
		references[i] = rows
	}
	for _, n := range sizes {
		v.Batches = append(v.Batches, n)
		for first := range items {
			batch := make([]int, n)
			for place := range batch {
				batch[place] = (first + 3*place) % items
			}
			rows, err := v.run(ctx, m, session, batch)
			if err != nil {
				return err
			}
			v.compare(references, batch, rows)
		}
		if len(v.Faults) > 0 {
			return nil
		}
	}
	return nil
}

// byteRow is one item's part of an output, as bits.
type byteRow []uint64

func (v *Verification) compare(references []map[string][]byteRow, batch []int, rows map[string][]byteRow) {
	for name, got := range rows {
		for place, i := range batch {
			if !slices.Equal(got[place], references[i][name][0]) {
				v.fault("output %q of an item depends on the batch: item %d at place %d of %d", name, i, place, len(batch))
				return
			}
		}
	}
}

// run takes a batch of numbered items through the session and returns each
// output's rows.
func (v *Verification) run(ctx context.Context, m *Model, session Session, batch []int) (map[string][]byteRow, error) {
	inputs := map[string]Tensor{}
	for _, p := range m.Manifest.Inputs {
		inputs[p.Name] = verifyInput(p, batch)
	}
	out, err := session.Run(ctx, inputs)
	if err != nil {
		return nil, fmt.Errorf("run a batch of %d: %w", len(batch), err)
	}
	rows := map[string][]byteRow{}
	for _, p := range m.Manifest.Outputs {
		t, ok := out[p.Name]
		if !ok {
			return nil, fmt.Errorf("output %q is missing", p.Name)
		}
		if !hasShape(p, t.Shape(), len(batch)) {
			return nil, fmt.Errorf("output %q: a batch of %d gave shape %v, declared %v", p.Name, len(batch), t.Shape(), p.Shape)
		}
		if !allFinite(t) {
			v.fault("output %q has values that are not finite", p.Name)
		}
		bits := bitsOf(t)
		size := len(bits) / len(batch)
		for i := range batch {
			rows[p.Name] = append(rows[p.Name], bits[i*size:(i+1)*size])
		}
	}
	return rows, nil
}

func (v *Verification) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(v.Faults, text) {
		v.Faults = append(v.Faults, text)
	}
}

// verifyInput makes a tensor of a port's shape: for each item of the batch its
// own noise in [-1, 1], or whole numbers 0 and 1.
func verifyInput(p Port, batch []int) Tensor {
	shape := []int64{int64(len(batch))}
	size := 1
	for _, dim := range p.Shape[1:] {
		n, err := strconv.Atoi(dim)
		if err != nil {
			n = verifySize
		}
		shape = append(shape, int64(n))
		size *= n
	}
	bits := make([]uint64, 0, size*len(batch))
	for _, item := range batch {
		state := uint64(item + 1)
		for range size {
			// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
			state += 0x9e3779b97f4a7c15
			z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
			z = (z ^ z>>27) * 0x94d049bb133111eb
			bits = append(bits, z^z>>31)
		}
	}
	switch p.Type {
	case "int64":
		return NewTensor(each(bits, func(b uint64) int64 { return int64(b >> 63) }), shape...)
	case "int32":
		return NewTensor(each(bits, func(b uint64) int32 { return int32(b >> 63) }), shape...)
	case "uint8":
		return NewTensor(each(bits, func(b uint64) uint8 { return uint8(b >> 56) }), shape...)
	case "bool":
		return NewTensor(each(bits, func(b uint64) bool { return b>>63 == 1 }), shape...)
	}
	return NewTensor(each(bits, func(b uint64) float32 { return float32(int64(b)>>40) / (1 << 23) }), shape...)
}

func each[T any](bits []uint64, f func(uint64) T) []T {
	out := make([]T, len(bits))
	for i, b := range bits {
		out[i] = f(b)
	}
	return out
}

// hasShape tells whether a shape is a port's as it is declared, in a batch of a
// size (0: of any).
func hasShape(p Port, got []int64, batch int) bool {
	if len(got) != len(p.Shape) {
		return false
	}
	for i, dim := range p.Shape {
		n, err := strconv.ParseInt(dim, 10, 64)
		if err == nil && n != got[i] || dim == "batch" && batch > 0 && got[i] != int64(batch) {
			return false
		}
	}
	return true
}

// allFinite tells whether a tensor's elements are all finite.
func allFinite(t Tensor) bool {
	d, ok := t.Elements().([]float32)
	return !ok || !slices.ContainsFunc(d, notFiniteFloat)
}

// bitsOf gives a tensor's elements as bits.
func bitsOf(t Tensor) (bits []uint64) {
	switch d := t.Elements().(type) {
	case []float32:
		for _, x := range d {
			bits = append(bits, uint64(math.Float32bits(x)))
		}
	case []int64:
		for _, x := range d {
			bits = append(bits, uint64(x))
		}
	case []int32:
		for _, x := range d {
			bits = append(bits, uint64(x))
		}
	case []uint8:
		for _, x := range d {
			bits = append(bits, uint64(x))
		}
	case []bool:
		for _, x := range d {
			b := uint64(0)
			if x {
				b = 1
			}
			bits = append(bits, b)
		}
	}
	return bits
}
