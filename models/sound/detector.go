package sound

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
)

// Detector finds the sound events of a tape.
type Detector struct {
	tracker *frames.Tracker
	labels  []models.Label
	events  []Events // one a label
}

// parameters of the manifest: the default for all labels, and what differs for some.
type parameters struct {
	Default Events            `yaml:"events"`
	Labels  map[string]Events `yaml:"labels"`
}

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*frames.Runner, error) { return frames.NewRunner(m) }

// New makes a detector of a model and the queue that runs it. The manifest's
// labels carry AudioSet names, ids and the thresholds that start an event.
func New(m *models.Model, q models.Queue[frames.Window, frames.Scores]) (*Detector, error) {
	d, ref := &Detector{labels: m.Manifest.Labels}, m.Manifest.Ref()
	var p parameters
	if err := models.DecodeParams(m, &p); err != nil {
		return nil, err
	}
	for name := range p.Labels {
		if !slices.ContainsFunc(d.labels, func(l models.Label) bool { return l.Name == name }) {
			return nil, fmt.Errorf("sound: model %s: parameters.labels: no label %q in the model", ref, name)
		}
	}
	for _, l := range d.labels {
		e := p.Default
		if own, ok := p.Labels[l.Name]; ok {
			e = own
		}
		e.Onset = l.Threshold
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("sound: model %s: label %s: %w", ref, l.Name, err)
		}
		d.events = append(d.events, e)
	}
	var err error
	if d.tracker, err = frames.NewTracker(m, q); err != nil {
		return nil, fmt.Errorf("sound: %w", err)
	}
	return d, nil
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
	found := []episode.SoundEvent{}
	for c, l := range d.labels {
		for _, e := range d.events[c].Find(track.Probability[c], track.Step, track.Duration) {
			found = append(found, episode.SoundEvent{Label: l.Name, ID: l.ID, Span: e.Span, Confidence: e.Confidence})
		}
	}
	slices.SortFunc(found, func(a, b episode.SoundEvent) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Label, b.Label))
	})
	return found, usage, nil
}
