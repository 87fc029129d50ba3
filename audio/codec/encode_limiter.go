package codec

import "math"

// The interpolator that the limiter sees peaks between samples with: four times
// oversampling by a Lanczos kernel (Duchon, "Lanczos filtering in one and two
// dimensions", 1979) of peakReach samples to either side.
const (
	peakReach = 12
	peakBlock = 64
)

var (
	peakKernels = lanczosQuarters()
	// peakLift bounds what lies between samples, as a multiple of the highest of
	// those around.
	peakLift = largestSum(peakKernels[:])
)

// lanczosQuarters has the weights of the samples -peakReach+1 … peakReach for a
// point one, two and three quarters of the way from sample 0 to sample 1.
func lanczosQuarters() (kernels [3][2 * peakReach]float32) {
	sinc := func(x float64) float64 { return math.Sin(math.Pi*x) / (math.Pi * x) }
	for q := range kernels {
		var sum float64
		var weights [2 * peakReach]float64
		for k := range weights {
			x := float64(k-peakReach+1) - float64(q+1)/4
			weights[k] = sinc(x) * sinc(x/peakReach)
			sum += weights[k]
		}
		for k, w := range weights {
			kernels[q][k] = float32(w / sum)
		}
	}
	return kernels
}

func largestSum(kernels [][2 * peakReach]float32) float32 {
	var most float32
	for _, kernel := range kernels {
		var sum float32
		for _, w := range kernel {
			sum += max(w, -w)
		}
		most = max(most, sum)
	}
	return most
}

// truePeaks gives, for each frame, the highest magnitude of any channel at and
// next to it, between the samples too. Where that cannot come within 6 dB of
// matters, blocks are not looked at closely: they get an upper bound.
func truePeaks(samples []float32, channels int, matters float32) []float32 {
	frames := len(samples) / channels
	peaks := make([]float32, frames)
	// With room at both ends for the kernel.
	one := make([]float32, frames+2*peakReach)
	for c := range channels {
		for i := range frames {
			one[peakReach+i] = samples[i*channels+c]
		}
		for from := 0; from < frames; from += peakBlock {
			to := min(frames, from+peakBlock)
			around := one[max(0, from-1):min(len(one), to+2*peakReach)]
			if bound := magnitude(around) * peakLift; 2*bound < matters {
				for i := from; i < to; i++ {
					peaks[i] = max(peaks[i], bound)
				}
				continue
			}
			// From one frame before, whose points in between reach this block.
			for i := max(0, from-1); i < to; i++ {
				x := (*[2 * peakReach]float32)(one[i+1:])
				here := max(one[peakReach+i], -one[peakReach+i])
				for q := range peakKernels {
					y := dot24(&peakKernels[q], x)
					here = max(here, y, -y)
				}
				peaks[i] = max(peaks[i], here)
				if i+1 < frames {
					peaks[i+1] = max(peaks[i+1], here)
				}
			}
		}
	}
	return peaks
}

func magnitude(x []float32) float32 {
	var most float32
	for _, v := range x {
		most = max(most, v, -v)
	}
	return most
}

// dot24 sums in four chains, which the processor works on at once.
func dot24(h, x *[2 * peakReach]float32) float32 {
	var a, b, c, d float32
	for k := 0; k < 2*peakReach; k += 4 {
		a += float32(h[k] * x[k])
		b += float32(h[k+1] * x[k+1])
		c += float32(h[k+2] * x[k+2])
		d += float32(h[k+3] * x[k+3])
	}
	return (a + b) + (c + d)
}

// The limiter's times: how far it looks ahead, and how fast it lets go.
const (
	lookAheadSeconds = 0.004
	releaseSeconds   = 0.080
)

// applyGain writes samples times a gain (dB) to dst, turned down where peaks
// (see truePeaks) would pass the ceiling (dBTP), all channels alike so that the
// stereo image stays. It reports whether anything was turned down.
func applyGain(dst, samples, peaks []float32, channels, rate int, gain, ceiling float64) bool {
	g, top := float32(decibels(gain)), float32(decibels(ceiling))
	if g*magnitude(peaks) <= top {
		for i, s := range samples {
			dst[i] = g * s
		}
		return false
	}
	wanted := make([]float32, len(peaks))
	for i, p := range peaks {
		wanted[i] = min(1, top/max(g*p, 1e-9))
	}
	for i, w := range smoothGain(wanted, rate) {
		for c := range channels {
			dst[i*channels+c] = g * w * samples[i*channels+c]
		}
	}
	return true
}

// smoothGain gives a gain without jumps that is nowhere above wanted: the
// smallest of the frames within reach, let go of slowly, then averaged over the
// same reach. Every value that the average takes in is at most wanted here.
func smoothGain(wanted []float32, rate int) []float32 {
	reach := max(1, int(lookAheadSeconds*float64(rate)))
	lowest := slidingMin(wanted, reach)
	keep := float32(math.Exp(-1 / (releaseSeconds * float64(rate))))
	before := float32(1)
	for i, w := range lowest {
		before = min(w, 1-keep*(1-before))
		lowest[i] = before
	}
	return slidingMean(lowest, reach)
}

// slidingMin gives the smallest value within reach of each place (Lemire,
// "Streaming maximum-minimum filter", 2006).
func slidingMin(x []float32, reach int) []float32 {
	out := make([]float32, len(x))
	var rising []int // places whose values rise; the first is the smallest
	next := 0
	for i := range out {
		for ; next < len(x) && next <= i+reach; next++ {
			for len(rising) > 0 && x[rising[len(rising)-1]] >= x[next] {
				rising = rising[:len(rising)-1]
			}
			rising = append(rising, next)
		}
		for rising[0] < i-reach {
			rising = rising[1:]
		}
		out[i] = x[rising[0]]
	}
	return out
}

// slidingMean gives the mean within reach of each place; beyond the ends the
// first and the last value go on.
func slidingMean(x []float32, reach int) []float32 {
	out := make([]float32, len(x))
	at := func(i int) float64 { return float64(x[min(max(i, 0), len(x)-1)]) }
	var sum float64
	for i := -reach; i <= reach; i++ {
		sum += at(i)
	}
	for i := range out {
		out[i] = float32(sum / float64(2*reach+1))
		sum += at(i+reach+1) - at(i-reach)
	}
	return out
}
