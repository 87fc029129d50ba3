//go:build !amd64

package audio

// dot is the sum of a[i]·b[i]. Both have the same length, a multiple of
// dotLanes.
func dot(a, b []float32) float32 { return dotGeneric(a, b) }

// absMax is the highest magnitude in x, which holds no NaN.
func absMax(x []float32) float32 { return absMaxGeneric(x) }

// interpolated is the highest magnitude that the filter of annex 2 gives over w:
// len(w) - (truePeakTaps-1) positions of four phases.
func interpolated(w []float32) float32 { return interpolatedGeneric(w) }
