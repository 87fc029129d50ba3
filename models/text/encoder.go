// Package text runs the models that read text through a tokenizer: BERT,
// MiniLM and their kin. An encoder makes one vector of each text (its tokens'
// mean, of unit length), whose inner product with another's says how much the
// two mean the same; a classifier's graph gives its labels' logits.
package text

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
)

// inFlight bounds the texts of one caller that wait in the queue.
const inFlight = 64

// Encoder embeds texts. It is safe for concurrent use.
type Encoder struct {
	model  *models.Model
	queue  models.Queue[Item, []float32]
	reader *Reader
}

// readParams reads a model of task passages.
func readParams(m *models.Model) (Params, error) {
	var p struct {
		Text Params `yaml:"text"`
	}
	f := &m.Manifest
	if err := models.DecodeParams(m, &p); err != nil {
		return p.Text, err
	}
	if f.Task != "passages" || f.Family != "sentence-encoder" || p.Text.Pooling == None {
		return p.Text, fmt.Errorf("text: %s: task %q, family %q, pooling %q: want passages, sentence-encoder, and mean or first", f.Ref(), f.Task, f.Family, p.Text.Pooling)
	}
	return p.Text, nil
}

// NewRunner makes a runner for a model of task passages, family
// sentence-encoder.
func NewRunner(m *models.Model) (*Runner, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return OpenRunner(m, p)
}

// New makes an encoder of a model of task passages, family sentence-encoder,
// and the queue that runs it.
func New(m *models.Model, q models.Queue[Item, []float32]) (*Encoder, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(m, p)
	if err != nil {
		return nil, err
	}
	return &Encoder{m, q, r}, nil
}

// Encode gives each text's embedding, in order; a text that is too long counts
// as far as the model reads. Errors are the queue's.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([][]float32, models.Usage, error) {
	items := make([]Item, len(texts))
	for i, t := range texts {
		items[i] = e.reader.Item(t)
	}
	vectors, usage, err := models.Map(ctx, e.queue, inFlight, items)
	usage.Model = e.model.Manifest.Ref()
	if err != nil {
		return nil, usage, fmt.Errorf("text: %s: %w", usage.Model, err)
	}
	return vectors, usage, nil
}
