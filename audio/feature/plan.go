package feature

// #cgo CFLAGS: -std=c11 -O3
// #cgo LDFLAGS: -lm
// #cgo noescape earshot_frames
// #cgo nocallback earshot_frames
// #include "lanes.h"
import "C"

import (
	"math"
	"math/cmplx"
)

// lanes is how many frames are made side by side, by lanes.c: one in each lane
// of the processor's vectors, in float64 so that quiet bins beside loud ones keep
// their logarithm.
const lanes = C.EARSHOT_LANES

// plan is what lanes.c knows of a front end: the power spectrum of a real signal
// through one complex transform of half its length, Stockham's autosort FFT in
// mixed radix (4, 2, 5, 3), the bank of triangles, and the logarithm.
type plan struct {
	shape  []int32   // half of the FFT, window, mels, how many radices, the radices, the bank's edges
	tables []float64 // window, twiddle, split, rise, fall, pairs of a logarithm
	floor  float64
	unit   float64 // 0: the floor is added, else the power is raised to it and the logarithm multiplied by this
}

func newPlan(c Config, window []float64, unit float64) plan {
	half, bank := c.FFT/2, newMelBank(c)
	radices := radicesOf(half)
	p := plan{shape: []int32{int32(half), int32(len(window)), int32(c.Mels), int32(len(radices))}, floor: c.Floor, unit: unit}
	for _, r := range radices {
		p.shape = append(p.shape, int32(r))
	}
	for _, e := range bank.edges {
		p.shape = append(p.shape, int32(e))
	}
	p.tables = append(p.tables, window...)
	turn := func(by complex128) { p.tables = append(p.tables, real(by), imag(by)) }
	for k := range half {
		turn(rootOfUnity(k, half))
	}
	for k := range half/2 + 1 { // what parts the transforms of the even and the odd samples
		turn(complex(0, -0.5) * rootOfUnity(k, c.FFT))
	}
	p.tables = append(append(p.tables, bank.rise...), bank.fall...)
	const fractions = 256 // a logarithm is found by the leading eight bits of the fraction
	for i := range fractions {
		inverse := 1 / (1 + (float64(i)+0.5)/fractions)
		p.tables = append(p.tables, inverse, -math.Log(inverse))
	}
	return p
}

func rootOfUnity(k, n int) complex128 {
	return cmplx.Exp(complex(0, -2*math.Pi*float64(k)/float64(n)))
}

// radicesOf factors the length of a complex transform, fours first; nil when
// it has a prime factor above 5.
func radicesOf(n int) []int {
	var radices []int
	for _, r := range []int{4, 2, 5, 3} {
		for n > 1 && n%r == 0 {
			radices = append(radices, r)
			n /= r
		}
	}
	if n != 1 {
		return nil
	}
	return radices
}

// workspace is what a run of a plan writes in.
type workspace struct {
	at, row [lanes]int64
	scratch []float64 // two complex buffers of half the FFT, and the power spectrum
	padded  []float32 // an item between its margins
	logmel  []float32 // an item's frames on their way to ItemByMel
	plain   bool      // without the processor's wide vectors: for tests
}

func (p *plan) workspace() *workspace {
	half, mels := int(p.shape[0]), int(p.shape[2])
	// Later the buffers hold the channels and their logarithms.
	return &workspace{scratch: make([]float64, lanes*(2*max(2*half, mels)+half+1))}
}

// run makes the first n frames that w has places for, at most lanes: of the
// samples from at on, into the mels from row on.
func (p *plan) run(samples, logmel []float32, w *workspace, n int) {
	for i := n; i < lanes; i++ { // an idle lane does what the last does
		w.at[i], w.row[i] = w.at[n-1], w.row[n-1]
	}
	plain := C.int(0)
	if w.plain {
		plain = 1
	}
	C.earshot_frames((*C.int32_t)(&p.shape[0]), (*C.double)(&p.tables[0]), (*C.float)(&samples[0]), (*C.int64_t)(&w.at[0]),
		C.double(p.floor), C.double(p.unit), (*C.double)(&w.scratch[0]), (*C.float)(&logmel[0]), (*C.int64_t)(&w.row[0]), plain)
}
