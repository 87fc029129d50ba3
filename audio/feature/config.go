package feature

import (
	"errors"
	"fmt"
	"math"
)

// Normalisation says what is done to a whole item's log-mel before a model
// sees it.
type Normalisation string

const (
	// NormaliseNone leaves the log-mel as it is.
	NormaliseNone Normalisation = "none"
	// NormaliseMean subtracts each channel's mean over the item, then divides
	// by the item's standard deviation over all channels, plus 0.001.
	NormaliseMean Normalisation = "cmvn"
)

// Config describes a log-mel front end. Its tags are the names in the
// `frontend` section of a model's manifest.
type Config struct {
	SampleRate int           `yaml:"sample_rate" json:"sample_rate"` // Hz
	FFT        int           `yaml:"n_fft" json:"n_fft"`             // points, a power of two
	Window     int           `yaml:"window" json:"window"`           // samples, periodic Hann
	Hop        int           `yaml:"hop" json:"hop"`                 // samples
	Mels       int           `yaml:"mels" json:"mels"`               // channels, HTK mel scale
	LowHz      float64       `yaml:"low_hz" json:"low_hz"`
	HighHz     float64       `yaml:"high_hz" json:"high_hz"`
	Floor      float64       `yaml:"floor" json:"floor"` // added to the mel power before the logarithm
	Normalise  Normalisation `yaml:"normalise" json:"normalise"`
}

// Default is the front end of the built-in models: 64 mel channels between 20
// and 7600 Hz, windows of 25 ms every 10 ms, no normalisation.
func Default() Config {
	return Config{
		SampleRate: 16000, FFT: 512, Window: 400, Hop: 160,
		Mels: 64, LowHz: 20, HighHz: 7600, Floor: 1e-6,
		Normalise: NormaliseNone,
	}
}

// Validate reports every value that cannot describe a front end.
func (c Config) Validate() error {
	var bad []error
	say := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if c.SampleRate <= 0 {
		say("sample_rate: %d is not a rate in hertz", c.SampleRate)
	}
	if c.FFT < 8 || c.FFT&(c.FFT-1) != 0 {
		say("n_fft: %d is not a power of two of at least 8", c.FFT)
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
	if !(c.LowHz >= 0 && c.LowHz < c.HighHz && c.HighHz <= float64(c.SampleRate)/2) {
		say("low_hz, high_hz: %g to %g Hz is no band within 0 to %g Hz", c.LowHz, c.HighHz, float64(c.SampleRate)/2)
	}
	if !(c.Floor > 0) || math.IsInf(c.Floor, 0) {
		say("floor: %g must be positive, the logarithm of silence needs it", c.Floor)
	}
	switch c.Normalise {
	case NormaliseNone, NormaliseMean, "":
	default:
		say("normalise: %q is not known (have %q, %q)", c.Normalise, NormaliseNone, NormaliseMean)
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
