package sound

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
)

// Finder makes events of the probabilities of all of a model's labels. Every
// family of model shares it.
type Finder struct {
	labels []models.Label
	events []Events // one a label
}

// NewFinder reads a model's labels: byDefault says how their probabilities
// become events, byLabel what differs for some. A threshold is the label's own
// in the manifest or else byLabel's or else byDefault's.
func NewFinder(m *models.Model, byDefault Events, byLabel map[string]Events) (*Finder, error) {
	f, ref := &Finder{labels: m.Manifest.Labels}, m.Manifest.Ref()
	for name := range byLabel {
		if !slices.ContainsFunc(f.labels, func(l models.Label) bool { return l.Name == name }) {
			return nil, fmt.Errorf("sound: model %s: parameters.labels: no label %q in the model", ref, name)
		}
	}
	for _, l := range f.labels {
		e := byDefault
		if own, ok := byLabel[l.Name]; ok {
			e = own
		}
		e.Onset = cmp.Or(l.Threshold, e.Onset, byDefault.Onset)
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("sound: model %s: label %s: %w", ref, l.Name, err)
		}
		f.events = append(f.events, e)
	}
	return f, nil
}

// Find gives the events of a track, by start and then label; events of one
// label do not touch. Nothing heard gives none, not nil.
func (f *Finder) Find(track frames.Track) []episode.SoundEvent {
	found := []episode.SoundEvent{}
	for c, l := range f.labels {
		for _, e := range f.events[c].Find(track.Probability[c], track.Step, track.Duration) {
			found = append(found, episode.SoundEvent{Label: l.Name, ID: l.ID, Span: e.Span, Confidence: e.Confidence})
		}
	}
	slices.SortFunc(found, func(a, b episode.SoundEvent) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Label, b.Label))
	})
	return found
}
