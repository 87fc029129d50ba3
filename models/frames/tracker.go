package frames

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

// Tracker follows the labels of a model along a tape.
type Tracker struct {
	queue   models.Queue[Window, Scores]
	windows feature.Windows
	labels  []models.Label
	ref     string
}

// NewTracker makes a tracker of a model and the queue that runs it.
func NewTracker(m *models.Model, q models.Queue[Window, Scores]) (*Tracker, error) {
	t := &Tracker{queue: q, labels: m.Manifest.Labels, ref: m.Manifest.Ref()}
	if m.Manifest.Frontend == nil {
		return nil, fmt.Errorf("frames: model %s: no front end", t.ref)
	}
	front, err := feature.New(feature.Config(*m.Manifest.Frontend))
	if err != nil {
		return nil, fmt.Errorf("frames: model %s: %w", t.ref, err)
	}
	t.windows = feature.Windows{Front: front, Frames: WindowFrames, Margin: margin}
	return t, nil
}

// Track is the probability of every label along a tape.
type Track struct {
	Labels      []models.Label
	Probability [][]float32     // for each label, one a step, [0, 1]
	Step        episode.Seconds // from one to the next
	Duration    episode.Seconds // of the tape
}

// Track reads the tape as it grows and gives the model's own answer. Its
// errors are the tape's, the model's and the context's.
func (t *Tracker) Track(ctx context.Context, tape audio.Reader) (Track, models.Usage, error) {
	var kept []feature.Window
	stream := models.NewStream(ctx, t.queue, inFlight)
	samples, readErr := t.windows.Each(ctx, tape, func(w feature.Window) bool {
		item := Window{LogMel: w.LogMel, Frames: w.Own}
		w.LogMel = nil
		kept = append(kept, w)
		return stream.Add(item)
	})
	answers, usage, err := stream.Wait()
	usage.Model = t.ref
	if readErr != nil {
		return Track{}, usage, fmt.Errorf("frames: read the tape: %w", readErr)
	}
	if err != nil {
		return Track{}, usage, err
	}
	config, classes := t.windows.Front.Config(), len(t.labels)
	track := Track{
		Labels: t.labels, Probability: make([][]float32, classes),
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
