package langid

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// Undetermined is BCP 47's tag for a language that is not known.
const Undetermined = "und"

// Identifier says in which language an episode is spoken.
type Identifier struct {
	queue   models.Queue[Window, LogP]
	front   *feature.FrontEnd // nil: the model takes samples
	samples int               // in a window
	pool    pool
	params  parameters
	ref     string
}

type parameters struct {
	Windows       int           `yaml:"windows"`        // listened to at most, spread over the episode
	WindowSeconds float64       `yaml:"window_seconds"` // of a waveform-classifier; 4
	MinSpeech     float64       `yaml:"min_speech"`     // share of a window that must be speech, if any window has as much
	Confidence    episode.Score `yaml:"confidence"`     // below it the answer is "und"
}

func readParameters(m *models.Model) (p parameters, err error) {
	if m.Manifest.Family == familyWaveform {
		p.WindowSeconds = 4
	}
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	ref := m.Manifest.Ref()
	if p.Windows < 1 || !(p.MinSpeech >= 0 && p.MinSpeech <= 1) || !(p.Confidence >= 0 && p.Confidence <= 1) {
		return p, fmt.Errorf("langid: model %s: parameters: want windows ≥ 1 and min_speech, confidence in [0, 1], got %d, %g, %g", ref, p.Windows, p.MinSpeech, float64(p.Confidence))
	}
	if m.Manifest.Family == familyWaveform {
		if !(p.WindowSeconds >= 0.5 && p.WindowSeconds <= 60) {
			return p, fmt.Errorf("langid: model %s: parameters.window_seconds: want 0.5 to 60, got %g", ref, p.WindowSeconds)
		}
	} else if p.WindowSeconds != 0 {
		return p, fmt.Errorf("langid: model %s: parameters.window_seconds: is for %q alone: with a front end a window has %d frames", ref, familyWaveform, WindowFrames)
	}
	return p, nil
}

// New makes an identifier of a model and the queue that runs it. The labels'
// ids are BCP 47 tags, or their names start with one ("en: English", as those
// of VoxLingua107 do); "und" among them is what the model calls everything
// else.
func New(m *models.Model, q models.Queue[Window, LogP]) (*Identifier, error) {
	d := &Identifier{queue: q, ref: m.Manifest.Ref()}
	var err error
	if d.params, err = readParameters(m); err != nil {
		return nil, err
	}
	d.pool.threshold = d.params.Confidence
	for i, l := range m.Manifest.Labels {
		code, ok := tag(l)
		if !ok {
			return nil, fmt.Errorf("langid: model %s: labels[%d]: want an id that is a BCP 47 tag, or a name like \"en: English\", got id %q, name %q", d.ref, i, l.ID, l.Name)
		}
		d.pool.codes = append(d.pool.codes, code)
	}
	if m.Manifest.Family == familyWaveform {
		d.samples = int(d.params.WindowSeconds * audio.TapeRate)
		return d, nil
	}
	if m.Manifest.Frontend == nil {
		return nil, fmt.Errorf("langid: model %s: no front end", d.ref)
	}
	if d.front, err = feature.NewForTape(feature.Config(*m.Manifest.Frontend)); err != nil {
		return nil, fmt.Errorf("langid: model %s: %w", d.ref, err)
	}
	d.samples = d.front.Config().Samples(WindowFrames)
	return d, nil
}

// Identify listens to windows of the speech regions (in order, disjoint) all
// over the tape. Without speech the answer is "und" with confidence 0. Its
// errors are the tape's, the model's and the context's.
func (d *Identifier) Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, models.Usage, error) {
	usage := models.Usage{Model: d.ref}
	length := episode.Seconds(float64(d.samples) / audio.TapeRate)
	if d.front != nil {
		length = episode.Seconds(d.front.Config().Seconds(WindowFrames))
	}
	places := spread(cut(speech, length, d.params.MinSpeech), d.params.Windows)
	if len(places) == 0 {
		return episode.Language{Code: Undetermined, Candidates: []episode.LanguageCandidate{}}, usage, nil
	}
	stream := models.NewStream(ctx, d.queue, d.params.Windows)
	var readErr error
	for _, p := range places {
		var w Window
		if w, readErr = d.window(ctx, tape, p.Start); readErr != nil || !stream.Add(w) {
			break
		}
	}
	answers, usage, err := stream.Wait()
	usage.Model = d.ref
	if readErr != nil {
		return episode.Language{}, usage, fmt.Errorf("langid: read the tape: %w", readErr)
	}
	if err != nil {
		return episode.Language{}, usage, fmt.Errorf("langid: %w", err)
	}
	return d.pool.answer(answers, places), usage, nil
}

// window reads the window that starts at a time. Where the tape ends within it,
// it is the tape's last; a tape shorter than a window is said again, with a
// tenth of a second between, as in training.
func (d *Identifier) window(ctx context.Context, tape audio.Reader, start episode.Seconds) (Window, error) {
	size := d.samples
	samples := make([]float32, size)
	at := int64(start * audio.TapeRate)
	n, err := tape.ReadAt(ctx, samples, at)
	if errors.Is(err, io.EOF) {
		at = max(0, at+int64(n)-int64(size))
		n, err = tape.ReadAt(ctx, samples, at)
		if errors.Is(err, io.EOF) {
			err = nil
		}
		period := n + audio.TapeRate/10
		clear(samples[n:min(period, size)])
		for period < size {
			period += copy(samples[period:], samples[:period])
		}
	}
	if err != nil {
		return Window{}, err
	}
	if d.front == nil {
		return Window{samples}, nil
	}
	return Window{d.front.Item(samples)}, nil
}

// place is where a window starts and how many seconds of it are speech.
type place struct {
	Start  episode.Seconds
	Speech episode.Seconds
}

// cut lays windows of a length over the speech, one after another, each
// starting where the one before left off. Windows with less than a share of
// speech are left out unless all are.
func cut(speech []episode.Span, length episode.Seconds, share float64) []place {
	var all []place
	end := episode.Seconds(-1)
	for i, s := range speech {
		for at := max(s.Start, end); at < s.End; at = end {
			end = at + length
			p := place{Start: at}
			for _, t := range speech[i:] {
				if t.Start >= end {
					break
				}
				p.Speech += t.Overlap(episode.Span{Start: at, End: end})
			}
			all = append(all, p)
		}
	}
	full := slices.DeleteFunc(slices.Clone(all), func(p place) bool { return float64(p.Speech) < share*float64(length) })
	if len(full) > 0 {
		return full
	}
	return all
}

// spread takes at most n places, evenly from first to last.
func spread(places []place, n int) []place {
	if len(places) <= n {
		return places
	}
	out := make([]place, n)
	for i := range out {
		out[i] = places[(2*i+1)*len(places)/(2*n)]
	}
	return out
}
