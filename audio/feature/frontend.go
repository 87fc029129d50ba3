package feature

import (
	"fmt"
	"math"
	"sync"

	"github.com/earshot-fm/earshot/audio"
)

// FrontEnd computes log-mel frames. Its tables never change after New, and any
// number of goroutines may use one FrontEnd.
type FrontEnd struct {
	config  Config
	window  []float64
	clamps  bool    // the power is raised to the floor, else the floor is added to it
	unit    float64 // what a clamped natural logarithm is multiplied by
	silence float32 // a frame of zeros, in every channel, before normalisation
	mels    melBank
	fft     *realFFT
	scratch sync.Pool // *workspace
}

type workspace struct {
	x, y  []complex128
	power []float64
	mel   []float64
}

// New builds the tables of a front end. Its error says what the configuration
// cannot mean.
func New(c Config) (*FrontEnd, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.resolved()
	f := &FrontEnd{config: c, fft: newRealFFT(c.FFT), mels: newMelBank(c)}
	f.window = make([]float64, c.Window)
	period := float64(c.Window)
	if c.Kind == KindNeMo {
		period-- // NeMo's window is the symmetric one
	}
	for i := range f.window {
		f.window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/period)
		if c.Kind == KindLogMel { // as the built-in models' training scripts do
			f.window[i] = float64(float32(f.window[i]))
		}
	}
	switch c.Kind {
	case KindWhisper:
		f.clamps, f.unit = true, math.Log10E
	case KindCED:
		f.clamps, f.unit = true, 10*math.Log10E
	}
	f.silence = f.compress(0)
	f.scratch.New = func() any { return f.workspace() }
	return f, nil
}

// NewForTape is New for a front end that is given a tape's samples: one at
// another rate is an error, since it would hear everything too high or too low.
func NewForTape(c Config) (*FrontEnd, error) {
	f, err := New(c)
	if err == nil && f.config.SampleRate != audio.TapeRate {
		return nil, fmt.Errorf("front end: sample_rate: %d Hz, but a tape has %d", f.config.SampleRate, audio.TapeRate)
	}
	return f, err
}

func (f *FrontEnd) workspace() *workspace {
	n := f.config.FFT / 2
	return &workspace{
		x: make([]complex128, n), y: make([]complex128, n),
		power: make([]float64, n+1), mel: make([]float64, f.config.Mels+2),
	}
}

// Config is the description that the front end was made from, with what its
// kind sets filled in.
func (f *FrontEnd) Config() Config { return f.config }

// Frames is how many frames Item gives of so many samples.
func (f *FrontEnd) Frames(samples int) int { return f.config.Frames(samples) }

// AppendFrames appends to logmel the whole frames that the samples give
// (Config.Frames of them), each Mels values: [frames, mels], row by row.
// samples: mono, at the configured rate, [-1, 1]. Nothing is normalised. It is
// for KindLogMel: the frames of the other kinds depend on where an item ends,
// and it panics.
func (f *FrontEnd) AppendFrames(logmel, samples []float32) []float32 {
	f.mustStream()
	w := f.scratch.Get().(*workspace)
	defer f.scratch.Put(w)
	for at := 0; at+f.config.Window <= len(samples); at += f.config.Hop {
		logmel = f.appendFrame(logmel, samples[at:at+f.config.Window], w)
	}
	return logmel
}

func (f *FrontEnd) mustStream() {
	if !f.config.Streams() {
		panic("feature: frames of kind " + f.config.Kind + " depend on the whole item: use Item")
	}
}

// Item gives what a model is fed for one item of audio, [frames, mels] row by
// row: padded, transformed and normalised as the kind says (see Config).
// samples: mono, at the configured rate, [-1, 1].
func (f *FrontEnd) Item(samples []float32) []float32 {
	logmel := make([]float32, 0, f.config.Frames(len(samples))*f.config.Mels)
	if f.config.Streams() {
		logmel = f.AppendFrames(logmel, samples)
	} else {
		logmel = f.appendCentred(logmel, samples)
	}
	f.Normalise(logmel)
	return logmel
}

// ItemByMel is Item the other way round: [mels, frames].
func (f *FrontEnd) ItemByMel(samples []float32) []float32 {
	logmel, mels := f.Item(samples), f.config.Mels
	frames := len(logmel) / mels
	out := make([]float32, len(logmel))
	for at := 0; at < frames; at += 16 { // a few rows at a time stay in the cache
		rows := logmel[at*mels : min(at+16, frames)*mels]
		for c := range mels {
			column := out[c*frames+at:]
			for i, j := 0, c; j < len(rows); i, j = i+1, j+mels {
				column[i] = rows[j]
			}
		}
	}
	return out
}

// Normalise applies to one item, in place, what its kind does to an item as a
// whole. logmel: [frames, mels].
func (f *FrontEnd) Normalise(logmel []float32) {
	switch {
	case f.config.Kind == KindWhisper:
		whisperRange(logmel)
	case f.config.Kind == KindNeMo:
		normaliseChannels(logmel, f.config.Mels)
	case f.config.Kind == KindCED:
		limitDecibels(logmel)
	case f.config.Normalise == NormaliseItem:
		normaliseItem(logmel, f.config.Mels)
	}
}

// appendFrame appends the frame of one window of samples.
func (f *FrontEnd) appendFrame(logmel, samples []float32, w *workspace) []float32 {
	window := f.window[:len(samples)]
	if silent(samples) {
		for range f.config.Mels {
			logmel = append(logmel, f.silence)
		}
		return logmel
	}
	whole := len(samples) &^ 1
	for i := 0; i < whole; i += 2 {
		w.x[i/2] = complex(float64(samples[i])*window[i], float64(samples[i+1])*window[i+1])
	}
	rest := w.x[whole/2:]
	clear(rest)
	if whole < len(samples) {
		rest[0] = complex(float64(samples[whole])*window[whole], 0)
	}
	f.fft.power(w.x, w.y, w.power)
	f.mels.apply(w.power, w.mel)
	for _, v := range w.mel[1 : f.config.Mels+1] {
		logmel = append(logmel, f.compress(v))
	}
	return logmel
}

// silent tells whether all samples are zero: digital silence pads items, and
// costs no transform.
func silent(samples []float32) bool {
	for _, v := range samples {
		if v != 0 {
			return false
		}
	}
	return true
}

// compress is the logarithm of a channel's power, as the kind takes it.
func (f *FrontEnd) compress(power float64) float32 {
	if f.clamps {
		return float32(ln(max(power, f.config.Floor)) * f.unit)
	}
	return float32(ln(power + f.config.Floor))
}
