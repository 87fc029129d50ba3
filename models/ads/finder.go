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
	// carry is the share of the threshold that lets an advertisement go on into
	// the segment before or after it.
	carry = 0.5
	// jingleReach is how near music must begin or end to be the
	// advertisement's jingle; longer music than longestJingle is a song.
	jingleReach   episode.Seconds = 1.5
	longestJingle episode.Seconds = 8
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
	threshold float64
	queue     models.Queue[Window, float32]
}

// New makes a finder on a queue of its model. The manifest's label says from
// which probability a segment is advertisement.
func New(m *models.Model, q models.Queue[Window, float32]) (*Finder, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return &Finder{m.Manifest.Ref(), p, m.Manifest.Labels[0].Threshold, q}, nil
}

// Find returns the advertisements, in order and without overlap, each with the
// mean probability of its segments.
func (f *Finder) Find(ctx context.Context, e Evidence) ([]episode.Ad, models.Usage, error) {
	probabilities, usage, err := models.Map(ctx, f.queue, inFlight, f.windows(e.Segments))
	usage.Model = f.model
	if err != nil {
		return nil, usage, err
	}
	return join(e, probabilities, f.threshold), usage, nil
}

// windows are the segments with the words next to them.
func (f *Finder) windows(segments []episode.Segment) []Window {
	said := make([][]string, len(segments))
	for i, s := range segments {
		said[i] = words.Split(s.Text)
	}
	out := make([]Window, len(segments))
	for i := range segments {
		var near []string
		if i > 0 {
			near = append(near, said[i-1][max(0, len(said[i-1])-f.params.ContextWords):]...)
		}
		if i+1 < len(segments) {
			near = append(near, said[i+1][:min(len(said[i+1]), f.params.ContextWords)]...)
		}
		out[i] = Window{f.features(said[i]), f.features(near)}
	}
	return out
}

func (f *Finder) features(said []string) words.Features {
	stems := make([]string, len(said))
	for i, w := range said {
		stems[i] = words.Stem(w)
	}
	return words.Hash(stems, f.params.Rows)
}

// join makes spans of the segments at or above the threshold: parts that lie
// close are one advertisement, jingles next to it belong to it.
func join(e Evidence, probabilities []float32, threshold float64) []episode.Ad {
	type part struct {
		episode.Span
		sum float64
		n   int
	}
	in := chosen(probabilities, threshold)
	var parts []part
	for i, s := range e.Segments {
		if !in[i] || strings.TrimSpace(s.Text) == "" {
			continue
		}
		p := float64(probabilities[i])
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

// chosen says which segments are advertisement: those at or above the
// threshold, and their neighbours as long as each is at or above its carry.
func chosen(probabilities []float32, threshold float64) []bool {
	in := make([]bool, len(probabilities))
	for i, p := range probabilities {
		in[i] = float64(p) >= threshold
	}
	spread := func(i, from int) {
		if from >= 0 && from < len(in) && in[from] && float64(probabilities[i]) >= carry*threshold {
			in[i] = true
		}
	}
	for i := range in {
		spread(i, i-1)
	}
	for i := len(in) - 1; i >= 0; i-- {
		spread(i, i+1)
	}
	return in
}

// withJingles widens a span by the short music right before and after it.
func withJingles(s episode.Span, sounds []episode.SoundEvent) episode.Span {
	out := s
	music := slices.Clone(sounds)
	slices.SortFunc(music, func(a, b episode.SoundEvent) int { return cmp.Compare(a.Start, b.Start) })
	for _, m := range music {
		if m.Label != "Music" || m.Len() > longestJingle {
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
