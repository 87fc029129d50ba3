package whisper

import "golang.org/x/sys/cpu"

//go:noescape
func sumExpAVX2(x *float32, n int, top float32) float64

//go:noescape
func highestAVX(x *float32, n int) float32

var hasAVX2 = cpu.X86.HasAVX2

func sumExpWhole(x []float32, top float32) float64 {
	if !hasAVX2 || len(x) == 0 {
		return sumExpGeneric(x, top)
	}
	return sumExpAVX2(&x[0], len(x), top)
}

// highest is the highest of x that is a number; -Inf if there is none.
func highest(x []float32) float32 {
	whole := len(x) &^ (4*expLanes - 1)
	if !hasAVX2 || whole == 0 {
		return highestGeneric(x)
	}
	return max(highestAVX(&x[0], whole), highestGeneric(x[whole:]))
}
