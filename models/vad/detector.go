package vad

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
)

// Detector finds the regions of a tape in which somebody speaks.
type Detector struct {
	tracker *frames.Tracker
	regions Regions
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*frames.Runner, error) { return frames.NewRunner(m) }

// New makes a detector of a model and the queue that runs it. The manifest's
// parameters are those of Regions; the label's threshold is Regions.Onset.
func New(m *models.Model, q models.Queue[frames.Window, frames.Scores]) (*Detector, error) {
	d, ref := new(Detector), m.Manifest.Ref()
	if err := models.DecodeParams(m, &d.regions); err != nil {
		return nil, err
	}
	if len(m.Manifest.Labels) != 1 {
		return nil, fmt.Errorf("vad: model %s: want the one label of speech, got %d labels", ref, len(m.Manifest.Labels))
	}
	d.regions.Onset = m.Manifest.Labels[0].Threshold
	if err := d.regions.Validate(); err != nil {
		return nil, fmt.Errorf("vad: model %s: %w", ref, err)
	}
	var err error
	if d.tracker, err = frames.NewTracker(m, q); err != nil {
		return nil, fmt.Errorf("vad: %w", err)
	}
	return d, nil
}

// Track is the probability of speech along a tape.
type Track struct {
	Probability []float32       // one a step, [0, 1]
	Step        episode.Seconds // from one to the next
	Duration    episode.Seconds // of the tape
}

// Track reads the tape as it grows and gives the model's own answer.
func (d *Detector) Track(ctx context.Context, tape audio.Reader) (Track, models.Usage, error) {
	all, usage, err := d.tracker.Track(ctx, tape)
	if err != nil {
		return Track{}, usage, fmt.Errorf("vad: %w", err)
	}
	return Track{Probability: all.Probability[0], Step: all.Step, Duration: all.Duration}, usage, nil
}

// Detect gives the regions of speech, in order, apart from each other and
// within the tape. No speech gives none. Its errors are the tape's, the
// model's and the context's.
func (d *Detector) Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, models.Usage, error) {
	track, usage, err := d.Track(ctx, tape)
	if err != nil {
		return nil, usage, err
	}
	return d.regions.Find(track), usage, nil
}
