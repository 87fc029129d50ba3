package keyword

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Runner asks a model how much words tell: ids i64[batch, n], rows of the
// model's table, to weight f32[batch, n] in [0, 1].
type Runner struct{ session string }

var _ models.Runner[[]int64, []float32] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-words.
func NewRunner(m *models.Model) (*Runner, error) {
	if _, err := words.TableRows(m, "keywords"); err != nil {
		return nil, err
	}
	return &Runner{m.Manifest.Sessions[0]}, nil
}

// Cost is the padded number of words.
func (*Runner) Cost(rows []int64) float64 { return float64(words.Bucket(len(rows))) }

// Length is the number of words.
func (*Runner) Length(rows []int64) float64 { return float64(len(rows)) }

// Bucket is the same number.
func (*Runner) Bucket(rows []int64) int { return words.Bucket(len(rows)) }

// Run gives the weight of each item's words.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch [][]int64) ([][]float32, error) {
	n := 0
	for _, rows := range batch {
		n = max(n, words.Bucket(len(rows)))
	}
	ids := make([]int64, max(2, len(batch))*n)
	for i, rows := range batch {
		copy(ids[i*n:], rows)
	}
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{
		"ids": models.NewTensor(ids, int64(len(ids)/n), int64(n)),
	})
	if err != nil {
		return nil, fmt.Errorf("keyword: %w", err)
	}
	w, shape, err := models.Floats(out, "weight")
	if err != nil {
		return nil, fmt.Errorf("keyword: %w", err)
	}
	if len(w) != len(ids) {
		return nil, fmt.Errorf("keyword: output \"weight\" has shape %v for %d words", shape, len(ids))
	}
	weights := make([][]float32, len(batch))
	for i, rows := range batch {
		weights[i] = append([]float32(nil), w[i*n:][:len(rows)]...)
	}
	return weights, nil
}
