package speaker

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
)

// The families of model that embed voices.
const (
	familyWaveform = "waveform-embedding" // takes the audio itself
	familyLogMel   = "window-embedding"   // takes log-mel of the manifest's front end
)

// windowSamples is the length of every window, so that all of them share one
// bucket and nothing is padded: 1.5 s.
const windowSamples = 3 * audio.TapeRate / 2

// Window is one item: what is said in 1.5 s, as the model takes it: samples, 16
// kHz mono in [-1, 1], or log-mel, [frames, mels].
type Window struct{ Values []float32 }

// Embedding is a window's answer: a direction in the space of voices.
type Embedding []float32

// Runner takes windows through the model's one session. It fits
// models.Runner[Window, Embedding].
type Runner struct {
	ref, file, in, out string
	shape              []int64 // of a window
	least              int     // rows of a run
}

// NewRunner reads from the manifest how the model is fed. Where the model has
// several outputs, the first of the manifest is the embedding.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Outputs) == 0 {
		return nil, fmt.Errorf("speaker: model %s: want one session of one input and an output", c.Ref())
	}
	r := &Runner{ref: c.Ref(), file: c.Sessions[0], in: c.Inputs[0].Name, out: c.Outputs[0].Name, shape: []int64{windowSamples}, least: c.Batch.Least()}
	front, err := frontEnd(m)
	if err != nil {
		return nil, err
	}
	if front != nil {
		r.shape = []int64{int64(front.Frames(windowSamples)), int64(front.Config().Mels)}
	}
	return r, nil
}

// frontEnd is nil for a model that takes the audio itself.
func frontEnd(m *models.Model) (*feature.FrontEnd, error) {
	c := &m.Manifest
	switch {
	case c.Family == familyWaveform && c.Frontend == nil:
		return nil, nil
	case c.Family == familyLogMel && c.Frontend != nil:
		front, err := feature.NewForTape(feature.Config(*c.Frontend))
		if err != nil {
			return nil, fmt.Errorf("speaker: model %s: %w", c.Ref(), err)
		}
		return front, nil
	}
	return nil, fmt.Errorf("speaker: model %s: family %q: want %q without a front end, or %q with one", c.Ref(), c.Family, familyWaveform, familyLogMel)
}

// Cost is a window's seconds of audio.
func (r *Runner) Cost(Window) float64 { return float64(windowSamples) / audio.TapeRate }

// Bucket is one for all: windows have one length.
func (r *Runner) Bucket(Window) int { return 0 }

// Run gives the embedding of each window.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Embedding, error) {
	items := make([][]float32, len(batch))
	for i, w := range batch {
		items[i] = w.Values
	}
	answers, err := rows.Run(ctx, sessions[r.file], r.in, r.least, items, r.shape...)
	if err != nil {
		return nil, fmt.Errorf("speaker: model %s: %w", r.ref, err)
	}
	each, _, err := answers.Of(r.out)
	if err != nil {
		return nil, fmt.Errorf("speaker: model %s: %w", r.ref, err)
	}
	out := make([]Embedding, len(each))
	for i, e := range each {
		out[i] = e
	}
	return out, nil
}
