package langid

import (
	"context"
	"fmt"
	"math"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
)

// WindowFrames is the length of a log-mel window, so that all of them share one
// bucket: five seconds at the built-in front end's hop of 10 ms.
const WindowFrames = 500

// The families of model that tell languages.
const (
	familyLogMel   = "window-classifier"   // takes log-mel
	familyWaveform = "waveform-classifier" // takes the audio itself: VoxLingua107's ECAPA-TDNN
)

// Window is one item as the model takes it: log-mel as its front end normalises
// it, [WindowFrames, mels], or samples, 16 kHz mono in [-1, 1].
type Window struct{ Values []float32 }

// LogP is a window's answer: the log-probability of each label.
type LogP []float32

// Runner takes windows through the model's one session. It fits
// models.Runner[Window, LogP].
type Runner struct {
	ref, file, in, out string
	shape              []int64 // of a window
	least              int     // rows of a run
	classes            int
	seconds            float64 // of audio in a window
	scores             bool    // the model gives logits: LogP is their log-softmax
}

// NewRunner reads from the manifest how the model is fed. Where a
// waveform-classifier has several outputs, the first of the manifest is the
// labels' logits or log-probabilities.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Outputs) == 0 || len(c.Labels) < 2 {
		return nil, fmt.Errorf("langid: model %s: want labels, and one session of one input and an output", c.Ref())
	}
	r := &Runner{ref: c.Ref(), file: c.Sessions[0], in: c.Inputs[0].Name, out: c.Outputs[0].Name, classes: len(c.Labels), least: c.Batch.Least()}
	switch {
	case c.Family == familyLogMel && c.Frontend != nil:
		r.shape = []int64{WindowFrames, int64(c.Frontend.Mels)}
		r.seconds = feature.Config(*c.Frontend).Seconds(WindowFrames)
	case c.Family == familyWaveform && c.Frontend == nil:
		p, err := readParameters(m)
		if err != nil {
			return nil, err
		}
		r.seconds, r.scores = p.WindowSeconds, true
		r.shape = []int64{int64(p.WindowSeconds * audio.TapeRate)}
	default:
		return nil, fmt.Errorf("langid: model %s: family %q: want %q with a front end, or %q without", r.ref, c.Family, familyLogMel, familyWaveform)
	}
	return r, nil
}

// Cost is a window's seconds of audio.
func (r *Runner) Cost(Window) float64 { return r.seconds }

// Bucket is one for all: windows have one length, so that nothing is padded.
func (r *Runner) Bucket(Window) int { return 0 }

// Run gives the log-probabilities of each window.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]LogP, error) {
	items := make([][]float32, len(batch))
	for i, w := range batch {
		items[i] = w.Values
	}
	answers, err := rows.Run(ctx, sessions[r.file], r.in, r.least, items, r.shape...)
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", r.ref, err)
	}
	each, shape, err := answers.Of(r.out)
	if err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", r.ref, err)
	}
	out := make([]LogP, len(each))
	for i, p := range each {
		if len(p) != r.classes {
			return nil, fmt.Errorf("langid: model %s: output %q has shape %v an item, want one value for each of %d labels", r.ref, r.out, shape, r.classes)
		}
		if r.scores {
			p = logSoftmax(p)
		}
		out[i] = p
	}
	return out, nil
}

// logSoftmax leaves log-probabilities as they are, but for rounding.
func logSoftmax(logits []float32) []float32 {
	top := math.Inf(-1)
	for _, v := range logits {
		top = max(top, float64(v))
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - top)
	}
	out := make([]float32, len(logits))
	for i, v := range logits {
		out[i] = float32(float64(v) - top - math.Log(sum))
	}
	return out
}
