package clips

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
	"github.com/earshot-fm/earshot/models/sound"
)

// inFlight is how many items of one tape wait for their batch at once: with
// ten-second clips six minutes of audio, 20 MB of samples.
const inFlight = 32

// Detector finds the sound events of a tape.
type Detector struct {
	*layout
	queue  models.Queue[Clip, Scores]
	finder *sound.Finder
	labels []models.Label
	ref    string
}

// New makes a detector of a model and the queue that runs it. The manifest's
// parameters are `clip` (rate, window, hop, patches, sigmoid, output), `events`
// and `labels`, as in package sound.
func New(m *models.Model, q models.Queue[Clip, Scores]) (*Detector, error) {
	var p parameters
	if err := models.DecodeParams(m, &p); err != nil {
		return nil, err
	}
	l, err := newLayout(m, p)
	if err != nil {
		return nil, err
	}
	finder, err := sound.NewFinder(m, p.Default, p.Labels)
	if err != nil {
		return nil, err
	}
	return &Detector{layout: l, queue: q, finder: finder, labels: m.Manifest.Labels, ref: m.Manifest.Ref()}, nil
}

// item makes what the model is given of an item's samples, which stay the
// caller's; the first own of them are the tape's.
func (l *layout) item(samples []float32, own int) Clip {
	c := Clip{Seconds: float64(own) / float64(l.rate)}
	switch {
	case l.front == nil:
		c.Values = slices.Clone(samples)
	case l.byMel:
		c.Values = l.front.ItemByMel(samples)
	default:
		c.Values = l.front.Item(samples)
	}
	return c
}

// Track reads the tape as it grows and gives the model's own answer, a step a
// hop: the mean over the windows that cover the step's middle.
func (d *Detector) Track(ctx context.Context, tape audio.Reader) (frames.Track, models.Usage, error) {
	stream := models.NewStream(ctx, d.queue, inFlight)
	length, readErr := d.each(ctx, tape, func(samples []float32, own int) bool { return stream.Add(d.item(samples, own)) })
	answers, usage, err := stream.Wait()
	usage.Model = d.ref
	if readErr != nil {
		return frames.Track{}, usage, fmt.Errorf("clips: read the tape: %w", readErr)
	}
	if err != nil {
		return frames.Track{}, usage, fmt.Errorf("clips: %w", err)
	}
	hop := float64(d.hop) / float64(d.rate)
	track := frames.Track{
		Labels: d.labels, Probability: make([][]float32, len(d.labels)),
		Step: episode.Seconds(hop), Duration: episode.Seconds(float64(length) / audio.TapeRate),
	}
	samples := math.Ceil(float64(length) * float64(d.rate) / audio.TapeRate)
	// An item's last windows may lie beyond the tape's end.
	windows := 1 + int(math.Ceil(max(0, samples-float64(d.window))/float64(d.hop)))
	scores, steps := slices.Concat(answers...), int(math.Ceil(samples/float64(d.hop)))
	scores = scores[:min(len(scores), windows*len(d.labels))]
	for c := range d.labels {
		track.Probability[c] = d.steps(scores, c, steps)
	}
	return track, usage, nil
}

// steps averages the scores of one class, [windows, classes], over the windows
// that cover each step.
func (d *Detector) steps(scores Scores, class, steps int) []float32 {
	classes := len(d.labels)
	out := make([]float32, steps)
	for s := range out {
		last := min(s, len(scores)/classes-1)
		first := int(math.Floor(float64(s)+0.5-float64(d.window)/float64(d.hop))) + 1
		first = min(max(0, first), last)
		var sum float64
		for k := first; k <= last; k++ {
			sum += float64(scores[k*classes+class])
		}
		out[s] = float32(sum / float64(last-first+1))
	}
	return out
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
