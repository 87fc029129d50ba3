package passage

import (
	"context"
	"fmt"
	"strconv"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Runner runs texts through a hashed-words model: ids i64[batch, n] and
// weights f32[batch, n] to embedding f32[batch, width] of unit length.
type Runner struct {
	session string
	width   int
}

var _ models.Runner[words.Features, []float32] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-words.
func NewRunner(m *models.Model) (*Runner, error) {
	if _, err := words.TableRows(m, "passages"); err != nil {
		return nil, err
	}
	f := &m.Manifest
	if len(f.Outputs) == 1 && len(f.Outputs[0].Shape) == 2 {
		if width, err := strconv.Atoi(f.Outputs[0].Shape[1]); err == nil {
			return &Runner{f.Sessions[0], width}, nil
		}
	}
	return nil, fmt.Errorf("passage: model %s: outputs: want one of shape [batch, width], width a number", f.Ref())
}

// Cost is the text's padded number of features.
func (*Runner) Cost(f words.Features) float64 {
	return float64(words.Bucket(len(f.Rows)))
}

// Length is the text's own number of features.
func (*Runner) Length(f words.Features) float64 { return float64(len(f.Rows)) }

// Bucket is the same number: texts of one padded length share a batch.
func (*Runner) Bucket(f words.Features) int { return words.Bucket(len(f.Rows)) }

// Run gives each text's embedding.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []words.Features) ([][]float32, error) {
	ids, weights := words.Tensors(batch)
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{"ids": ids, "weights": weights})
	if err != nil {
		return nil, fmt.Errorf("passage: %w", err)
	}
	v, shape, err := models.Floats(out, "embedding")
	if err != nil {
		return nil, fmt.Errorf("passage: %w", err)
	}
	if len(v) != max(2, len(batch))*r.width {
		return nil, fmt.Errorf("passage: output \"embedding\" has shape %v for %d texts of %d values", shape, len(batch), r.width)
	}
	vectors := make([][]float32, len(batch))
	for i := range vectors {
		vectors[i] = append([]float32(nil), v[i*r.width:(i+1)*r.width]...)
	}
	return vectors, nil
}
