package feature

import (
	"errors"
	"fmt"
	"math"
)

// What is done to a whole item's log-mel before a model sees it.
const (
	// NormaliseNone leaves the log-mel as it is.
	NormaliseNone = "none"
	// NormaliseItem subtracts each channel's mean over the item, then divides
	// by the item's standard deviation over all channels, plus 0.001.
	NormaliseItem = "item"
)

// The kinds of front end. All but KindLogMel are presets, the same numbers as
// from the library that a family of models was published with: of a Config they
// take Mels, and KindNeMo also Pad; the rest is set.
const (
	// KindLogMel is frames of whole windows, no padding, natural logarithm:
	// the built-in models', and whatever else its fields describe.
	KindLogMel = "logmel"
	// KindWhisper is openai-whisper's log_mel_spectrogram (and transformers'
	// WhisperFeatureExtractor): 80 or 128 mels, centred windows, the last
	// frame dropped. An item shorter than 30 s is padded with silence to 3000
	// frames; a longer one is taken whole. The highest value, on which the
	// range rests, is the item's.
	KindWhisper = "whisper"
	// KindNeMo is NeMo's AudioToMelSpectrogramPreprocessor (FilterbankFeatures)
	// without dither: pre-emphasis, centred windows, and each channel
	// normalised over the item. Only valid frames are given, samples/hop of
	// them: pad a batch with zeros, as NeMo does. PadReflect is its older form,
	// with a frame more.
	KindNeMo = "nemo"
	// KindCED is the CedFeatureExtractor of transformers: torchaudio's
	// MelSpectrogram and AmplitudeToDB(top_db=120), in decibels.
	KindCED = "ced"
)

// What lies beyond an item's ends.
const (
	PadConstant = "constant" // zeros
	PadReflect  = "reflect"  // the item's mirror image
)

// Config describes a log-mel front end. It has the fields of models.Frontend,
// the `frontend` section of a manifest, and converts from it:
// feature.Config(*manifest.Frontend).
type Config struct {
	Kind       string // KindLogMel, KindWhisper, KindNeMo or KindCED
	SampleRate int    // Hz
	FFT        int    // samples, even, half of it a product of 2, 3 and 5
	Window     int    // samples, Hann
	Hop        int    // samples
	Mels       int    // channels
	MinHz      float64
	MaxHz      float64
	Scale      string  // "htk" or "slaney"
	Floor      float64 // KindLogMel: added to the mel power before the natural logarithm
	Normalise  string  // NormaliseNone or NormaliseItem
	Pad        string  // KindNeMo: PadConstant (the default) or PadReflect
}

// Default is the front end of the built-in models: 64 mel channels between 20
// and 7600 Hz, windows of 25 ms every 10 ms, no normalisation.
func Default() Config {
	return Config{
		Kind: "logmel", SampleRate: 16000, FFT: 512, Window: 400, Hop: 160,
		Mels: 64, MinHz: 20, MaxHz: 7600, Scale: "htk", Floor: 1e-6,
		Normalise: NormaliseNone,
	}
}

// Validate reports every value that cannot describe a front end.
func (c Config) Validate() error {
	var bad []error
	say := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if c.Kind == KindLogMel {
		c.validateLogMel(say)
	} else if _, ok := presets[c.Kind]; ok {
		c.validatePreset(say)
	} else {
		say("kind: %q is not known (have %q, %q, %q, %q)", c.Kind, KindLogMel, KindWhisper, KindNeMo, KindCED)
	}
	if len(bad) > 0 {
		return fmt.Errorf("front end: %w", errors.Join(bad...))
	}
	return nil
}

func (c Config) validatePreset(say func(string, ...any)) {
	if c.Mels < 1 {
		say("mels: %d must be at least one channel", c.Mels)
	}
	if c.Kind == KindWhisper && c.Mels != 80 && c.Mels != 128 {
		say("mels: Whisper has 80 or 128, not %d", c.Mels)
	}
	if c.Kind == KindNeMo {
		if c.Pad != "" && c.Pad != PadConstant && c.Pad != PadReflect {
			say("pad: %q is not known (have %q, %q)", c.Pad, PadConstant, PadReflect)
		}
	} else if c.Pad != "" && c.Pad != presets[c.Kind].Pad {
		say("pad: kind %s has its own, leave it out", c.Kind)
	}
	// A preset's Config with everything filled in is as good as one with only what it takes.
	if set := c.resolved(); c != set {
		set = Config{Kind: c.Kind, Mels: c.Mels, Pad: c.Pad}
		if c != set {
			say("sample_rate, fft, window, hop, min_hz, max_hz, scale, floor, normalise: kind %s has its own, leave them out", c.Kind)
		}
	}
}

func (c Config) validateLogMel(say func(string, ...any)) {
	if c.Scale != "htk" && c.Scale != "slaney" {
		say("scale: %q is not known (have \"htk\", \"slaney\")", c.Scale)
	}
	if c.SampleRate <= 0 {
		say("sample_rate: %d is not a rate in hertz", c.SampleRate)
	}
	if c.FFT < 8 || c.FFT%2 != 0 || radicesOf(c.FFT/2) == nil {
		say("fft: %d is not an even number of at least 8 with no prime factor above 5", c.FFT)
	}
	if c.Window < 1 || c.Window > c.FFT {
		say("window: %d samples do not fit an FFT of %d", c.Window, c.FFT)
	}
	if c.Hop < 1 {
		say("hop: %d must be at least one sample", c.Hop)
	}
	if c.Mels < 1 {
		say("mels: %d must be at least one channel", c.Mels)
	}
	if !(c.MinHz >= 0 && c.MinHz < c.MaxHz && c.MaxHz <= float64(c.SampleRate)/2) {
		say("min_hz, max_hz: %g to %g Hz is no band within 0 to %g Hz", c.MinHz, c.MaxHz, float64(c.SampleRate)/2)
	}
	if !(c.Floor > 0) || math.IsInf(c.Floor, 0) {
		say("floor: %g must be positive, the logarithm of silence needs it", c.Floor)
	}
	switch c.Normalise {
	case NormaliseNone, NormaliseItem, "":
	default:
		say("normalise: %q is not known (have %q, %q)", c.Normalise, NormaliseNone, NormaliseItem)
	}
	if c.Pad != "" {
		say("pad: kind %s takes none", c.Kind)
	}
}

// Seconds is the time at which frame i starts or, for the presets, at which its
// window is centred.
func (c Config) Seconds(i int) float64 {
	c = c.resolved()
	return float64(i) * float64(c.Hop) / float64(c.SampleRate)
}

// Frames is how many frames an item of so many samples has. KindLogMel has
// whole windows: 1 + (samples-window)/hop, or none when the samples do not fill
// one. The presets say theirs.
func (c Config) Frames(samples int) int {
	if c = c.resolved(); !c.Streams() {
		return c.centredFrames(samples)
	}
	if samples < c.Window {
		return 0
	}
	return 1 + (samples-c.Window)/c.Hop
}

// Samples is how many samples it takes to give so many frames. KindWhisper
// takes at least 30 s.
func (c Config) Samples(frames int) int {
	if frames < 1 {
		return 0
	}
	switch c = c.resolved(); {
	case c.Streams():
		return (frames-1)*c.Hop + c.Window
	case c.Kind == KindWhisper || c.Kind == KindNeMo && c.Pad == PadConstant:
		return frames * c.Hop
	}
	return max(1, (frames-1)*c.Hop)
}
