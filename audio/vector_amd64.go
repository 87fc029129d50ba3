package audio

import "golang.org/x/sys/cpu"

//go:noescape
func dotAVX(a, b *float32, n int) float32

var hasAVX = cpu.X86.HasAVX

// dot is the sum of a[i]·b[i]. Both have the same length, a multiple of
// dotLanes.
func dot(a, b []float32) float32 {
	if !hasAVX {
		return dotGeneric(a, b)
	}
	b = b[:len(a)]
	return dotAVX(&a[0], &b[0], len(a))
}

//go:noescape
func absMaxAVX(x *float32, n int) float32

// absMax is the highest magnitude in x, which holds no NaN.
func absMax(x []float32) float32 {
	whole := len(x) &^ 31
	if !hasAVX || whole == 0 {
		return absMaxGeneric(x)
	}
	return max(absMaxAVX(&x[0], whole), absMaxGeneric(x[whole:]))
}

//go:noescape
func truePeakAVX(x *float32, n int, coefficients *[truePeakTaps][4][8]float32) float32

// interpolated is the highest magnitude that the filter of annex 2 gives over w:
// len(w) - (truePeakTaps-1) positions of four phases.
func interpolated(w []float32) float32 {
	n := len(w) - (truePeakTaps - 1)
	whole := n &^ 7
	if !hasAVX || whole <= 0 {
		return interpolatedGeneric(w)
	}
	return max(truePeakAVX(&w[0], whole, &truePeakLanes), interpolatedGeneric(w[whole:]))
}
