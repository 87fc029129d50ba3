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

// Config describes a log-mel front end. It has the fields of models.Frontend,
// the `frontend` section of a manifest, and converts from it:
// feature.Config(*manifest.Frontend).
type Config struct {
	Kind       string // "logmel"
	SampleRate int    // Hz
	FFT        int    // samples, a power of two
	Window     int    // samples, periodic Hann
	Hop        int    // samples
	Mels       int    // channels
	MinHz      float64
	MaxHz      float64
	Scale      string  // "htk"
	Floor      float64 // added to the mel power before the natural logarithm
	Normalise  string  // NormaliseNone or NormaliseItem
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
	if c.Kind != "logmel" {
		say("kind: %q is not known (have \"logmel\")", c.Kind)
	}
	if c.Scale != "htk" {
		say("scale: %q is not known (have \"htk\")", c.Scale)
	}
	if c.SampleRate <= 0 {
		say("sample_rate: %d is not a rate in hertz", c.SampleRate)
	}
	if c.FFT < 8 || c.FFT&(c.FFT-1) != 0 {
		say("fft: %d is not a power of two of at least 8", c.FFT)
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
	if len(bad) > 0 {
		return fmt.Errorf("front end: %w", errors.Join(bad...))
	}
	return nil
}

// Seconds is the time at which frame i starts.
func (c Config) Seconds(i int) float64 { return float64(i) * float64(c.Hop) / float64(c.SampleRate) }

// Frames is how many whole frames the samples give, without padding:
// 1 + (samples-window)/hop, or none when the samples do not fill a window.
func (c Config) Frames(samples int) int {
	if samples < c.Window {
		return 0
	}
	return 1 + (samples-c.Window)/c.Hop
}

// Samples is how many samples it takes to give so many frames.
func (c Config) Samples(frames int) int {
	if frames < 1 {
		return 0
	}
	return (frames-1)*c.Hop + c.Window
}
