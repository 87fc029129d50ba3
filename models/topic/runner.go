package topic

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Window is a stretch of text as features of the model's table.
type Window = words.Features

// Probabilities are one window's, one for each of the manifest's labels.
type Probabilities []float32

// params are the manifest's parameters.
type params struct {
	Taxonomy    string `yaml:"taxonomy"`
	Rows        int    `yaml:"rows"`         // of the model's table
	WindowWords int    `yaml:"window_words"` // of a transcript, in one item
	MaxTopics   int    `yaml:"max_topics"`   // of an episode
}

func readParams(m *models.Model) (params, error) {
	var p params
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	if m.Manifest.Task != "topics" || m.Manifest.Family != "hashed-words" {
		return p, fmt.Errorf("topic: %s: task %q, family %q: want topics, hashed-words", m.Manifest.Ref(), m.Manifest.Task, m.Manifest.Family)
	}
	if p.Taxonomy == "" || p.Rows < 2 || p.WindowWords < 1 || p.MaxTopics < 1 || len(m.Manifest.Labels) == 0 {
		return p, fmt.Errorf("topic: %s: want parameters taxonomy, rows > 1, window_words > 0, max_topics > 0, and labels", m.Manifest.Ref())
	}
	return p, nil
}

// Runner runs windows through a hashed-words model:
// ids i64[batch, n], weights f32[batch, n] -> probabilities f32[batch, labels].
type Runner struct {
	session string
	labels  int
}

var _ models.Runner[Window, Probabilities] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-words.
func NewRunner(m *models.Model) (*Runner, error) {
	if _, err := readParams(m); err != nil {
		return nil, err
	}
	return &Runner{session: m.Manifest.Sessions[0], labels: len(m.Manifest.Labels)}, nil
}

// Cost is the window's padded number of features.
func (r *Runner) Cost(w Window) float64 { return float64(words.Bucket(len(w.Rows))) }

// Length is the window's own number of features.
func (r *Runner) Length(w Window) float64 { return float64(len(w.Rows)) }

// Bucket is the same number: windows of one padded length share a batch.
func (r *Runner) Bucket(w Window) int { return words.Bucket(len(w.Rows)) }

// Run gives each window's probabilities.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Probabilities, error) {
	ids, weights := words.Tensors(batch)
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{"ids": ids, "weights": weights})
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	p, shape, err := models.Floats(out, "probabilities")
	if err != nil {
		return nil, fmt.Errorf("topic: %w", err)
	}
	if len(p) != max(2, len(batch))*r.labels {
		return nil, fmt.Errorf("topic: output \"probabilities\" has shape %v for %d windows of %d labels", shape, len(batch), r.labels)
	}
	found := make([]Probabilities, len(batch))
	for i := range found {
		found[i] = p[i*r.labels : (i+1)*r.labels : (i+1)*r.labels]
	}
	return found, nil
}
