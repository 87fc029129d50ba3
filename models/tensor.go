package models

import "fmt"

// Element lists the types a Tensor holds.
type Element interface {
	float32 | int64 | int32 | uint8 | bool
}

// Tensor is a dense array, row by row. Its elements are shared with the slice
// it was made from: neither side may write to them while a session runs.
type Tensor struct {
	shape []int64
	data  any // []float32, []int64, []int32, []uint8 or []bool
}

// NewTensor makes a tensor of a shape over data. It panics when the shape does
// not hold exactly len(data) elements: that is a mistake in the caller.
func NewTensor[T Element](data []T, shape ...int64) Tensor {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	if n != int64(len(data)) {
		panic(fmt.Sprintf("models: a tensor of shape %v over %d elements", shape, len(data)))
	}
	return Tensor{shape: shape, data: data}
}

// Shape is the tensor's dimensions.
func (t Tensor) Shape() []int64 { return t.shape }

// Elements is the tensor's data as the slice it is; drivers switch on its type.
func (t Tensor) Elements() any { return t.data }

// Elements returns a tensor's data as a slice of T, or an error that names the
// type it has.
func Elements[T Element](t Tensor) ([]T, error) {
	d, ok := t.data.([]T)
	if !ok {
		return nil, fmt.Errorf("models: tensor of shape %v holds %T, not %T", t.shape, t.data, d)
	}
	return d, nil
}
