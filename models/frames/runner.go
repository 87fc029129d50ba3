// Package frames runs models that look at a window of log-mel and say for every
// step of it how probable each label is: the family "frame-classifier" of the
// tasks speech (models/vad) and sound events (models/sound).
package frames

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
)

// Window is one item: log-mel of WindowFrames frames, [frames, mels].
type Window struct {
	LogMel []float32
	Frames int // that are the tape's own; behind them is silence
}

// Scores are a window's answer: [steps, classes] probabilities.
type Scores []float32

// WindowFrames is the length of every window, so that all of them share one
// bucket: 10.24 s of frames at the built-in front end's hop of 10 ms.
const WindowFrames = 1024

// margin is how many frames at each edge of a window its neighbour answers for.
const margin = 96

// leastSteps is how many steps a window has at least: with fewer, margins are
// no whole number of steps, and those of neighbouring windows would overlap.
const leastSteps = WindowFrames / 32

// Runner takes windows through the model's one session. It fits
// models.Runner[Window, Scores].
type Runner struct {
	ref, file, in, out string
	mels, classes      int
	least              int // rows of a run
	front              feature.Config
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if c.Family != "frame-classifier" || c.Frontend == nil || len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Outputs) != 1 || len(c.Labels) == 0 {
		return nil, fmt.Errorf("frames: model %s: family %q: want \"frame-classifier\" with a front end, labels, and one session of one input and one output", c.Ref(), c.Family)
	}
	return &Runner{
		ref: c.Ref(), file: c.Sessions[0], in: c.Inputs[0].Name, out: c.Outputs[0].Name,
		mels: c.Frontend.Mels, classes: len(c.Labels), least: c.Batch.Least(),
		front: feature.Config(*c.Frontend),
	}, nil
}

// Cost is a window's seconds of audio.
func (r *Runner) Cost(Window) float64 { return r.front.Seconds(WindowFrames) }

// Length is the seconds of audio in a window that are the tape's own.
func (r *Runner) Length(w Window) float64 { return r.front.Seconds(w.Frames) }

// Bucket is one for all: windows have one length.
func (r *Runner) Bucket(Window) int { return WindowFrames }

// Run gives the probabilities of each window.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Scores, error) {
	items := make([][]float32, len(batch))
	for i, w := range batch {
		items[i] = w.LogMel
	}
	answers, err := rows.Run(ctx, sessions[r.file], r.in, r.least, items, WindowFrames, int64(r.mels))
	if err != nil {
		return nil, fmt.Errorf("frames: model %s: %w", r.ref, err)
	}
	each, shape, err := answers.Of(r.out)
	if err != nil {
		return nil, fmt.Errorf("frames: model %s: %w", r.ref, err)
	}
	if len(shape) != 2 || shape[0] < leastSteps || WindowFrames%shape[0] != 0 || shape[1] != int64(r.classes) {
		return nil, fmt.Errorf("frames: model %s: output %q has shape %v a window, want [steps, %d]: at least %d steps, by whose number %d can be divided", r.ref, r.out, shape, r.classes, leastSteps, WindowFrames)
	}
	out := make([]Scores, len(batch))
	for i, scores := range each {
		out[i] = scores
	}
	return out, nil
}
