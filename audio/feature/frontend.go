package feature

import (
	"math"
	"sync"
)

// FrontEnd computes log-mel frames. Its tables never change after New, and any
// number of goroutines may use one FrontEnd.
type FrontEnd struct {
	config  Config
	window  []float64
	filters []filter
	fft     *realFFT
	scratch sync.Pool // *workspace
}

// filter is the part of one mel triangle that is not zero.
type filter struct {
	first   int // FFT bin of the first weight
	weights []float64
}

type workspace struct {
	x, y  []complex128
	power []float64
}

// New builds the tables of a front end.
func New(c Config) (*FrontEnd, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	f := &FrontEnd{config: c, fft: newRealFFT(c.FFT), filters: melFilters(c)}
	f.window = make([]float64, c.Window)
	for i := range f.window {
		// The tables are rounded to float32 as the training scripts' are.
		f.window[i] = float64(float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(c.Window))))
	}
	f.scratch.New = func() any { return f.workspace() }
	return f, nil
}

func (f *FrontEnd) workspace() *workspace {
	n := f.config.FFT / 2
	return &workspace{x: make([]complex128, n), y: make([]complex128, n), power: make([]float64, n+1)}
}

// melFilters gives triangles whose corners are evenly spaced on HTK's mel scale,
// 2595·log10(1+f/700) (The HTK Book, 5.4), sampled at the FFT's bins and not
// normalised by area.
func melFilters(c Config) []filter {
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	hertz := func(m float64) float64 { return 700 * (math.Pow(10, m/2595) - 1) }
	low, high := mel(c.MinHz), mel(c.MaxHz)
	corner := func(i int) float64 { return hertz(low + (high-low)*float64(i)/float64(c.Mels+1)) }
	bins := c.FFT/2 + 1
	out := make([]filter, c.Mels)
	for i := range out {
		a, b, d := corner(i), corner(i+1), corner(i+2)
		for k := range bins {
			hz := float64(k) * float64(c.SampleRate) / float64(c.FFT)
			w := max(0, min((hz-a)/(b-a), (d-hz)/(d-b)))
			if w == 0 {
				continue
			}
			if out[i].weights == nil {
				out[i].first = k
			}
			out[i].weights = append(out[i].weights, float64(float32(w)))
		}
	}
	return out
}

// Config is the description that the front end was made from.
func (f *FrontEnd) Config() Config { return f.config }

// AppendFrames appends to logmel the whole frames that the samples give
// (Config.Frames of them), each Mels values: [frames, mels], row by row.
// samples: mono, at the configured rate, [-1, 1]. Nothing is normalised.
func (f *FrontEnd) AppendFrames(logmel, samples []float32) []float32 {
	w := f.scratch.Get().(*workspace)
	defer f.scratch.Put(w)
	for at := 0; at+f.config.Window <= len(samples); at += f.config.Hop {
		logmel = f.appendFrame(logmel, samples[at:at+f.config.Window], w)
	}
	return logmel
}

// Item is AppendFrames into a slice of its own, followed by the configured
// normalisation: what a model is given for one item of audio.
func (f *FrontEnd) Item(samples []float32) []float32 {
	logmel := make([]float32, 0, f.config.Frames(len(samples))*f.config.Mels)
	logmel = f.AppendFrames(logmel, samples)
	f.Normalise(logmel)
	return logmel
}

// Normalise applies the configured normalisation to one item, in place.
// logmel: [frames, mels].
func (f *FrontEnd) Normalise(logmel []float32) {
	if f.config.Normalise == NormaliseItem {
		normaliseItem(logmel, f.config.Mels)
	}
}

func (f *FrontEnd) appendFrame(logmel, samples []float32, w *workspace) []float32 {
	window := f.window[:len(samples)]
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
	for i := range f.filters {
		t := &f.filters[i]
		var sum float64
		power := w.power[t.first:][:len(t.weights)]
		for k, weight := range t.weights {
			sum += weight * power[k]
		}
		logmel = append(logmel, float32(math.Log(sum+f.config.Floor)))
	}
	return logmel
}

// normaliseItem is what the training scripts call cmvn: (x - mean per channel) /
// (standard deviation of all of x + 0.001).
func normaliseItem(x []float32, mels int) {
	frames := len(x) / mels
	if frames == 0 {
		return
	}
	mean := make([]float64, mels)
	var sum, squares float64
	for i := range frames {
		for c, v := range x[i*mels : (i+1)*mels] {
			mean[c] += float64(v)
		}
	}
	for c := range mean {
		sum += mean[c]
		mean[c] /= float64(frames)
	}
	n := float64(frames * mels)
	all := sum / n
	for _, v := range x {
		d := float64(v) - all
		squares += d * d
	}
	scale := 1 / (math.Sqrt(squares/n) + 1e-3)
	for i := range frames {
		row := x[i*mels : (i+1)*mels]
		for c := range row {
			row[c] = float32((float64(row[c]) - mean[c]) * scale)
		}
	}
}
