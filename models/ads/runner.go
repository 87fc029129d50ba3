// Package ads finds the advertisements in a transcript: a model judges each
// segment with the words next to it, and what it takes for advertisement is
// joined to spans, jingles included.
package ads

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Window is one segment's words as features of the model's table, and those of
// the words next to it.
type Window struct{ Inner, Near words.Features }

// params are the manifest's parameters.
type params struct {
	Rows         int `yaml:"rows"`          // of the model's table
	ContextWords int `yaml:"context_words"` // of the segment before, and of the one after
}

func readParams(m *models.Model) (params, error) {
	var p params
	f := &m.Manifest
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	switch {
	case f.Task != "ads" || f.Family != "hashed-window":
		return p, fmt.Errorf("ads: model %s: task %q, family %q: want ads, hashed-window", f.Ref(), f.Task, f.Family)
	case p.Rows < 2 || p.ContextWords < 0:
		return p, fmt.Errorf("ads: model %s: parameters: want rows > 1 and context_words ≥ 0", f.Ref())
	case len(f.Sessions) != 1 || len(f.Labels) != 1:
		return p, fmt.Errorf("ads: model %s: want one session and one label", f.Ref())
	}
	return p, nil
}

// Runner runs windows through a hashed-window model: ids i64[batch, n] and
// weights f32[batch, n], near_ids and near_weights likewise, to probability
// f32[batch, 1].
type Runner struct{ session string }

var _ models.Runner[Window, float32] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-window.
func NewRunner(m *models.Model) (*Runner, error) {
	if _, err := readParams(m); err != nil {
		return nil, err
	}
	return &Runner{m.Manifest.Sessions[0]}, nil
}

// Cost is the window's padded number of features.
func (*Runner) Cost(w Window) float64 {
	return float64(words.Bucket(len(w.Inner.Rows)) + words.Bucket(len(w.Near.Rows)))
}

// Bucket groups windows whose two tables have the same padded lengths.
func (*Runner) Bucket(w Window) int {
	return words.Bucket(len(w.Inner.Rows))<<16 | words.Bucket(len(w.Near.Rows))
}

// Run gives each window's probability to be advertisement, [0, 1].
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]float32, error) {
	inner, near := make([]words.Features, len(batch)), make([]words.Features, len(batch))
	for i, w := range batch {
		inner[i], near[i] = w.Inner, w.Near
	}
	ids, weights := words.Tensors(inner)
	nearIDs, nearWeights := words.Tensors(near)
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{
		"ids": ids, "weights": weights, "near_ids": nearIDs, "near_weights": nearWeights,
	})
	if err != nil {
		return nil, fmt.Errorf("ads: %w", err)
	}
	p, shape, err := models.Floats(out, "probability")
	if err != nil {
		return nil, fmt.Errorf("ads: %w", err)
	}
	if len(p) != max(2, len(batch)) {
		return nil, fmt.Errorf("ads: output \"probability\" has shape %v for %d windows", shape, len(batch))
	}
	return p[:len(batch):len(batch)], nil
}
