package sound

import (
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Events says how one sound's probabilities become events. Its tags are the
// names in the manifest's parameters.
type Events struct {
	Onset     float64         `yaml:"threshold"`  // smoothed probability that starts an event, where the label names none
	Offset    float64         `yaml:"offset"`     // share of Onset below which it ends, (0, 1]
	Smooth    episode.Seconds `yaml:"smooth"`     // centred mean over so long
	MinLength episode.Seconds `yaml:"min_length"` // shorter events are dropped
	MaxGap    episode.Seconds `yaml:"max_gap"`    // events this close are one
}

// Event is one sound from onset to offset.
type Event struct {
	episode.Span
	Confidence episode.Score // mean smoothed probability from onset to offset, gaps left out
}

// Validate reports every value that makes no sense.
func (e Events) Validate() error {
	var bad []error
	if !(e.Onset > 0 && e.Onset <= 1) {
		bad = append(bad, fmt.Errorf("threshold: %g is not in (0, 1]", e.Onset))
	}
	if !(e.Offset > 0 && e.Offset <= 1) {
		bad = append(bad, fmt.Errorf("offset: %g is not a share in (0, 1]", e.Offset))
	}
	for _, f := range []struct {
		name string
		v    episode.Seconds
	}{{"smooth", e.Smooth}, {"min_length", e.MinLength}, {"max_gap", e.MaxGap}} {
		if !(f.v >= 0 && f.v <= 60) {
			bad = append(bad, fmt.Errorf("%s: %g s is not between 0 and a minute", f.name, float64(f.v)))
		}
	}
	return errors.Join(bad...)
}

// Find gives the events of a track of probabilities, in order, more than MaxGap
// apart, within the tape.
func (e Events) Find(p []float32, step, duration episode.Seconds) []Event {
	type run struct {
		from, to int
		sum      float64
		steps    int
	}
	var runs []run
	on := false
	smooth := e.smooth(p, step)
	for i, v := range smooth {
		switch {
		case !on && v >= e.Onset:
			on = true
			if n := len(runs); n > 0 && episode.Seconds(i-runs[n-1].to)*step <= e.MaxGap {
				break
			}
			runs = append(runs, run{from: i})
		case on && v < e.Onset*e.Offset:
			on = false
		}
		if on {
			r := &runs[len(runs)-1]
			r.to, r.sum, r.steps = i+1, r.sum+v, r.steps+1
		}
	}
	var out []Event
	for _, r := range runs {
		s := episode.Span{Start: episode.Seconds(r.from) * step, End: min(duration, episode.Seconds(r.to)*step)}
		if s.Len() > 0 && s.Len() >= e.MinLength {
			out = append(out, Event{Span: s, Confidence: episode.Score(r.sum / float64(r.steps))})
		}
	}
	return out
}

// smooth is a centred mean; at the track's ends the first and last value go on.
func (e Events) smooth(p []float32, step episode.Seconds) []float64 {
	half := 0
	if step > 0 {
		half = int(e.Smooth / step / 2)
	}
	sums := make([]float64, len(p)+2*half+1)
	for i := range len(p) + 2*half {
		sums[i+1] = sums[i]
		if len(p) > 0 {
			sums[i+1] += float64(p[max(0, min(len(p)-1, i-half))])
		}
	}
	out := make([]float64, len(p))
	for i := range out {
		out[i] = min(1, max(0, (sums[i+2*half+1]-sums[i])/float64(2*half+1)))
	}
	return out
}
