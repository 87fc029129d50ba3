package speaker

import (
	"cmp"
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

// inFlight is how many windows of one tape wait for their batch at once.
const inFlight = 64

const (
	window = episode.Seconds(float64(windowSamples) / audio.TapeRate)
	hop    = window / 2
	// shortest regions of speech tell nothing of a voice: they go to whoever
	// speaks next to them.
	shortest episode.Seconds = 0.4
	// breath is the longest pause within a turn.
	breath episode.Seconds = 1
)

// Finder finds the turns of a tape's speakers.
type Finder struct {
	queue  models.Queue[Window, Embedding]
	front  *feature.FrontEnd // nil: the model takes samples
	params parameters
	ref    string
}

type parameters struct {
	Threshold  float64         `yaml:"threshold"`   // cosine distance up to which voices are one speaker's
	MinSpeaker episode.Seconds `yaml:"min_speaker"` // who says less in all is taken for the speaker most like them
}

// New makes a finder of a model and the queue that runs it.
func New(m *models.Model, q models.Queue[Window, Embedding]) (*Finder, error) {
	f := &Finder{queue: q, ref: m.Manifest.Ref()}
	err := models.DecodeParams(m, &f.params)
	if err != nil {
		return nil, err
	}
	if p := f.params; !(p.Threshold > 0 && p.Threshold < 2) || !(p.MinSpeaker >= 0) {
		return nil, fmt.Errorf("speaker: model %s: parameters: want threshold, a cosine distance, in (0, 2) and min_speaker of 0 s or more, got %g, %g", f.ref, p.Threshold, float64(p.MinSpeaker))
	}
	f.front, err = frontEnd(m)
	return f, err
}

// Find gives the turns in the speech regions (in order, disjoint), by their
// start: they do not overlap, and no speaker's touch. Speakers are named "S1",
// "S2", … as they first speak. Without speech there are no turns. Its errors
// are the tape's, the model's and the context's.
func (f *Finder) Find(ctx context.Context, tape audio.Reader, speech []episode.Span) ([]episode.Turn, models.Usage, error) {
	places := cover(speech)
	stream := models.NewStream(ctx, f.queue, inFlight)
	var readErr error
	for _, p := range places {
		var w Window
		if w, readErr = f.window(ctx, tape, p); readErr != nil || !stream.Add(w) {
			break
		}
	}
	embeddings, usage, err := stream.Wait()
	usage.Model = f.ref
	if readErr != nil {
		return nil, usage, fmt.Errorf("speaker: read the tape: %w", readErr)
	}
	if err != nil {
		return nil, usage, fmt.Errorf("speaker: %w", err)
	}
	for _, e := range embeddings {
		if len(e) != len(embeddings[0]) {
			return nil, usage, fmt.Errorf("speaker: model %s: embeddings of %d and of %d values", f.ref, len(embeddings[0]), len(e))
		}
	}
	labels, n := cluster(embeddings, f.params.Threshold)
	seconds := make([]episode.Seconds, n)
	for i, p := range places {
		seconds[labels[i]] += p.answers.Len()
	}
	join(embeddings, labels, seconds, f.params.MinSpeaker)
	return turns(speech, places, labels), usage, nil
}

// window reads the window of a place. Speech shorter than a window is said
// again, so that no silence is heard with it.
func (f *Finder) window(ctx context.Context, tape audio.Reader, p place) (Window, error) {
	samples := make([]float32, windowSamples)
	heard := samples[:min(windowSamples, max(1, int(p.heard.Len()*audio.TapeRate+0.5)))]
	n, err := tape.ReadAt(ctx, heard, int64(p.heard.Start*audio.TapeRate))
	if err != nil && !errors.Is(err, io.EOF) {
		return Window{}, err
	}
	for n > 0 && n < windowSamples {
		n += copy(samples[n:], samples[:n])
	}
	if f.front == nil {
		return Window{samples}, nil
	}
	return Window{f.front.Item(samples)}, nil
}

// place is a window's: what is heard, and the part of it that its answer is for.
type place struct {
	heard, answers episode.Span
}

// cover lays windows over the regions that are long enough, half a window
// apart; each answers for what is nearest to its middle, and together for all.
func cover(speech []episode.Span) []place {
	var out []place
	for _, s := range speech {
		if s.Len() < shortest {
			continue
		}
		first := len(out)
		for at := s.Start; ; at += hop {
			if at+window >= s.End {
				at = max(s.Start, s.End-window)
				out = append(out, place{heard: episode.Span{Start: at, End: min(at+window, s.End)}})
				break
			}
			out = append(out, place{heard: episode.Span{Start: at, End: at + window}})
		}
		region := out[first:]
		from := s.Start
		for i := range region {
			to := s.End
			if i+1 < len(region) {
				to = (region[i].heard.Start + region[i+1].heard.End) / 2
			}
			region[i].answers = episode.Span{Start: from, End: to}
			from = to
		}
	}
	return out
}

// join gives the windows of speakers that say less than least to the speaker
// most like them, unless all are like that.
func join(embeddings []Embedding, labels []int, seconds []episode.Seconds, least episode.Seconds) {
	if !slices.ContainsFunc(seconds, func(s episode.Seconds) bool { return s >= least }) {
		return
	}
	points := make([]point, len(embeddings))
	for i, e := range embeddings {
		points[i] = point{unit(e), 1}
	}
	centres := centresOf(points, labels, len(seconds))
	to := make([]int, len(seconds))
	for i := range to {
		to[i] = i
		if seconds[i] >= least {
			continue
		}
		best := -2.0
		for j := range centres {
			if alike := dot(centres[i].at, centres[j].at); seconds[j] >= least && alike > best {
				to[i], best = j, alike
			}
		}
	}
	for i := range labels {
		labels[i] = to[labels[i]]
	}
}

// turns joins what a speaker says in one go, and gives the regions that were
// too short to tell to whoever speaks nearest.
func turns(speech []episode.Span, places []place, labels []int) []episode.Turn {
	names := map[int]string{}
	var said []episode.Turn
	for i, p := range places {
		if _, ok := names[labels[i]]; !ok {
			names[labels[i]] = fmt.Sprintf("S%d", len(names)+1)
		}
		said = append(said, episode.Turn{Speaker: names[labels[i]], Span: p.answers})
	}
	if len(said) == 0 {
		return []episode.Turn{}
	}
	for _, s := range speech {
		if s.Len() >= shortest || s.Len() <= 0 {
			continue
		}
		next, _ := slices.BinarySearchFunc(said, s.Start, func(t episode.Turn, at episode.Seconds) int { return cmp.Compare(t.Start, at) })
		near := max(0, next-1)
		if next > 0 && next < len(said) && said[next].Start-s.End < s.Start-said[next-1].End {
			near = next
		}
		said = slices.Insert(said, next, episode.Turn{Speaker: said[near].Speaker, Span: s})
	}
	out := said[:1]
	for _, t := range said[1:] {
		last := &out[len(out)-1]
		if t.Speaker == last.Speaker && t.Start-last.End <= breath {
			last.End = t.End
			continue
		}
		out = append(out, t)
	}
	return out
}
