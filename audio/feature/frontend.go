package feature

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/earshot-fm/earshot/audio"
)

// FrontEnd computes log-mel frames. Its tables never change after New, and any
// number of goroutines may use one FrontEnd.
type FrontEnd struct {
	config  Config
	plan    plan
	silence []float32 // a frame of zeros, before normalisation
	scratch sync.Pool // *workspace
}

// New builds the tables of a front end. Its error says what the configuration
// cannot mean.
func New(c Config) (*FrontEnd, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.resolved()
	window := make([]float64, c.Window)
	period := float64(c.Window)
	if c.Kind == KindNeMo {
		period-- // NeMo's window is the symmetric one
	}
	for i := range window {
		window[i] = 0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/period)
		if c.Kind == KindLogMel { // as the built-in models' training scripts do
			window[i] = float64(float32(window[i]))
		}
	}
	unit := 0.0
	switch c.Kind {
	case KindWhisper:
		unit = math.Log10E
	case KindCED:
		unit = 10 * math.Log10E
	}
	f := &FrontEnd{config: c, plan: newPlan(c, window, unit), silence: make([]float32, c.Mels)}
	f.scratch.New = func() any { return f.plan.workspace() }
	f.plan.run(make([]float32, c.Window), f.silence, f.plan.workspace(), 1)
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
	return f.append(logmel, samples, f.config.Frames(len(samples)), w)
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
	return f.item(nil, samples)
}

// item is Item in a slice's room.
func (f *FrontEnd) item(logmel, samples []float32) []float32 {
	logmel = slices.Grow(logmel[:0], f.config.Frames(len(samples))*f.config.Mels)
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
	w := f.scratch.Get().(*workspace)
	defer f.scratch.Put(w)
	w.logmel = f.item(w.logmel, samples)
	logmel, mels := w.logmel, f.config.Mels
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

// append appends so many frames, the first at the samples' beginning.
func (f *FrontEnd) append(logmel, samples []float32, frames int, w *workspace) []float32 {
	from, mels := len(logmel), f.config.Mels
	logmel = slices.Grow(logmel, frames*mels)[:from+frames*mels]
	n := 0
	for i := range frames {
		at, row := i*f.config.Hop, from+i*mels
		if silent(samples[at : at+f.config.Window]) {
			copy(logmel[row:], f.silence)
			continue
		}
		w.at[n], w.row[n] = int64(at), int64(row)
		if n++; n == lanes {
			f.plan.run(samples, logmel, w, n)
			n = 0
		}
	}
	if n > 0 {
		f.plan.run(samples, logmel, w, n)
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
