package words

import "github.com/earshot-fm/earshot/models"

// Tensors puts a batch into ids i64[batch, n] and weights f32[batch, n], n
// being the longest item's Bucket. A lone item is followed by an empty one:
// engines take another path for a batch of one, with other rounding.
func Tensors(batch []Features) (ids, weights models.Tensor) {
	n := 0
	for _, f := range batch {
		n = max(n, Bucket(len(f.Rows)))
	}
	return Padded(batch, n)
}

// Padded is Tensors for a length that is given: no item is longer.
func Padded(batch []Features, n int) (ids, weights models.Tensor) {
	b := max(2, len(batch))
	rows, w := make([]int64, b*n), make([]float32, b*n)
	for i, f := range batch {
		copy(rows[i*n:], f.Rows)
		copy(w[i*n:], f.Weights)
	}
	return models.NewTensor(rows, int64(b), int64(n)), models.NewTensor(w, int64(b), int64(n))
}
