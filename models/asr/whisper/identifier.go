package whisper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// Identifier says in which language an episode is spoken, by the token that
// Whisper opens a transcript with. It is safe for concurrent use.
type Identifier struct{ r *Recognizer }

// NewIdentifier makes the identifier of a multilingual model of family
// "whisper" over the queue of its Runner.
func NewIdentifier(m *models.Model, q models.Queue[Item, Heard]) (*Identifier, error) {
	r, err := New(m, q)
	if err != nil {
		return nil, err
	}
	if !r.words.multilingual {
		return nil, fmt.Errorf("whisper: model %s: an English-only model tells no languages apart: take a multilingual one", m.Manifest.Ref())
	}
	return &Identifier{r}, nil
}

// Identify listens to windows of the speech regions (in order, disjoint) all
// over the tape. Without speech the answer is "und" with confidence 0.
func (d *Identifier) Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, models.Usage, error) {
	usage := models.Usage{Model: d.r.model.Manifest.Ref()}
	answer := episode.Language{Code: episode.Undetermined, Candidates: []episode.LanguageCandidate{}}
	windows := everyWindow(speech)
	if n := d.r.params.Windows; len(windows) > n {
		spread := make([]episode.Span, n)
		for i := range spread {
			spread[i] = windows[(2*i+1)*len(windows)/(2*n)]
		}
		windows = spread
	}
	heard, err := d.r.identify(ctx, tape, windows, &usage)
	if err != nil {
		return answer, usage, fmt.Errorf("whisper: identify the language: %w", err)
	}
	for _, l := range heard[:min(5, len(heard))] {
		answer.Candidates = append(answer.Candidates, episode.LanguageCandidate{Code: l.Language, Confidence: episode.Score(l.Probability)})
	}
	if len(heard) > 0 {
		answer.Confidence = episode.Score(heard[0].Probability)
		if heard[0].Probability >= d.r.params.LanguageBelow {
			answer.Code = heard[0].Language
		}
	}
	return answer, usage, nil
}

// everyWindow lays windows of 30 s over the speech, each starting where speech
// does after the one before.
func everyWindow(speech []episode.Span) []episode.Span {
	var windows []episode.Span
	end := episode.Seconds(-1)
	for _, s := range speech {
		for at := max(s.Start, end); at < s.End; at = end {
			end = at + windowSeconds
			windows = append(windows, episode.Span{Start: at, End: end})
		}
	}
	return windows
}

// firstWindows are those that a tape that still grows has soonest.
func firstWindows(speech []episode.Span, n int) []episode.Span {
	windows := everyWindow(speech)
	return windows[:min(n, len(windows))]
}

// identify listens to windows and gives the mean of the languages'
// probabilities, the likeliest first; none without windows.
func (r *Recognizer) identify(ctx context.Context, tape audio.Reader, windows []episode.Span, usage *models.Usage) ([]Likelihood, error) {
	stream := models.NewStream(ctx, r.queue, len(windows))
	var readErr error
	for _, w := range windows {
		samples := make([]float32, windowSamples)
		n, err := tape.ReadAt(ctx, samples, int64(float64(w.Start)*sampleRate+.5))
		if err != nil && !errors.Is(err, io.EOF) {
			readErr = fmt.Errorf("read the tape at %.2f s: %w", float64(w.Start), err)
			break
		}
		it := window(r.front, samples[:n])
		it.Identify = true
		if !stream.Add(it) {
			break
		}
	}
	heard, used, err := stream.Wait()
	usage.Add(used)
	if err := cmp.Or(readErr, err); err != nil {
		return nil, err
	}
	sum := map[string]float64{}
	for _, h := range heard {
		for _, l := range h.Languages {
			sum[l.Language] += l.Probability / float64(len(heard))
		}
	}
	var mean []Likelihood
	if len(heard) > 0 {
		for _, l := range r.words.languages {
			mean = append(mean, Likelihood{l.code, sum[l.code]})
		}
	}
	slices.SortStableFunc(mean, func(a, b Likelihood) int { return cmp.Compare(b.Probability, a.Probability) })
	return mean, nil
}
