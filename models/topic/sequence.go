package topic

import (
	"context"
	"fmt"
	"math"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/text"
)

// sequence are the parameters of family sequence-classifier.
type sequence struct {
	Text   text.Params `yaml:"text"`
	Report `yaml:"report"`
	// Activation makes scores of logits: "softmax" where a text has one label,
	// "sigmoid" where it has any number.
	Activation string `yaml:"activation"`
}

func readSequence(m *models.Model) (sequence, error) {
	var p sequence
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	if err := p.check(m, "sequence-classifier"); err != nil {
		return p, err
	}
	if p.Text.Pooling != text.None || p.Activation != "softmax" && p.Activation != "sigmoid" {
		return p, fmt.Errorf("topic: %s: parameters: activation %q, text.pooling %q: want softmax or sigmoid, and none", m.Manifest.Ref(), p.Activation, p.Text.Pooling)
	}
	return p, nil
}

// NewSequenceRunner makes a runner for a model of family sequence-classifier:
// a text model that was trained on the labels.
func NewSequenceRunner(m *models.Model) (*text.Runner, error) {
	p, err := readSequence(m)
	if err != nil {
		return nil, err
	}
	return text.OpenRunner(m, p.Text)
}

// Sequence gives topics by a text model's own labels. It is safe for
// concurrent use.
type Sequence struct {
	model  *models.Model
	queue  models.Queue[text.Item, []float32]
	params sequence
	reader *text.Reader
}

// NewSequence makes a classifier for a model of family sequence-classifier and
// the queue that runs it.
func NewSequence(m *models.Model, q models.Queue[text.Item, []float32]) (*Sequence, error) {
	p, err := readSequence(m)
	if err != nil {
		return nil, err
	}
	r, err := text.NewReader(m, p.Text)
	if err != nil {
		return nil, err
	}
	return &Sequence{m, q, p, r}, nil
}

// Classify returns the topics at or above their threshold, best first. Errors
// are the queue's, and a model of another number of labels.
func (s *Sequence) Classify(ctx context.Context, t Text) ([]episode.Topic, models.Usage, error) {
	logits, usage, err := run(ctx, s.model, s.queue, s.params.items(s.reader, t))
	if err != nil {
		return nil, usage, err
	}
	labels := s.model.Manifest.Labels
	windows := make([][]float64, len(logits))
	for i, row := range logits {
		if len(row) != len(labels) {
			return nil, usage, fmt.Errorf("topic: %s: the model gives %d logits, and the manifest has %d labels", usage.Model, len(row), len(labels))
		}
		windows[i] = s.scores(row)
	}
	return s.params.topics(labels, windows), usage, nil
}

func (s *Sequence) scores(logits []float32) []float64 {
	values := make([]float64, len(logits))
	for i, x := range logits {
		values[i] = float64(x)
	}
	if s.params.Activation == "softmax" {
		return softmax(values, 1)
	}
	for i, x := range values {
		values[i] = 1 / (1 + math.Exp(-x))
	}
	return values
}
