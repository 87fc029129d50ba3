package sound

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
)

// Detector finds the sound events of a tape.
type Detector struct {
	tracker *frames.Tracker
	finder  *Finder
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*frames.Runner, error) { return frames.NewRunner(m) }

// New makes a detector of a model and the queue that runs it. The manifest's
// labels carry AudioSet names, ids and the thresholds that start an event; its
// parameters are `events`, how all sounds' probabilities become events, and
// `labels`, what differs for some.
func New(m *models.Model, q models.Queue[frames.Window, frames.Scores]) (*Detector, error) {
	var p struct {
		Default Events            `yaml:"events"`
		Labels  map[string]Events `yaml:"labels"`
	}
	if err := models.DecodeParams(m, &p); err != nil {
		return nil, err
	}
	finder, err := NewFinder(m, p.Default, p.Labels)
	if err != nil {
		return nil, err
	}
	tracker, err := frames.NewTracker(m, q)
	if err != nil {
		return nil, fmt.Errorf("sound: %w", err)
	}
	return &Detector{tracker: tracker, finder: finder}, nil
}

// Track reads the tape as it grows and gives the model's own answer.
func (d *Detector) Track(ctx context.Context, tape audio.Reader) (frames.Track, models.Usage, error) {
	track, usage, err := d.tracker.Track(ctx, tape)
	if err != nil {
		return frames.Track{}, usage, fmt.Errorf("sound: %w", err)
	}
	return track, usage, nil
}

// Detect gives the sound events, by start and then label; events of one label
// do not touch. Nothing heard gives none. Its errors are the tape's, the
// model's and the context's.
func (d *Detector) Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, models.Usage, error) {
	track, usage, err := d.Track(ctx, tape)
	if err != nil {
		return nil, usage, err
	}
	return d.finder.Find(track), usage, nil
}
