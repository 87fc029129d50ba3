package langid

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
)

// WindowFrames is the length of every window, so that all of them share one
// bucket: four seconds at the built-in front end's hop of 10 ms.
const WindowFrames = 400

// Window is one item: log-mel as the model's front end normalises it,
// [WindowFrames, mels].
type Window struct{ LogMel []float32 }

// LogP is a window's answer: the log-probability of each label.
type LogP []float32

// Runner takes windows through the model's one session. It fits
// models.Runner[Window, LogP].
type Runner struct {
	ref, file, in, out string
	mels, classes      int
	seconds            float64 // of audio in a window
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if c.Family != "window-classifier" || c.Frontend == nil || len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Outputs) != 1 || len(c.Labels) < 2 {
		return nil, fmt.Errorf("langid: model %s: family %q: want \"window-classifier\" with a front end, labels, and one session of one input and one output", c.Ref(), c.Family)
	}
	return &Runner{
		ref: c.Ref(), file: c.Sessions[0], in: c.Inputs[0].Name, out: c.Outputs[0].Name,
		mels: c.Frontend.Mels, classes: len(c.Labels),
		seconds: feature.Config(*c.Frontend).Seconds(WindowFrames),
	}, nil
}

// Cost is a window's seconds of audio.
func (r *Runner) Cost(Window) float64 { return r.seconds }

// Bucket is one for all: windows have one length.
func (r *Runner) Bucket(Window) int { return WindowFrames }

// Run gives the log-probabilities of each window. A lone window runs beside a
// copy of itself, so that a batch's size does not show in its answer.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]LogP, error) {
	size := WindowFrames * r.mels
	rows := max(2, len(batch))
	in := make([]float32, 0, rows*size)
	for i := range rows {
		w := batch[min(i, len(batch)-1)]
		if len(w.LogMel) != size {
			return nil, fmt.Errorf("langid: model %s: a window of %d values, want %d frames of %d", r.ref, len(w.LogMel), WindowFrames, r.mels)
		}
		in = append(in, w.LogMel...)
	}
	answers, err := sessions[r.file].Run(ctx, map[string]models.Tensor{
		r.in: models.NewTensor(in, int64(rows), WindowFrames, int64(r.mels)),
	})
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", r.ref, err)
	}
	p, err := models.Elements[float32](answers[r.out])
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: output %q: %w", r.ref, r.out, err)
	}
	if len(p) != rows*r.classes {
		return nil, fmt.Errorf("langid: model %s: output %q has shape %v, want [%d, %d]", r.ref, r.out, answers[r.out].Shape(), rows, r.classes)
	}
	out := make([]LogP, len(batch))
	for i := range out {
		out[i] = p[i*r.classes : (i+1)*r.classes : (i+1)*r.classes]
	}
	return out, nil
}
