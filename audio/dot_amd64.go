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
