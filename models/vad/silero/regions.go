package silero

import (
	"errors"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
)

// Regions says how probabilities become regions of speech, in the terms of the
// reference (get_speech_timestamps in the package silero-vad 6.2): its tags are
// the reference's names, and what a manifest leaves out has the reference's
// value. There is no longest region.
type Regions struct {
	Threshold    float64 `yaml:"-"`                       // probability from which it is speech: the label's threshold
	NegThreshold float64 `yaml:"neg_threshold"`           // below it speech may have ended
	MinSpeech    float64 `yaml:"min_speech_duration_ms"`  // regions no longer are dropped
	MinSilence   float64 `yaml:"min_silence_duration_ms"` // shorter pauses do not end a region
	Pad          float64 `yaml:"speech_pad_ms"`           // added at both ends, at most half the pause
}

// reference has the reference's defaults, but for those that fill derives.
var reference = Regions{MinSpeech: 250, MinSilence: 100, Pad: 30}

// fill sets the thresholds that were not given.
func (r *Regions) fill() {
	if r.Threshold == 0 {
		r.Threshold = 0.5
	}
	if r.NegThreshold == 0 {
		r.NegThreshold = max(r.Threshold-0.15, 0.01)
	}
}

func (r Regions) validate() error {
	var bad []error
	if !(r.Threshold > 0 && r.Threshold <= 1) {
		bad = append(bad, fmt.Errorf("labels[0].threshold: %g is not in (0, 1]", r.Threshold))
	}
	if !(r.NegThreshold > 0 && r.NegThreshold <= r.Threshold) {
		bad = append(bad, fmt.Errorf("parameters.neg_threshold: %g is not in (0, %g]", r.NegThreshold, r.Threshold))
	}
	for _, f := range []struct {
		name string
		v    float64
	}{{"min_speech_duration_ms", r.MinSpeech}, {"min_silence_duration_ms", r.MinSilence}, {"speech_pad_ms", r.Pad}} {
		if !(f.v >= 0 && f.v <= 60000) {
			bad = append(bad, fmt.Errorf("parameters.%s: %g is not between 0 and a minute", f.name, f.v))
		}
	}
	return errors.Join(bad...)
}

// extent is a region of speech, in samples.
type extent struct{ start, end int64 }

// find gives the regions of a track of probabilities, one for every 512
// samples, of a tape of so many samples. The last region's end is the tape's
// when speech goes on.
func (r Regions) find(probability []float32, length int64) []extent {
	const perMillisecond = audio.TapeRate / 1000
	minSpeech, minSilence := r.MinSpeech*perMillisecond, r.MinSilence*perMillisecond
	var found []extent
	speaking := false
	var start, quiet int64 // quiet: where the pause began; 0: in no pause
	for i, p := range probability {
		at := int64(i) * stepSamples
		switch {
		case float64(p) >= r.Threshold:
			quiet = 0
			if !speaking {
				speaking, start = true, at
			}
		case float64(p) < r.NegThreshold && speaking:
			if quiet == 0 {
				quiet = at
			}
			if float64(at-quiet) < minSilence {
				continue
			}
			if float64(quiet-start) > minSpeech {
				found = append(found, extent{start, quiet})
			}
			speaking, quiet = false, 0
		}
	}
	if speaking && float64(length-start) > minSpeech {
		found = append(found, extent{start, length})
	}
	r.pad(found, length)
	return found
}

// pad widens the regions. Of a pause shorter than two paddings each side takes
// half, rounded down.
func (r Regions) pad(found []extent, length int64) {
	padding := r.Pad * (audio.TapeRate / 1000)
	for i := range found {
		if i == 0 {
			found[i].start = int64(max(0, float64(found[i].start)-padding))
		}
		if i == len(found)-1 {
			found[i].end = int64(min(float64(length), float64(found[i].end)+padding))
			break
		}
		next := &found[i+1].start
		if pause := *next - found[i].end; float64(pause) < 2*padding {
			found[i].end += pause / 2
			*next = max(0, *next-pause/2)
		} else {
			found[i].end = int64(min(float64(length), float64(found[i].end)+padding))
			*next = int64(max(0, float64(*next)-padding))
		}
	}
}

func spans(found []extent) []episode.Span {
	out := make([]episode.Span, len(found))
	for i, e := range found {
		out[i] = episode.Span{
			Start: episode.Seconds(float64(e.start) / audio.TapeRate),
			End:   episode.Seconds(float64(e.end) / audio.TapeRate),
		}
	}
	return out
}
