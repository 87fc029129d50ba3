package ads

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

const (
	// inFlight bounds the items between a finder and the scheduler.
	inFlight = 64

	// bridge is what may lie between two parts of one advertisement: a segment
	// that was misheard.
	bridge episode.Seconds = 6
	// openingWords are the words that tell whether a segment goes on with what
	// was said before it.
	openingWords = 4
	// jingleReach is how near music must begin or end to be the
	// advertisement's jingle; longer music than longestJingle is a song.
	jingleReach   episode.Seconds = 1.5
	longestJingle episode.Seconds = 8
	// jingleChange is how much a jingle speaks for a change, in log-odds.
	jingleChange = 1.5
	// shortest is what most finds that are none stay below.
	shortest episode.Seconds = 8
)

// Evidence is what is known of an episode when its advertisements are sought.
type Evidence struct {
	Segments    []episode.Segment // of the transcript, in order
	SoundEvents []episode.SoundEvent
	Duration    episode.Seconds
}

// Finder finds advertisements.
type Finder struct {
	model     string
	params    params
	chain     chain
	threshold float64
	queue     models.Queue[Window, Score]
}

// New makes a finder on a queue of its model. The manifest's label says from
// which probability a segment is advertisement.
func New(m *models.Model, q models.Queue[Window, Score]) (*Finder, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return &Finder{m.Manifest.Ref(), p, chain{p.First, p.Begin, p.End}, m.Manifest.Labels[0].Threshold, q}, nil
}

// Find returns the advertisements, in order and without overlap, each with the
// mean probability of its segments.
func (f *Finder) Find(ctx context.Context, e Evidence) ([]episode.Ad, models.Usage, error) {
	e.Segments = slices.DeleteFunc(slices.Clone(e.Segments), func(s episode.Segment) bool { return len(words.Split(s.Text)) == 0 })
	scores, usage, err := models.Map(ctx, f.queue, inFlight, f.windows(e.Segments))
	usage.Model = f.model
	if err != nil {
		return nil, usage, err
	}
	return join(e, f.chain.marginals(withMusic(scores, e)), f.threshold), usage, nil
}

// windows are the segments with the words around them.
func (f *Finder) windows(segments []episode.Segment) []Window {
	var said []string // of all segments
	ends := make([]int, len(segments))
	for i, s := range segments {
		said = append(said, words.Stems(s.Text)...)
		ends[i] = len(said)
	}
	out := make([]Window, len(segments))
	from := 0
	for i, to := range ends {
		features := func(stems []string) words.Features { return words.Hash(stems, f.params.Rows) }
		out[i] = Window{
			Inner:   features(said[from:to]),
			Before:  features(said[max(0, from-f.params.ContextWords):from]),
			After:   features(said[to:min(len(said), to+f.params.ContextWords)]),
			Opening: opening(said[from:min(to, from+openingWords)], f.params.Rows),
		}
		from = to
	}
	return out
}

// opening are the features of a segment's first stems: "^" before each, "^"
// before the first two, "^^" before the first. All weigh the same.
func opening(stems []string, rows int) words.Features {
	if len(stems) == 0 {
		return words.Features{}
	}
	names := []string{"^" + strings.Join(stems[:min(2, len(stems))], " "), "^^" + stems[0]}
	for _, w := range stems {
		names = append(names, "^"+w)
	}
	var f words.Features
	for _, name := range names {
		f.Rows = append(f.Rows, words.Row(name, rows))
		f.Weights = append(f.Weights, 0.5)
	}
	return f
}

// withMusic are the scores with more belief in a change where a jingle plays
// between two segments.
func withMusic(scores []Score, e Evidence) []Score {
	out := slices.Clone(scores)
	for i := 1; i < len(out); i++ {
		before, after := e.Segments[i-1], e.Segments[i]
		if slices.ContainsFunc(e.SoundEvents, func(m episode.SoundEvent) bool {
			return isJingle(m) && m.Start > before.End-jingleReach && m.End < after.Start+jingleReach
		}) {
			out[i].Change += jingleChange
		}
	}
	return out
}

// join makes spans of the segments at or above the threshold: parts that lie
// close are one advertisement, jingles next to it belong to it.
func join(e Evidence, probabilities []float64, threshold float64) []episode.Ad {
	type part struct {
		episode.Span
		sum float64
		n   int
	}
	var parts []part
	for i, s := range e.Segments {
		p := probabilities[i]
		if p < threshold {
			continue
		}
		if n := len(parts); n > 0 && s.Start-parts[n-1].End <= bridge {
			parts[n-1].End = max(parts[n-1].End, s.End)
			parts[n-1].sum += p
			parts[n-1].n++
			continue
		}
		parts = append(parts, part{s.Span, p, 1})
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.Len() < shortest })
	out := []episode.Ad{}
	for i, p := range parts {
		floor, ceiling := episode.Seconds(0), e.Duration
		if i > 0 {
			floor = parts[i-1].End
		}
		if i+1 < len(parts) {
			ceiling = parts[i+1].Start
		}
		ad := episode.Ad{Span: withJingles(p.Span, e.SoundEvents), Confidence: episode.Score(p.sum / float64(p.n))}
		ad.Start, ad.End = max(floor, ad.Start), min(ceiling, ad.End)
		if n := len(out); n > 0 {
			ad.Start = max(ad.Start, out[n-1].End)
		}
		out = append(out, ad)
	}
	return out
}

func isJingle(m episode.SoundEvent) bool { return m.Label == "Music" && m.Len() <= longestJingle }

// withJingles widens a span by the short music right before and after it.
func withJingles(s episode.Span, sounds []episode.SoundEvent) episode.Span {
	out := s
	music := slices.Clone(sounds)
	slices.SortFunc(music, func(a, b episode.SoundEvent) int { return cmp.Compare(a.Start, b.Start) })
	for _, m := range music {
		if !isJingle(m) {
			continue
		}
		if m.Start < s.Start && m.End >= s.Start-jingleReach && m.End <= s.Start+jingleReach {
			out.Start = min(out.Start, m.Start)
		}
		if m.End > s.End && m.Start <= s.End+jingleReach && m.Start >= s.End-jingleReach {
			out.End = max(out.End, m.End)
		}
	}
	return out
}
