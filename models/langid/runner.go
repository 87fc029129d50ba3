package langid

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
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

// Run gives the log-probabilities of each window.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]LogP, error) {
	items := make([][]float32, len(batch))
	for i, w := range batch {
		items[i] = w.LogMel
	}
	answers, err := rows.Run(ctx, sessions[r.file], r.in, items, WindowFrames, int64(r.mels))
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", r.ref, err)
	}
	return logP(answers, r.ref, r.out, r.classes)
}

// logP reads one value a label of each item's row.
func logP(answers rows.Answers, ref, output string, classes int) ([]LogP, error) {
	each, shape, err := answers.Of(output)
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", ref, err)
	}
	out := make([]LogP, len(each))
	for i, p := range each {
		if len(p) != classes {
			return nil, fmt.Errorf("langid: model %s: output %q has shape %v an item, want one value for each of %d labels", ref, output, shape, classes)
		}
		out[i] = p
	}
	return out, nil
}
