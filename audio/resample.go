package audio

import (
	"fmt"
	"math"
)

// The band that every conversion keeps, as parts of the lower of the two
// Nyquist frequencies, and the attenuation beyond it. For 16 kHz: flat to
// 7.4 kHz, 80 dB down from 8.6 kHz, so that what folds back lies above 7.4 kHz.
const (
	resamplePass     = 0.925
	resampleStop     = 1.075
	resampleStopband = 84.0 // dB, a margin above the 80 promised
)

// resampleWeights bounds a filter: 32 MiB, reckoned in a second. Every rate that
// is used takes a tenth of that; a prime number of hertz, which only a made-up
// file has, could take as much memory as it likes.
const resampleWeights = 8 << 20

// Resampler converts one channel between two sample rates by a polyphase
// windowed-sinc filter (Kaiser window: Oppenheim and Schafer, Discrete-Time
// Signal Processing, 7.5.3). Output sample n lies at the time of input sample
// n·from/to: there is no delay. The output is the same bits whatever the chunks
// and the processor.
type Resampler struct {
	up, down int
	taps     int
	filters  []float32 // [up][taps]
	buffer   []float32 // input not yet done with, from sample -taps/2 of the next output on
	phase    int       // in [0, up)
	in, out  int64
}

// NewResampler makes a converter from one rate to another, both in Hz. Rates
// below 1 kHz or above 1 MHz are refused, and so are two that are high and have
// so small a common divisor that the filter would not fit in memory.
func NewResampler(from, to int) (*Resampler, error) {
	for _, rate := range []int{from, to} {
		if rate < 1000 || rate > 1_000_000 {
			return nil, fmt.Errorf("resample: a sample rate of %d Hz (1,000 to 1,000,000 is possible)", rate)
		}
	}
	g := gcd(from, to)
	r := &Resampler{up: to / g, down: from / g}
	if r.up == r.down {
		return r, nil
	}
	nyquist := float64(min(from, to)) / 2
	transition := (resampleStop - resamplePass) * nyquist / float64(from) // in cycles per input sample
	r.taps = int(math.Ceil((resampleStopband-7.95)/(14.36*transition))) + 1
	r.taps = (r.taps + dotLanes - 1) / dotLanes * dotLanes
	if r.up*r.taps > resampleWeights {
		return nil, fmt.Errorf("resample: %d Hz to %d Hz: no sample rate of a recording (the two have no common divisor above %d)", from, to, g)
	}
	beta := 0.1102 * (resampleStopband - 8.7)
	cutoff := 2 * nyquist / float64(from) // of the input's Nyquist frequency
	r.filters = make([]float32, r.up*r.taps)
	half := r.taps / 2
	weights := make([]float64, r.taps)
	for p := range r.up {
		// Tap k meets input sample k - half + 1 from the output's position.
		var sum float64
		for k := range r.taps {
			x := float64(k-half+1) - float64(p)/float64(r.up)
			weights[k] = sinc(cutoff*x) * kaiser(x/float64(half), beta)
			sum += weights[k]
		}
		for k, w := range weights {
			r.filters[p*r.taps+k] = float32(w / sum)
		}
	}
	r.buffer = make([]float32, half-1, 4*r.taps)
	return r, nil
}

// Write takes the next input samples and appends the output they complete to
// dst.
func (r *Resampler) Write(dst, src []float32) []float32 {
	r.in += int64(len(src))
	if r.taps == 0 {
		r.out += int64(len(src))
		return append(dst, src...)
	}
	// In pieces, so that the buffer stays small enough for the cache.
	const piece = 8192
	for len(src) > 0 {
		n := min(piece, len(src))
		r.buffer = append(r.buffer, src[:n]...)
		src = src[n:]
		dst = r.run(dst, math.MaxInt64)
	}
	return dst
}

// Flush appends the rest of the output: in all ceil(in·to/from) samples. The
// resampler is then at its end.
func (r *Resampler) Flush(dst []float32) []float32 {
	total := (r.in*int64(r.up) + int64(r.down) - 1) / int64(r.down)
	if r.taps == 0 || total == r.out {
		return dst
	}
	r.buffer = append(r.buffer, make([]float32, r.taps)...)
	return r.run(dst, total)
}

func (r *Resampler) run(dst []float32, total int64) []float32 {
	at := 0
	for len(r.buffer)-at >= r.taps && r.out < total {
		dst = append(dst, dot(r.buffer[at:at+r.taps], r.filters[r.phase*r.taps:(r.phase+1)*r.taps]))
		r.out++
		r.phase += r.down
		at += r.phase / r.up
		r.phase %= r.up
		if at > len(r.buffer) {
			break
		}
	}
	if at > len(r.buffer) {
		// The next window starts beyond what is here; the filter is always
		// longer than a step, so this cannot happen.
		panic("resample: the filter is shorter than a step")
	}
	r.buffer = r.buffer[:copy(r.buffer, r.buffer[at:])]
	return dst
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the window at x in [-1, 1]; outside it is zero.
func kaiser(x, beta float64) float64 {
	if x < -1 || x > 1 {
		return 0
	}
	return besselI0(beta*math.Sqrt(1-x*x)) / besselI0(beta)
}

// besselI0 is the modified Bessel function of order zero, by its power series.
func besselI0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1; term > 1e-17*sum; k++ {
		term *= (x / 2 / float64(k)) * (x / 2 / float64(k))
		sum += term
	}
	return sum
}
