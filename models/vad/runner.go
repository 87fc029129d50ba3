package vad

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
)

// Window is one item: log-mel of vad.WindowFrames frames, [frames, mels].
type Window struct{ LogMel []float32 }

// Speech is a window's answer: [steps, classes] probabilities.
type Speech []float32

// WindowFrames is the length of every window, so that all of them share one
// bucket: 10.24 s of frames at the built-in front end's hop of 10 ms.
const WindowFrames = 1024

// margin is how many frames at each edge of a window its neighbour answers for.
const margin = 96

// Runner takes windows through the model's one session. It fits
// models.Runner[Window, Speech].
type Runner struct {
	ref, file, in, out string
	mels, classes      int
	seconds            float64 // of audio in a window
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if c.Family != "frame-classifier" || c.Frontend == nil || len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Outputs) != 1 || len(c.Labels) == 0 {
		return nil, fmt.Errorf("vad: model %s: family %q: want \"frame-classifier\" with a front end, labels, and one session of one input and one output", c.Ref(), c.Family)
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

// Run gives the probabilities of each window. A lone window runs beside a copy
// of itself, so that a batch's size does not show in its answer.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Speech, error) {
	size := WindowFrames * r.mels
	rows := max(2, len(batch))
	in := make([]float32, 0, rows*size)
	for i := range rows {
		w := batch[min(i, len(batch)-1)]
		if len(w.LogMel) != size {
			return nil, fmt.Errorf("vad: model %s: a window of %d values, want %d frames of %d", r.ref, len(w.LogMel), WindowFrames, r.mels)
		}
		in = append(in, w.LogMel...)
	}
	answers, err := sessions[r.file].Run(ctx, map[string]models.Tensor{
		r.in: models.NewTensor(in, int64(rows), WindowFrames, int64(r.mels)),
	})
	if err != nil {
		return nil, fmt.Errorf("vad: model %s: %w", r.ref, err)
	}
	p, err := models.Elements[float32](answers[r.out])
	if err != nil {
		return nil, fmt.Errorf("vad: model %s: output %q: %w", r.ref, r.out, err)
	}
	shape := answers[r.out].Shape()
	if len(shape) != 3 || shape[0] != int64(rows) || shape[1] == 0 || WindowFrames%shape[1] != 0 || shape[2] != int64(r.classes) {
		return nil, fmt.Errorf("vad: model %s: output %q has shape %v, want [%d, a divisor of %d, %d]", r.ref, r.out, shape, rows, WindowFrames, r.classes)
	}
	each := len(p) / rows
	out := make([]Speech, len(batch))
	for i := range out {
		out[i] = p[i*each : (i+1)*each : (i+1)*each]
	}
	return out, nil
}
