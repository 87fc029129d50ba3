package asr

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
)

// Posteriors is what the network heard in a piece.
type Posteriors struct {
	Classes int       // the blank among them: the first of family ctc-phones, the vocabulary's of family ctc
	LogP    []float32 // [steps, Classes], natural logarithms; a step is the network's: 40 ms of family ctc-phones
}

// The network's strides, in frames of 10 ms: what one output step covers, and
// what a padded piece's length is a multiple of. The multiple is coarse so that
// pieces of like length share a batch, and close to what training padded to.
const (
	stride = 4
	bucket = 64
)

// Runner takes batches of pieces through the front end and the network. It
// leaves the words to Recognizer, so that no device waits for them.
type Runner struct {
	front   *feature.FrontEnd
	session string
	classes int
	least   int // rows of a run
}

var _ models.Runner[Piece, Posteriors] = (*Runner)(nil)

// NewRunner makes the runner of a model of family "ctc-phones".
func NewRunner(m *models.Model) (*Runner, error) {
	f := &m.Manifest
	if f.Family != Family {
		return nil, fmt.Errorf("asr: model %s: family: %q is not known (have %q)", f.Ref(), f.Family, Family)
	}
	if f.Frontend == nil || len(f.Sessions) != 1 {
		return nil, fmt.Errorf("asr: model %s: a model of family %q has a frontend and one session", f.Ref(), Family)
	}
	front, err := feature.NewForTape(feature.Config(*f.Frontend))
	if err != nil {
		return nil, fmt.Errorf("asr: model %s: %w", f.Ref(), err)
	}
	return &Runner{front: front, session: f.Sessions[0], classes: len(f.Labels), least: f.Batch.Least()}, nil
}

func (r *Runner) frames(p Piece) int {
	return r.front.Config().Frames(max(len(p.Samples), r.front.Config().Window))
}

func (r *Runner) padded(p Piece) int { return (r.frames(p) + bucket - 1) / bucket * bucket }

// Cost is the piece's padded length in seconds.
func (r *Runner) Cost(p Piece) float64 { return r.front.Config().Seconds(r.padded(p)) }

// Length is the piece's own length in seconds.
func (r *Runner) Length(p Piece) float64 { return r.front.Config().Seconds(r.frames(p)) }

// Bucket is the piece's padded length in frames.
func (r *Runner) Bucket(p Piece) int { return r.padded(p) }

// Run gives each piece's posteriors: ceil(frames / 4) steps of 40 ms.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Piece) ([]Posteriors, error) {
	session, ok := sessions[r.session]
	if !ok {
		return nil, fmt.Errorf("asr: no session %q is open", r.session)
	}
	if len(batch) == 0 {
		return nil, nil
	}
	length := 0
	for _, p := range batch {
		length = max(length, r.padded(p))
	}
	mels := r.front.Config().Mels
	rows := max(r.least, len(batch)) // a second one is idle
	input := make([]float32, rows*length*mels)
	for i, p := range batch {
		samples := p.Samples
		if short := r.front.Config().Window - len(samples); short > 0 {
			samples = append(make([]float32, 0, r.front.Config().Window), samples...)
			samples = append(samples, make([]float32, short)...)
		}
		copy(input[i*length*mels:], r.front.Item(samples))
	}
	outputs, err := session.Run(ctx, map[string]models.Tensor{
		"logmel": models.NewTensor(input, int64(rows), int64(length), int64(mels)),
	})
	if err != nil {
		return nil, fmt.Errorf("asr: recognise %d pieces of up to %.1f s: %w", len(batch), r.front.Config().Seconds(length), err)
	}
	logp, shape, err := models.Floats(outputs, "logp")
	if err != nil {
		return nil, fmt.Errorf("asr: %w", err)
	}
	steps := length / stride
	if len(shape) != 3 || shape[0] != int64(rows) || shape[1] != int64(steps) || shape[2] != int64(r.classes) {
		return nil, fmt.Errorf("asr: the graph's output logp has shape %v, want [%d %d %d]", shape, rows, steps, r.classes)
	}
	heard := make([]Posteriors, len(batch))
	for i, p := range batch {
		own := (r.frames(p) + stride - 1) / stride * r.classes
		heard[i] = Posteriors{Classes: r.classes, LogP: append([]float32(nil), logp[i*steps*r.classes:][:own]...)}
	}
	return heard, nil
}
