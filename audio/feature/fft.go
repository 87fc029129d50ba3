package feature

import (
	"math"
	"math/cmplx"
)

// realFFT computes the power spectrum of a real signal through one complex
// transform of half its length. The complex transform is Stockham's autosort
// FFT in radix 4 (with one radix-2 pass when the length is no power of four),
// in float64 so that quiet bins beside loud ones keep their logarithm.
type realFFT struct {
	half    int          // length of the complex transform
	twiddle []complex128 // exp(-2πi·k/half), k < half
	split   []complex128 // -i/2·exp(-2πi·k/(2·half)), k ≤ half/2
}

func newRealFFT(n int) *realFFT {
	f := &realFFT{half: n / 2}
	f.twiddle = make([]complex128, f.half)
	for k := range f.twiddle {
		f.twiddle[k] = unit(k, f.half)
	}
	f.split = make([]complex128, f.half/2+1)
	for k := range f.split {
		f.split[k] = complex(0, -0.5) * unit(k, n)
	}
	return f
}

func unit(k, n int) complex128 {
	return cmplx.Exp(complex(0, -2*math.Pi*float64(k)/float64(n)))
}

// power writes |X[k]|² for k in 0..half of the 2·half real samples that x
// holds as pairs (even sample, odd sample). x and y are scratch of half values.
func (f *realFFT) power(x, y []complex128, out []float64) {
	z := f.transform(x, y)
	n := f.half
	re, im := real(z[0]), imag(z[0])
	out[0] = (re + im) * (re + im)
	out[n] = (re - im) * (re - im)
	for k := 1; k <= n/2; k++ {
		a, b := z[k], z[n-k]
		even := complex((real(a)+real(b))/2, (imag(a)-imag(b))/2)
		odd := complex(real(a)-real(b), imag(a)+imag(b)) * f.split[k]
		lo, hi := even+odd, even-odd
		out[k] = real(lo)*real(lo) + imag(lo)*imag(lo)
		out[n-k] = real(hi)*real(hi) + imag(hi)*imag(hi)
	}
}

// transform leaves the result in one of its two buffers and says which.
func (f *realFFT) transform(x, y []complex128) []complex128 {
	n, stride := f.half, 1
	for n >= 4 {
		f.radix4(n, stride, x, y)
		x, y = y, x
		n /= 4
		stride *= 4
	}
	if n == 2 {
		for q := range stride {
			a, b := x[q], x[q+stride]
			y[q], y[q+stride] = a+b, a-b
		}
		x = y
	}
	return x
}

func (f *realFFT) radix4(n, s int, x, y []complex128) {
	m := n / 4
	for p := range m {
		w1, w2, w3 := f.twiddle[p*s], f.twiddle[2*p*s], f.twiddle[3*p*s]
		x0, x1, x2, x3 := x[s*p:][:s], x[s*(p+m):][:s], x[s*(p+2*m):][:s], x[s*(p+3*m):][:s]
		y0, y1, y2, y3 := y[s*4*p:][:s], y[s*(4*p+1):][:s], y[s*(4*p+2):][:s], y[s*(4*p+3):][:s]
		for q := range s {
			a, b, c, d := x0[q], x1[q], x2[q], x3[q]
			apc, amc, bpd, bmd := a+c, a-c, b+d, b-d
			jbmd := complex(-imag(bmd), real(bmd))
			y0[q] = apc + bpd
			y1[q] = w1 * (amc - jbmd)
			y2[q] = w2 * (apc - bpd)
			y3[q] = w3 * (amc + jbmd)
		}
	}
}
