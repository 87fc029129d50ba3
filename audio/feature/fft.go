package feature

import (
	"math"
	"math/cmplx"
)

// realFFT computes the power spectrum of a real signal through one complex
// transform of half its length: Stockham's autosort FFT in mixed radix (4, 2,
// 3, 5), in float64 so that quiet bins beside loud ones keep their logarithm.
type realFFT struct {
	half    int          // length of the complex transform
	radices []int        // their product is half
	twiddle []complex128 // exp(-2πi·k/half), k < half
	turns   [][]turns4   // for each radix-4 pass, by p < its length/4
	split   []complex128 // -i/2·exp(-2πi·k/(2·half)), k ≤ half/2
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

func newRealFFT(n int) *realFFT {
	f := &realFFT{half: n / 2, radices: radicesOf(n / 2)}
	f.twiddle = make([]complex128, f.half)
	for k := range f.twiddle {
		f.twiddle[k] = unit(k, f.half)
	}
	for n, s, i := f.half, 1, 0; i < len(f.radices); i++ {
		if f.radices[i] == 4 {
			turns := make([]turns4, n/4)
			for p := range turns {
				turns[p] = turns4{f.twiddle[p*s], f.twiddle[2*p*s], f.twiddle[3*p*s]}
			}
			f.turns = append(f.turns, turns)
		}
		n, s = n/f.radices[i], s*f.radices[i]
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
	for i, r := range f.radices {
		switch r {
		case 4: // the fours come first
			f.radix4(f.turns[i], stride, x, y)
		case 2:
			f.radix2(n, stride, x, y)
		case 3:
			f.radix3(n, stride, x, y)
		case 5:
			f.radix5(n, stride, x, y)
		}
		x, y = y, x
		n /= r
		stride *= r
	}
	return x
}

func (f *realFFT) radix2(n, s int, x, y []complex128) {
	m := n / 2
	for p := range m {
		w := f.twiddle[p*s]
		x0, x1 := x[s*p:][:s], x[s*(p+m):][:s]
		y0, y1 := y[s*2*p:][:s], y[s*(2*p+1):][:s]
		for q := range s {
			a, b := x0[q], x1[q]
			y0[q], y1[q] = a+b, w*(a-b)
		}
	}
}

func (f *realFFT) radix3(n, s int, x, y []complex128) {
	const sin = 0.866025403784438646763723170752936183 // sin(2π/3)
	m := n / 3
	for p := range m {
		w1, w2 := f.twiddle[p*s], f.twiddle[2*p*s]
		x0, x1, x2 := x[s*p:][:s], x[s*(p+m):][:s], x[s*(p+2*m):][:s]
		y0, y1, y2 := y[s*3*p:][:s], y[s*(3*p+1):][:s], y[s*(3*p+2):][:s]
		for q := range s {
			a, b, c := x0[q], x1[q], x2[q]
			sum, diff := b+c, b-c
			mid := complex(real(a)-0.5*real(sum), imag(a)-0.5*imag(sum))
			turn := complex(sin*imag(diff), -sin*real(diff))
			y0[q] = a + sum
			y1[q] = w1 * (mid + turn)
			y2[q] = w2 * (mid - turn)
		}
	}
}

// turns4 are a radix-4 butterfly's twiddle factors.
type turns4 struct{ w1, w2, w3 complex128 }

func (f *realFFT) radix4(turns []turns4, s int, x, y []complex128) {
	m := len(turns)
	if s == 1 {
		radix4First(turns, x, y)
		return
	}
	radix4Plain(x, x[s*m:], x[s*2*m:], x[s*3*m:], y[:4*s], s)
	for p := 1; p < m; p++ {
		w1, w2, w3 := turns[p].w1, turns[p].w2, turns[p].w3
		x0, x1, x2, x3 := x[s*p:][:s], x[s*(p+m):][:s], x[s*(p+2*m):][:s], x[s*(p+3*m):][:s]
		y0, y1, y2, y3 := y[s*4*p:][:s], y[s*(4*p+1):][:s], y[s*(4*p+2):][:s], y[s*(4*p+3):][:s]
		for q := range x0 {
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

// radix4First is the pass of stride 1, whose butterflies are apart by one.
func radix4First(turns []turns4, x, y []complex128) {
	m := len(turns)
	x0, x1, x2, x3 := x[:m], x[m:][:m], x[2*m:][:m], x[3*m:][:m]
	for p := range turns {
		w := &turns[p]
		a, b, c, d := x0[p], x1[p], x2[p], x3[p]
		apc, amc, bpd, bmd := a+c, a-c, b+d, b-d
		jbmd := complex(-imag(bmd), real(bmd))
		out := (*[4]complex128)(y[4*p:])
		out[0] = apc + bpd
		out[1] = w.w1 * (amc - jbmd)
		out[2] = w.w2 * (apc - bpd)
		out[3] = w.w3 * (amc + jbmd)
	}
}

// radix4Plain is the butterflies whose twiddle factors are all 1: all of the
// last pass's.
func radix4Plain(x0, x1, x2, x3, y []complex128, s int) {
	x0, x1, x2, x3 = x0[:s], x1[:s], x2[:s], x3[:s]
	y0, y1, y2, y3 := y[:s], y[s:][:s], y[2*s:][:s], y[3*s:][:s]
	for q := range x0 {
		a, b, c, d := x0[q], x1[q], x2[q], x3[q]
		apc, amc, bpd, bmd := a+c, a-c, b+d, b-d
		jbmd := complex(-imag(bmd), real(bmd))
		y0[q] = apc + bpd
		y1[q] = amc - jbmd
		y2[q] = apc - bpd
		y3[q] = amc + jbmd
	}
}

func (f *realFFT) radix5(n, s int, x, y []complex128) {
	const (
		cos1 = 0.309016994374947424102293417182819059  // cos(2π/5)
		cos2 = -0.809016994374947424102293417182819059 // cos(4π/5)
		sin1 = 0.951056516295153572116439333379382143  // sin(2π/5)
		sin2 = 0.587785252292473129168705954639072769  // sin(4π/5)
	)
	m := n / 5
	for p := range m {
		w1, w2, w3, w4 := f.twiddle[p*s], f.twiddle[2*p*s], f.twiddle[3*p*s], f.twiddle[4*p*s]
		x0, x1, x2, x3, x4 := x[s*p:][:s], x[s*(p+m):][:s], x[s*(p+2*m):][:s], x[s*(p+3*m):][:s], x[s*(p+4*m):][:s]
		y0, y1, y2, y3, y4 := y[s*5*p:][:s], y[s*(5*p+1):][:s], y[s*(5*p+2):][:s], y[s*(5*p+3):][:s], y[s*(5*p+4):][:s]
		for q := range s {
			a := x0[q]
			sum1, diff1 := x1[q]+x4[q], x1[q]-x4[q]
			sum2, diff2 := x2[q]+x3[q], x2[q]-x3[q]
			mid1 := complex(real(a)+cos1*real(sum1)+cos2*real(sum2), imag(a)+cos1*imag(sum1)+cos2*imag(sum2))
			mid2 := complex(real(a)+cos2*real(sum1)+cos1*real(sum2), imag(a)+cos2*imag(sum1)+cos1*imag(sum2))
			turn1 := complex(sin1*imag(diff1)+sin2*imag(diff2), -sin1*real(diff1)-sin2*real(diff2))
			turn2 := complex(sin2*imag(diff1)-sin1*imag(diff2), -sin2*real(diff1)+sin1*real(diff2))
			y0[q] = a + sum1 + sum2
			y1[q] = w1 * (mid1 + turn1)
			y2[q] = w2 * (mid2 + turn2)
			y3[q] = w3 * (mid2 - turn2)
			y4[q] = w4 * (mid1 - turn1)
		}
	}
}
