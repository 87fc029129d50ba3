//go:build !amd64

package whisper

func sumExpWhole(x []float32, top float32) float64 { return sumExpGeneric(x, top) }

// highest is the highest of x that is a number; -Inf if there is none.
func highest(x []float32) float32 { return highestGeneric(x) }
