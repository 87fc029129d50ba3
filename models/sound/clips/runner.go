package clips

import (
	"context"
	"fmt"
	"math"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
)

// Clip is one item: what the model is given of one window of the tape (or of a
// few, for a patch-waveform model): samples, or log-mel row by row.
type Clip struct {
	Values  []float32
	Seconds float64 // of audio; behind it is silence
}

// Scores are a clip's answer: [windows, classes] probabilities.
type Scores []float32

// Runner takes clips through the model's one session. It fits
// models.Runner[Clip, Scores].
type Runner struct {
	*layout
	ref, file string
	classes   int
	least     int // rows of a run
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*Runner, error) {
	var p parameters
	if err := models.DecodeParams(m, &p); err != nil {
		return nil, err
	}
	l, err := newLayout(m, p)
	if err != nil {
		return nil, err
	}
	return &Runner{layout: l, ref: m.Manifest.Ref(), file: m.Manifest.Sessions[0], classes: len(m.Manifest.Labels), least: m.Manifest.Batch.Least()}, nil
}

// Cost is a clip's seconds of audio.
func (r *Runner) Cost(Clip) float64 { return float64(r.duration()) }

// Length is the seconds of a clip that are the tape's own.
func (r *Runner) Length(c Clip) float64 { return c.Seconds }

// Bucket is one for all: clips have one length.
func (r *Runner) Bucket(Clip) int { return 0 }

// Run gives the probabilities of each clip. A model whose answer is not finite
// is at fault, and so is one of another shape than its manifest says.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Clip) ([]Scores, error) {
	var out []Scores
	var err error
	if r.family == PatchWaveform {
		out, err = r.runPatches(ctx, sessions[r.file], batch)
	} else {
		out, err = r.runClips(ctx, sessions[r.file], batch)
	}
	if err != nil {
		return nil, fmt.Errorf("clips: model %s: %w", r.ref, err)
	}
	if r.sigmoid {
		for _, scores := range out {
			for i, v := range scores {
				scores[i] = float32(1 / (1 + math.Exp(-float64(v))))
			}
		}
	}
	return out, nil
}

func (r *Runner) runClips(ctx context.Context, s models.Session, batch []Clip) ([]Scores, error) {
	items := make([][]float32, len(batch))
	for i, c := range batch {
		items[i] = c.Values
	}
	answers, err := rows.Run(ctx, s, r.in, r.least, items, r.shape...)
	if err != nil {
		return nil, err
	}
	each, shape, err := answers.Of(r.out)
	if err != nil {
		return nil, err
	}
	if len(shape) != 1 || shape[0] != int64(r.classes) {
		return nil, fmt.Errorf("output %q gives each clip %v scores, and there are %d labels", r.out, shape, r.classes)
	}
	out := make([]Scores, len(each))
	for i, row := range each {
		out[i] = row
	}
	return out, nil
}

// runPatches runs one waveform after another: the graph has no batch axis.
func (r *Runner) runPatches(ctx context.Context, s models.Session, batch []Clip) ([]Scores, error) {
	out := make([]Scores, len(batch))
	for i, c := range batch {
		if len(c.Values) != r.samples() {
			return nil, fmt.Errorf("an item of %d samples, want %d", len(c.Values), r.samples())
		}
		answers, err := s.Run(ctx, map[string]models.Tensor{r.in: models.NewTensor(c.Values, r.shape...)})
		if err != nil {
			return nil, err
		}
		scores, shape, err := models.Floats(answers, r.out)
		if err != nil {
			return nil, err
		}
		out[i] = scores
		if len(shape) != 2 || shape[0] != int64(r.patches) || shape[1] != int64(r.classes) {
			return nil, fmt.Errorf("output %q has shape %v for a waveform of %d samples, want [%d, %d]: parameters.clip's window and hop, and the labels, must be the model's", r.out, shape, r.samples(), r.patches, r.classes)
		}
	}
	return out, nil
}
