package enrich

import (
	"cmp"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
)

const (
	// leadIn and leadOut are kept of the pauses around a cut, so that the first
	// consonant and the last vowel are whole.
	leadIn  episode.Seconds = 0.15
	leadOut episode.Seconds = 0.30
	// answerWithin is how soon after a sentence an audience answers it.
	answerWithin episode.Seconds = 1.5
	// sureAd is the confidence from which an advertisement is a wall. What may
	// be one is left to the ranker, since talk is taken for it now and then.
	sureAd episode.Score = 0.95
	// snapReach is how far a publisher's soundbite is moved to a pause.
	snapReach episode.Seconds = 2
	// maxCandidates bounds what the ranker sees of an 11-hour episode.
	maxCandidates = 600
	gridStep      = episode.Seconds(5)
)

// utterance is a stretch of speech, which no cut goes through.
type utterance struct {
	episode.Span
	Answered bool // by an audience, whose answer is part of the span
}

// candidates lists the spans that could be the preview: Min to Max long, cut
// at the pauses between segments, never across an ad; the publisher's
// soundbites, moved to the nearest pauses, are among them. Segments are sorted
// and do not overlap. An episode no longer than Target is its only candidate.
// Where the pauses allow nothing (music, one endless sentence), spans on a
// grid stand in. At least one candidate is returned for any duration above 0.
func candidates(duration episode.Seconds, segments []utterance, ads []episode.Span, soundbites []episode.Soundbite, o PreviewOptions) []episode.Span {
	whole := episode.Span{Start: 0, End: duration}
	if duration <= o.Target {
		return []episode.Span{whole}
	}
	var out []episode.Span
	free := adFree(whole, ads)
	for _, stretch := range free {
		out = append(out, onPauses(stretch, segments, o)...)
	}
	out = thin(out, maxCandidates)
	for _, bite := range soundbites {
		if s, ok := snap(bite.Span, segments, duration, o); ok && !crosses(s, ads) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		for _, stretch := range free {
			out = append(out, onGrid(stretch, o)...)
		}
		out = thin(out, maxCandidates)
	}
	if len(out) == 0 {
		// Only short stretches between ads: the longest of them; an episode
		// that is all advertisement gives its beginning.
		s := episode.Span{Start: 0, End: min(duration, o.Target)}
		if len(free) > 0 {
			s = slices.MaxFunc(free, func(a, b episode.Span) int { return cmp.Compare(a.Len(), b.Len()) })
		}
		out = []episode.Span{s}
	}
	slices.SortFunc(out, func(a, b episode.Span) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	return slices.Compact(out)
}

// adFree returns what the ads leave of a span, in order.
func adFree(s episode.Span, ads []episode.Span) []episode.Span {
	ads = slices.Clone(ads)
	slices.SortFunc(ads, func(a, b episode.Span) int { return cmp.Compare(a.Start, b.Start) })
	var out []episode.Span
	at := s.Start
	for _, ad := range ads {
		if ad.Start > at {
			out = append(out, episode.Span{Start: at, End: min(ad.Start, s.End)})
		}
		at = max(at, ad.End)
	}
	if at < s.End {
		out = append(out, episode.Span{Start: at, End: s.End})
	}
	return out
}

// crosses tells whether s shares any time with an ad.
func crosses(s episode.Span, ads []episode.Span) bool {
	return slices.ContainsFunc(ads, func(a episode.Span) bool { return s.Overlap(a) > 0 })
}

// onPauses cuts a stretch at its segments' bounds: from every start, the two
// ends whose length is nearest to Target, and those where an audience has
// answered.
func onPauses(stretch episode.Span, segments []utterance, o PreviewOptions) []episode.Span {
	inside := func(s episode.Span) bool { return s.Start >= stretch.Start && s.End <= stretch.End }
	var out []episode.Span
	for i := range segments {
		if !inside(segments[i].Span) {
			continue
		}
		start := cutBefore(segments, i, stretch.Start)
		var ends, answered []episode.Seconds
		for j := i; j < len(segments) && inside(segments[j].Span); j++ {
			end := cutAfter(segments, j, stretch.End)
			if end-start > o.Max {
				break
			}
			if end-start >= o.Min {
				ends = append(ends, end)
				if segments[j].Answered {
					answered = append(answered, end)
				}
			}
		}
		slices.SortFunc(ends, func(a, b episode.Seconds) int {
			return cmp.Compare(math.Abs(float64(a-start-o.Target)), math.Abs(float64(b-start-o.Target)))
		})
		for _, end := range append(ends[:min(2, len(ends)):min(2, len(ends))], answered...) {
			out = append(out, episode.Span{Start: start, End: end})
		}
	}
	return out
}

// cutBefore is where to cut in the pause before segment i, cutAfter in the one
// after it: at most half the pause is taken, so that two cuts never overlap.
func cutBefore(segments []utterance, i int, floor episode.Seconds) episode.Seconds {
	if i > 0 {
		floor = max(floor, (segments[i-1].End+segments[i].Start)/2)
	}
	return max(floor, segments[i].Start-leadIn)
}

func cutAfter(segments []utterance, i int, ceiling episode.Seconds) episode.Seconds {
	if i+1 < len(segments) {
		ceiling = min(ceiling, (segments[i].End+segments[i+1].Start)/2)
	}
	return min(ceiling, segments[i].End+leadOut)
}

func onGrid(stretch episode.Span, o PreviewOptions) []episode.Span {
	if stretch.Len() < o.Min {
		return nil
	}
	if stretch.Len() <= o.Target {
		return []episode.Span{stretch}
	}
	var out []episode.Span
	for at := stretch.Start; at+o.Target <= stretch.End; at += gridStep {
		out = append(out, episode.Span{Start: at, End: at + o.Target})
	}
	return out
}

// snap moves a publisher's soundbite to the pauses around it and brings its
// length within bounds. It reports false for one that lies outside.
func snap(bite episode.Span, segments []utterance, duration episode.Seconds, o PreviewOptions) (episode.Span, bool) {
	if bite.Start < 0 || bite.Start >= duration || bite.Len() <= 0 {
		return episode.Span{}, false
	}
	s := bite
	s.End = min(s.End, duration)
	best := snapReach
	for i := range segments {
		if d := distance(segments[i].Start, bite.Start); d < best {
			best, s.Start = d, cutBefore(segments, i, 0)
		}
	}
	best = snapReach
	for i := range segments {
		if d := distance(segments[i].End, bite.End); d < best {
			best, s.End = d, cutAfter(segments, i, duration)
		}
	}
	if s.Len() > o.Max {
		s.End = s.Start + o.Max
		for i := range segments { // the last pause that still fits
			if end := cutAfter(segments, i, duration); end <= s.Start+o.Max && end >= s.Start+o.Min {
				s.End = end
			}
		}
	}
	if s.Len() < o.Min {
		s.End = min(duration, s.Start+o.Min)
		for i := range segments { // the first pause after the shortest length
			if end := cutAfter(segments, i, duration); end >= s.Start+o.Min && end <= s.Start+o.Max {
				s.End = end
				break
			}
		}
	}
	return s, s.Len() > 0
}

// answer joins the laughter or applause that answers a segment to it, so that
// no cut falls before it. What was recognised in it is noise, more often than
// not: such a segment is no place for a cut either. Segments are in order.
func answer(segments []episode.Segment, sounds []episode.SoundEvent) []utterance {
	var out []utterance
	for i, s := range segments {
		if n := len(out); n > 0 && s.Start < out[n-1].End {
			last := &out[n-1]
			if (s.Start+s.End)/2 < last.End {
				last.End = max(last.End, s.End)
				continue
			}
			last.End = s.Start // somebody goes on before the answer ends
		}
		u := utterance{Span: s.Span}
		for _, e := range sounds {
			if e.Audience() && e.Start > s.Start && e.Start < s.End+answerWithin && e.End > s.End && !spokenBefore(segments[i+1:], e) {
				u.End, u.Answered = max(u.End, e.End), true
			}
		}
		out = append(out, u)
	}
	return out
}

// spokenBefore tells whether somebody speaks before a sound.
func spokenBefore(segments []episode.Segment, sound episode.SoundEvent) bool {
	return len(segments) > 0 && segments[0].Start < sound.Start
}

func distance(a, b episode.Seconds) episode.Seconds {
	return episode.Seconds(math.Abs(float64(a - b)))
}

// thin keeps at most n of the spans, evenly spread.
func thin(spans []episode.Span, n int) []episode.Span {
	if len(spans) <= n {
		return spans
	}
	out := make([]episode.Span, n)
	for i := range out {
		out[i] = spans[i*len(spans)/n]
	}
	return out
}
