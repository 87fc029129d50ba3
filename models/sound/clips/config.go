package clips

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/sound"
)

// The families that this package runs.
const (
	ClipClassifier = "clip-classifier"
	PatchWaveform  = "patch-waveform"
)

// parameters of the manifest.
type parameters struct {
	Clip    clip                    `yaml:"clip"`
	Default sound.Events            `yaml:"events"`
	Labels  map[string]sound.Events `yaml:"labels"`
}

type clip struct {
	Rate    int             `yaml:"rate"`    // Hz, of a waveform; 0 is the tape's or the front end's
	Window  episode.Seconds `yaml:"window"`  // what one answer is about
	Hop     episode.Seconds `yaml:"hop"`     // from one window to the next
	Patches int             `yaml:"patches"` // patch-waveform: windows in an item; 0 is 20
	Sigmoid bool            `yaml:"sigmoid"` // the scores are logits
	Output  string          `yaml:"output"`  // which output has the scores; may be left out where there is one
}

// layout is how a model's items are made of a tape.
type layout struct {
	family      string
	in, out     string
	rate        int // Hz
	window, hop int // samples at that rate
	patches     int // windows in an item
	sigmoid     bool
	front       *feature.FrontEnd // nil: waveforms
	byMel       bool              // [mels, frames], not [frames, mels]
	shape       []int64           // of an item's input
}

// samples is the length of an item at the model's rate.
func (l *layout) samples() int { return (l.patches-1)*l.hop + l.window }

// duration is the length of an item.
func (l *layout) duration() episode.Seconds {
	return episode.Seconds(float64(l.samples()) / float64(l.rate))
}

func newLayout(m *models.Model, p parameters) (*layout, error) {
	c := &m.Manifest
	fault := func(format string, args ...any) error {
		return fmt.Errorf("clips: model %s: %s", c.Ref(), fmt.Sprintf(format, args...))
	}
	if c.Family != ClipClassifier && c.Family != PatchWaveform {
		return nil, fault("family %q: want %q or %q", c.Family, ClipClassifier, PatchWaveform)
	}
	if len(c.Sessions) != 1 || len(c.Inputs) != 1 || len(c.Labels) == 0 {
		return nil, fault("want one session with one input, and labels; got %d, %d and %d", len(c.Sessions), len(c.Inputs), len(c.Labels))
	}
	l := &layout{family: c.Family, in: c.Inputs[0].Name, out: p.Clip.Output, sigmoid: p.Clip.Sigmoid, patches: 1}
	if l.out == "" {
		if len(c.Outputs) != 1 {
			return nil, fault("parameters.clip.output: the graph has %d outputs: name the one with the scores", len(c.Outputs))
		}
		l.out = c.Outputs[0].Name
	}
	l.rate = cmp.Or(p.Clip.Rate, audio.TapeRate)
	if c.Frontend != nil {
		var err error
		if l.front, err = feature.New(feature.Config(*c.Frontend)); err != nil {
			return nil, fault("%v", err)
		}
		if l.rate = l.front.Config().SampleRate; p.Clip.Rate != 0 && p.Clip.Rate != l.rate {
			return nil, fault("parameters.clip.rate: %d Hz, and the front end has %d", p.Clip.Rate, l.rate)
		}
	}
	var err error
	if l.window, err = samplesOf("window", p.Clip.Window, l.rate); err == nil {
		l.hop, err = samplesOf("hop", p.Clip.Hop, l.rate)
	}
	if err != nil {
		return nil, fault("parameters.clip.%v", err)
	}
	if l.hop > l.window {
		return nil, fault("parameters.clip.hop: %g s would leave audio between windows of %g s unheard", float64(p.Clip.Hop), float64(p.Clip.Window))
	}
	switch {
	case c.Family == PatchWaveform && l.front != nil:
		return nil, fault("frontend: a %s model takes waveforms", PatchWaveform)
	case c.Family == PatchWaveform && (p.Clip.Patches < 0 || p.Clip.Patches > 1000):
		return nil, fault("parameters.clip.patches: want 1 to 1000, or nothing for 20, got %d", p.Clip.Patches)
	case c.Family == PatchWaveform:
		l.patches = cmp.Or(p.Clip.Patches, 20)
	case p.Clip.Patches != 0:
		return nil, fault("parameters.clip.patches: is for %s models", PatchWaveform)
	}
	if err := l.setShape(c.Inputs[0].Shape); err != nil {
		return nil, fault("inputs[0].shape: %v", err)
	}
	return l, nil
}

// maxWindow bounds a window, and with it what an item holds.
const maxWindow = 60 // seconds

func samplesOf(name string, s episode.Seconds, rate int) (int, error) {
	if !(s > 0 && s <= maxWindow) {
		return 0, fmt.Errorf("%s: want more than 0 and at most %d s, got %g", name, maxWindow, float64(s))
	}
	n := float64(s) * float64(rate)
	if math.Abs(n-math.Round(n)) > 1e-6*n {
		return 0, fmt.Errorf("%s: %g s are %g samples at %d Hz: want a whole number", name, float64(s), n, rate)
	}
	return int(math.Round(n)), nil
}

// setShape finds the shape of an item's input and checks it against the
// manifest's.
func (l *layout) setShape(declared []string) error {
	axes := 2 // batch, samples
	switch {
	case l.family == PatchWaveform:
		axes = 1
		l.shape = []int64{int64(l.samples())}
	case l.front == nil:
		l.shape = []int64{int64(l.window)}
	default:
		axes = 3
		mels, frames := int64(l.front.Config().Mels), int64(l.front.Frames(l.window))
		l.shape = []int64{frames, mels}
		if len(declared) == axes && declared[2] != strconv.FormatInt(mels, 10) {
			l.byMel = true
			l.shape = []int64{mels, frames}
		}
	}
	if len(declared) != axes {
		return fmt.Errorf("has %d axes, want %d", len(declared), axes)
	}
	for i, size := range l.shape {
		at := declared[i+axes-len(l.shape)]
		if n, err := strconv.ParseInt(at, 10, 64); err == nil && n != size {
			return fmt.Errorf("an item has shape %v and the graph wants %s where it has %d: see parameters.clip.window and frontend.mels", l.shape, at, size)
		}
	}
	return nil
}
