// Package ads finds the advertisements in a transcript: a model scores each
// segment with the words around it, the scores are smoothed over the episode,
// and what is taken for advertisement is joined to spans, jingles included.
package ads

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Window is a segment's words as features of the model's table, those before
// and after it, and the words that it opens with.
type Window struct{ Inner, Before, After, Opening words.Features }

func (w Window) parts() [4]words.Features {
	return [4]words.Features{w.Inner, w.Before, w.After, w.Opening}
}

// inputs name the tensors of a Window's parts: NAMEids and NAMEweights.
var inputs = [4]string{"", "before_", "after_", "opening_"}

// Score is what a model makes of a segment, as log-odds.
type Score struct {
	Ad     float32 // that it is advertisement
	Change float32 // that advertisement begins or ends with its first word
}

// params are the manifest's parameters.
type params struct {
	Rows         int `yaml:"rows"`          // of the model's table
	ContextWords int `yaml:"context_words"` // before the segment, and after it

	// Log potentials of the chain over the segments.
	First float64 `yaml:"first"`
	Begin float64 `yaml:"begin"`
	End   float64 `yaml:"end"`
}

func readParams(m *models.Model) (params, error) {
	var p params
	f := &m.Manifest
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	switch {
	case f.Task != "ads" || f.Family != "hashed-chain":
		return p, fmt.Errorf("ads: model %s: task %q, family %q: want ads, hashed-chain", f.Ref(), f.Task, f.Family)
	case p.Rows < 2 || p.ContextWords < 0:
		return p, fmt.Errorf("ads: model %s: parameters: want rows > 1 and context_words ≥ 0", f.Ref())
	case len(f.Sessions) != 1 || len(f.Labels) != 1:
		return p, fmt.Errorf("ads: model %s: want one session and one label", f.Ref())
	}
	return p, nil
}

// Runner runs windows through a hashed-chain model: ids i64[batch, n] and
// weights f32[batch, n] of each part to scores f32[batch, 2].
type Runner struct{ session string }

var _ models.Runner[Window, Score] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-chain.
func NewRunner(m *models.Model) (*Runner, error) {
	if _, err := readParams(m); err != nil {
		return nil, err
	}
	return &Runner{m.Manifest.Sessions[0]}, nil
}

// padded are the lengths that a window's parts are padded to. What is before and
// what is after share one, that of the longer: within an episode they are about
// as long, and each pair of lengths would be a bucket of its own.
func (w Window) padded() [4]int {
	context := words.Bucket(max(len(w.Before.Rows), len(w.After.Rows)))
	return [4]int{words.Bucket(len(w.Inner.Rows)), context, context, words.Bucket(len(w.Opening.Rows))}
}

// Cost is the window's padded number of features.
func (*Runner) Cost(w Window) float64 {
	n := 0
	for _, length := range w.padded() {
		n += length
	}
	return float64(n)
}

// Length is the window's own number of features.
func (*Runner) Length(w Window) float64 {
	n := 0
	for _, part := range w.parts() {
		n += len(part.Rows)
	}
	return float64(n)
}

// Bucket groups windows whose parts have the same padded lengths.
func (*Runner) Bucket(w Window) int {
	b := 0
	for _, length := range w.padded() {
		b = b<<16 | length
	}
	return b
}

// Run scores each window.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Score, error) {
	lengths := [4]int{}
	for _, w := range batch {
		for k, n := range w.padded() {
			lengths[k] = max(lengths[k], n)
		}
	}
	tensors := map[string]models.Tensor{}
	for k, name := range inputs {
		part := make([]words.Features, len(batch))
		for i, w := range batch {
			part[i] = w.parts()[k]
		}
		tensors[name+"ids"], tensors[name+"weights"] = words.Padded(part, lengths[k])
	}
	out, err := sessions[r.session].Run(ctx, tensors)
	if err != nil {
		return nil, fmt.Errorf("ads: %w", err)
	}
	s, shape, err := models.Floats(out, "scores")
	if err != nil {
		return nil, fmt.Errorf("ads: %w", err)
	}
	if len(s) != 2*max(2, len(batch)) {
		return nil, fmt.Errorf("ads: output \"scores\" has shape %v for %d windows", shape, len(batch))
	}
	scores := make([]Score, len(batch))
	for i := range scores {
		scores[i] = Score{s[2*i], s[2*i+1]}
	}
	return scores, nil
}
