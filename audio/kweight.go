package audio

import "math"

// biquad holds the coefficients of a second-order section, a0 = 1.
type biquad struct {
	b0, b1, b2, a1, a2 float64
}

// kFilter is the K weighting of one channel: a high shelf, then a high pass.
type kFilter struct {
	shelf, pass    biquad
	s1, s2, p1, p2 float64
}

// newKFilter makes the filter for a rate in Hz. ITU-R BS.1770-4 gives the
// coefficients for 48 kHz alone; the analogue prototypes behind them (derived in
// R. Brecht De Man, "Evaluation of Implementations of the EBU R128 Loudness
// Measurement", AES 145, 2018) give the same for 48 kHz and the right ones for
// every other rate.
func newKFilter(rate float64) kFilter {
	var f kFilter
	{
		const f0, gain, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
		k := math.Tan(math.Pi * f0 / rate)
		vh := math.Pow(10, gain/20)
		vb := math.Pow(vh, 0.4996667741545416)
		a0 := 1 + k/q + k*k
		f.shelf = biquad{
			b0: (vh + vb*k/q + k*k) / a0,
			b1: 2 * (k*k - vh) / a0,
			b2: (vh - vb*k/q + k*k) / a0,
			a1: 2 * (k*k - 1) / a0,
			a2: (1 - k/q + k*k) / a0,
		}
	}
	{
		const f0, q = 38.13547087602444, 0.5003270373238773
		k := math.Tan(math.Pi * f0 / rate)
		a0 := 1 + k/q + k*k
		f.pass = biquad{b0: 1, b1: -2, b2: 1, a1: 2 * (k*k - 1) / a0, a2: (1 - k/q + k*k) / a0}
	}
	return f
}

// energy filters every stride-th sample and returns the sum of the squares.
func (f *kFilter) energy(x []float32, stride int) float64 {
	shelf, pass := f.shelf, f.pass
	s1, s2, p1, p2 := f.s1, f.s2, f.p1, f.p2
	var sum float64
	for i := 0; i < len(x); i += stride {
		in := float64(x[i])
		mid := shelf.b0*in + s1
		s1 = (shelf.b1*in + s2) - shelf.a1*mid
		s2 = shelf.b2*in - shelf.a2*mid
		out := mid + p1
		p1 = (p2 - 2*mid) - pass.a1*out
		p2 = mid - pass.a2*out
		sum += out * out
	}
	f.s1, f.s2, f.p1, f.p2 = settle(s1), settle(s2), settle(p1), settle(p2)
	return sum
}

// kEnergyStereo is energy for both channels at once: the two chains of
// dependent operations run side by side in the processor.
func kEnergyStereo(l, r *kFilter, x []float32) float64 {
	shelf, pass := l.shelf, l.pass
	ls1, ls2, lp1, lp2 := l.s1, l.s2, l.p1, l.p2
	rs1, rs2, rp1, rp2 := r.s1, r.s2, r.p1, r.p2
	var lsum, rsum float64
	for i := 0; i+1 < len(x); i += 2 {
		lin, rin := float64(x[i]), float64(x[i+1])
		lmid, rmid := shelf.b0*lin+ls1, shelf.b0*rin+rs1
		ls1, rs1 = (shelf.b1*lin+ls2)-shelf.a1*lmid, (shelf.b1*rin+rs2)-shelf.a1*rmid
		ls2, rs2 = shelf.b2*lin-shelf.a2*lmid, shelf.b2*rin-shelf.a2*rmid
		lout, rout := lmid+lp1, rmid+rp1
		lp1, rp1 = (lp2-2*lmid)-pass.a1*lout, (rp2-2*rmid)-pass.a1*rout
		lp2, rp2 = lmid-pass.a2*lout, rmid-pass.a2*rout
		lsum += lout * lout
		rsum += rout * rout
	}
	l.s1, l.s2, l.p1, l.p2 = settle(ls1), settle(ls2), settle(lp1), settle(lp2)
	r.s1, r.s2, r.p1, r.p2 = settle(rs1), settle(rs2), settle(rp1), settle(rp2)
	return lsum + rsum
}

// settle ends a decay in silence before it reaches denormal numbers, which
// processors are slow at.
func settle(s float64) float64 {
	if math.Abs(s) < 1e-30 {
		return 0
	}
	return s
}
