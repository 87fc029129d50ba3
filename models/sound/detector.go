package sound

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// inFlight is how many windows of one tape wait for their batch at once: six
// minutes of audio, 8 MB of log-mel.
const inFlight = 32

// Detector finds the sound events of a tape.
type Detector struct {
	queue   models.Queue[Window, Activity]
	windows feature.Windows
	labels  []models.Label
	events  []Events // one a label
	ref     string
}

// parameters of the manifest: the default for all labels, and what differs for some.
type parameters struct {
	Default Events            `yaml:"events"`
	Labels  map[string]Events `yaml:"labels"`
}

// New makes a detector of a model and the queue that runs it. The manifest's
// labels carry AudioSet names, ids and the thresholds that start an event.
func New(m *models.Model, q models.Queue[Window, Activity]) (*Detector, error) {
	d := &Detector{queue: q, ref: m.Manifest.Ref(), labels: m.Manifest.Labels}
	var p parameters
	if err := models.DecodeParams(m, &p); err != nil {
		return nil, err
	}
	for name := range p.Labels {
		if !slices.ContainsFunc(d.labels, func(l models.Label) bool { return l.Name == name }) {
			return nil, fmt.Errorf("sound: model %s: parameters.labels: no label %q in the model", d.ref, name)
		}
	}
	for _, l := range d.labels {
		e := p.Default
		if own, ok := p.Labels[l.Name]; ok {
			e = own
		}
		e.Onset = l.Threshold
		if err := e.Validate(); err != nil {
			return nil, fmt.Errorf("sound: model %s: label %s: %w", d.ref, l.Name, err)
		}
		d.events = append(d.events, e)
	}
	if m.Manifest.Frontend == nil {
		return nil, fmt.Errorf("sound: model %s: no front end", d.ref)
	}
	front, err := feature.New(feature.Config(*m.Manifest.Frontend))
	if err != nil {
		return nil, fmt.Errorf("sound: model %s: %w", d.ref, err)
	}
	d.windows = feature.Windows{Front: front, Frames: WindowFrames, Margin: margin}
	return d, nil
}

// Track is the probability of every sound along a tape.
type Track struct {
	Labels      []models.Label
	Probability [][]float32     // for each label, one a step, [0, 1]
	Step        episode.Seconds // from one to the next
	Duration    episode.Seconds // of the tape
}

// Track reads the tape as it grows and gives the model's own answer.
func (d *Detector) Track(ctx context.Context, tape audio.Reader) (Track, models.Usage, error) {
	var kept []feature.Window
	stream := models.NewStream(ctx, d.queue, inFlight)
	samples, readErr := d.windows.Each(ctx, tape, func(w feature.Window) bool {
		item := Window{LogMel: w.LogMel}
		w.LogMel = nil
		kept = append(kept, w)
		return stream.Add(item)
	})
	answers, usage, err := stream.Wait()
	usage.Model = d.ref
	if readErr != nil {
		return Track{}, usage, fmt.Errorf("sound: read the tape: %w", readErr)
	}
	if err != nil {
		return Track{}, usage, fmt.Errorf("sound: %w", err)
	}
	config, classes := d.windows.Front.Config(), len(d.labels)
	track := Track{
		Labels: d.labels, Probability: make([][]float32, classes),
		Duration: episode.Seconds(float64(samples) / audio.TapeRate),
	}
	for i, w := range kept {
		stride := WindowFrames * classes / len(answers[i])
		track.Step = episode.Seconds(config.Seconds(stride))
		from, to := (w.From-w.First)/stride, (w.To-w.First+stride-1)/stride
		for s := from; s < to; s++ {
			for c := range classes {
				track.Probability[c] = append(track.Probability[c], answers[i][s*classes+c])
			}
		}
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
