package vad

import (
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Regions says how a track of probabilities becomes regions of speech. Its
// tags are the names in the manifest's parameters.
type Regions struct {
	Onset      float64         `yaml:"-"`           // probability that starts a region
	Offset     float64         `yaml:"offset"`      // probability below which it ends; at most Onset
	MinSpeech  episode.Seconds `yaml:"min_speech"`  // shorter regions are dropped
	MinSilence episode.Seconds `yaml:"min_silence"` // shorter gaps are closed
	Padding    episode.Seconds `yaml:"padding"`     // added at both ends, at most half the gap
}

// Validate reports every value that makes no sense.
func (r Regions) Validate() error {
	var bad []error
	if !(r.Onset > 0 && r.Onset <= 1) {
		bad = append(bad, fmt.Errorf("labels[0].threshold: %g is not in (0, 1]", r.Onset))
	}
	if !(r.Offset > 0 && r.Offset <= r.Onset) {
		bad = append(bad, fmt.Errorf("parameters.offset: %g is not in (0, %g]", r.Offset, r.Onset))
	}
	for _, f := range []struct {
		name string
		v    episode.Seconds
	}{{"min_speech", r.MinSpeech}, {"min_silence", r.MinSilence}, {"padding", r.Padding}} {
		if !(f.v >= 0 && f.v < 60) {
			bad = append(bad, fmt.Errorf("parameters.%s: %g s is not between 0 and a minute", f.name, float64(f.v)))
		}
	}
	return errors.Join(bad...)
}

// Find gives the regions of a track: ordered, disjoint, within the tape.
func (r Regions) Find(t Track) []episode.Span {
	var found []episode.Span
	speaking := false
	for i, p := range t.Probability {
		at := episode.Seconds(i) * t.Step
		switch {
		case !speaking && float64(p) >= r.Onset:
			speaking = true
			if n := len(found); n > 0 && at-found[n-1].End < r.MinSilence {
				found[n-1].End = at
				continue
			}
			found = append(found, episode.Span{Start: at, End: at})
		case speaking && float64(p) < r.Offset:
			speaking = false
			found[len(found)-1].End = at
		}
	}
	if speaking {
		found[len(found)-1].End = episode.Seconds(len(t.Probability)) * t.Step
	}
	long := found[:0]
	for _, s := range found {
		s.End = min(s.End, t.Duration)
		if s.Len() >= r.MinSpeech && s.Len() > 0 {
			long = append(long, s)
		}
	}
	return r.pad(long, t.Duration)
}

func (r Regions) pad(regions []episode.Span, duration episode.Seconds) []episode.Span {
	out := make([]episode.Span, len(regions))
	for i, s := range regions {
		before, after := r.Padding, r.Padding
		if i > 0 {
			before = min(before, (s.Start-regions[i-1].End)/2)
		}
		if i+1 < len(regions) {
			after = min(after, (regions[i+1].Start-s.End)/2)
		}
		out[i] = episode.Span{Start: max(0, s.Start-before), End: min(duration, s.End+after)}
	}
	return out
}
