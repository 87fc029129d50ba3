package vad

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// inFlight is how many windows of one tape wait for their batch at once: six
// minutes of audio, 8 MB of log-mel.
const inFlight = 32

// Detector finds the regions of a tape in which somebody speaks.
type Detector struct {
	queue   models.Queue[Window, Speech]
	windows feature.Windows
	regions Regions
	ref     string
}

// New makes a detector of a model and the queue that runs it. The manifest's
// parameters are those of Regions; the label's threshold is Regions.Onset.
func New(m *models.Model, q models.Queue[Window, Speech]) (*Detector, error) {
	d := &Detector{queue: q, ref: m.Manifest.Ref()}
	if err := models.DecodeParams(m, &d.regions); err != nil {
		return nil, err
	}
	if m.Manifest.Frontend == nil || len(m.Manifest.Labels) != 1 {
		return nil, fmt.Errorf("vad: model %s: want a front end and the one label of speech, got %d labels", d.ref, len(m.Manifest.Labels))
	}
	d.regions.Onset = m.Manifest.Labels[0].Threshold
	if err := d.regions.Validate(); err != nil {
		return nil, fmt.Errorf("vad: model %s: %w", d.ref, err)
	}
	front, err := feature.New(feature.Config(*m.Manifest.Frontend))
	if err != nil {
		return nil, fmt.Errorf("vad: model %s: %w", d.ref, err)
	}
	d.windows = feature.Windows{Front: front, Frames: WindowFrames, Margin: margin}
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
		return Track{}, usage, fmt.Errorf("vad: read the tape: %w", readErr)
	}
	if err != nil {
		return Track{}, usage, fmt.Errorf("vad: %w", err)
	}
	config := d.windows.Front.Config()
	track := Track{Duration: episode.Seconds(float64(samples) / audio.TapeRate)}
	for i, w := range kept {
		stride := WindowFrames / len(answers[i])
		track.Step = episode.Seconds(config.Seconds(stride))
		from, to := (w.From-w.First)/stride, (w.To-w.First+stride-1)/stride
		track.Probability = append(track.Probability, answers[i][from:to]...)
	}
	return track, usage, nil
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
