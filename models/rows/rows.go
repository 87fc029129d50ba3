// Package rows runs items of one size as the rows of one tensor: what every
// model does that takes a fixed window and answers with a row for it.
package rows

import (
	"context"
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/models"
)

// Answers are a graph's outputs for a batch of items.
type Answers struct {
	tensors     map[string]models.Tensor
	items, rows int
}

// Run takes items through a graph of one input, [items, shape...], in at least
// so many rows (models.Batch.Least): those without an item are copies of the
// last. Its errors are the session's, a batch without items, and an item of another size
// than the shape's.
func Run(ctx context.Context, s models.Session, input string, least int, items [][]float32, shape ...int64) (Answers, error) {
	if len(items) == 0 {
		return Answers{}, errors.New("a batch without items")
	}
	size := int64(1)
	for _, d := range shape {
		size *= d
	}
	rows := max(least, len(items))
	in := make([]float32, 0, int64(rows)*size)
	for i := range rows {
		item := items[min(i, len(items)-1)]
		if int64(len(item)) != size {
			return Answers{}, fmt.Errorf("an item of %d values, want %v", len(item), shape)
		}
		in = append(in, item...)
	}
	tensors, err := s.Run(ctx, map[string]models.Tensor{
		input: models.NewTensor(in, append([]int64{int64(rows)}, shape...)...),
	})
	return Answers{tensors: tensors, items: len(items), rows: rows}, err
}

// Of gives each item its row of an output, and the row's shape. An output of
// one row only, where there are more items, is an error, as is what models.Floats
// refuses.
func (a Answers) Of(output string) (each [][]float32, shape []int64, err error) {
	values, shape, err := models.Floats(a.tensors, output)
	if err != nil {
		return nil, nil, err
	}
	if len(shape) == 0 || shape[0] != int64(a.rows) {
		return nil, nil, fmt.Errorf("output %q has shape %v for %d items: its first dimension must be the batch", output, shape, a.rows)
	}
	size := len(values) / a.rows
	each = make([][]float32, a.items)
	for i := range each {
		each[i] = values[i*size : (i+1)*size : (i+1)*size]
	}
	return each, shape[1:], nil
}
