package silero

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// Detector finds the regions of a tape in which somebody speaks.
type Detector struct {
	queue   models.Queue[Stretch, Speech]
	regions Regions
	ref     string
}

// New makes a detector of a model and the queue that runs it. The manifest's
// parameters are those of Regions; the label's threshold is Regions.Threshold.
func New(m *models.Model, q models.Queue[Stretch, Speech]) (*Detector, error) {
	ref := m.Manifest.Ref()
	regions := reference
	if err := models.DecodeParams(m, &regions); err != nil {
		return nil, err
	}
	if len(m.Manifest.Labels) != 1 {
		return nil, fmt.Errorf("silero: model %s: want the one label of speech, got %d labels", ref, len(m.Manifest.Labels))
	}
	regions.Threshold = m.Manifest.Labels[0].Threshold
	regions.fill()
	if err := regions.validate(); err != nil {
		return nil, fmt.Errorf("silero: model %s: %w", ref, err)
	}
	return &Detector{queue: q, regions: regions, ref: ref}, nil
}

// Track reads the tape as it grows and gives the model's own answer: the
// probability of speech in each 512 samples, and the tape's length in samples.
// The last step is filled up with silence, as the reference does.
func (d *Detector) Track(ctx context.Context, tape audio.Reader) (probability []float32, samples int64, usage models.Usage, err error) {
	usage.Model = d.ref
	var state []float32
	before := make([]float32, contextSamples)
	for {
		heard := make([]float32, contextSamples+Steps*stepSamples)
		copy(heard, before)
		n, err := tape.ReadAt(ctx, heard[contextSamples:], samples)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return nil, 0, usage, fmt.Errorf("silero: read the tape: %w", err)
		}
		samples += int64(n)
		if n == 0 {
			return probability, samples, usage, nil
		}
		clear(heard[contextSamples+n:])
		answer, err := d.queue.Do(ctx, Stretch{Samples: heard, Own: n, State: state})
		if err != nil {
			return nil, 0, usage, fmt.Errorf("silero: %w", err)
		}
		usage.Add(answer.Usage())
		probability = append(probability, answer.Value.Probability[:(n+stepSamples-1)/stepSamples]...)
		if ended {
			return probability, samples, usage, nil
		}
		state, before = answer.Value.State, heard[Steps*stepSamples:]
	}
}

// Detect gives the regions of speech, in order, apart from each other and
// within the tape: those of the reference's get_speech_timestamps. No speech
// gives none. Its errors are the tape's, the model's and the context's.
func (d *Detector) Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, models.Usage, error) {
	probability, samples, usage, err := d.Track(ctx, tape)
	if err != nil {
		return nil, usage, err
	}
	return spans(d.regions.find(probability, samples)), usage, nil
}
