// Package passage gives texts their embeddings: vectors of unit length whose
// inner product says how much two texts are about the same. Chapters are cut
// where neighbouring passages have little in common, and episodes that are
// like one another are found by it.
package passage

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// inFlight bounds the texts of one episode that wait in the queue.
const inFlight = 64

// Encoder embeds texts. It is safe for concurrent use.
type Encoder struct {
	model *models.Model
	queue models.Queue[words.Features, []float32]
	rows  int // of the model's table
}

// New makes an encoder of a model of family hashed-words and the queue that
// runs it.
func New(m *models.Model, q models.Queue[words.Features, []float32]) (*Encoder, error) {
	rows, err := words.TableRows(m, "passages")
	if err != nil {
		return nil, err
	}
	return &Encoder{m, q, rows}, nil
}

// Encode gives each text's embedding, in order. A text of which the model
// knows no word has the zero vector. Errors are the queue's.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([][]float32, models.Usage, error) {
	items := make([]words.Features, len(texts))
	for i, text := range texts {
		items[i] = words.Hash(words.Stems(text), e.rows)
	}
	vectors, usage, err := models.Map(ctx, e.queue, inFlight, items)
	usage.Model = e.model.Manifest.Ref()
	if err != nil {
		return nil, usage, fmt.Errorf("passage: %s: %w", usage.Model, err)
	}
	return vectors, usage, nil
}
