package whisper

import "math"

// logSumExp is the logarithm of the sum of x's exponentials; NaN where one of x
// is.
func logSumExp(x []float32) float64 {
	top := highest(x)
	if top == never {
		top = 0 // the sum is of nothing, or of what is no number
		for _, v := range x {
			if v != v {
				return math.NaN()
			}
		}
		return math.Inf(-1)
	}
	return float64(top) + math.Log(sumExp(x, top))
}

// expLanes is how many sums run side by side: a register of eight floats.
const expLanes = 8

// What an exponential is made of: e^x is 2^n·e^r with n the whole number nearest
// to x/ln 2, and r what is left, by the first terms of its series.
const (
	leastExp   = -87         // lower ones count as this: nothing beside the highest, which is 1
	toWhole    = 3 << 22     // added to a small float32, leaves the nearest whole number in the lowest bits
	ln2High    = 355.0 / 512 // times a small whole number, exact
	ln2Low     = math.Ln2 - ln2High
	halfOfExp  = 1.0 / 2
	sixthOfExp = 1.0 / 6
)

// sumExpGeneric is the sum of e^(x-top), within 1e-6 of it: the same operations
// in the same order as the vector form, so the same bits. Single precision
// within a term, double for the sum. The conversions keep the compiler from
// fusing a multiplication with an addition. len(x) is a multiple of expLanes.
func sumExpGeneric(x []float32, top float32) float64 {
	var sums [expLanes]float64
	for len(x) >= expLanes {
		for i, v := range x[:expLanes] {
			d := v - top
			if d < leastExp {
				d = leastExp
			}
			z := float32(d*math.Log2E) + toWhole
			n := z - toWhole
			r := d - float32(n*ln2High)
			r -= float32(n * ln2Low)
			e := float32(r*(1.0/5040)) + 1.0/720
			e = float32(e*r) + 1.0/120
			e = float32(e*r) + 1.0/24
			e = float32(e*r) + sixthOfExp
			e = float32(e*r) + halfOfExp
			e = float32(e*r) + 1
			e = float32(e*r) + 1
			sums[i] += float64(e * math.Float32frombits(math.Float32bits(z)<<23+0x3f800000))
		}
		x = x[expLanes:]
	}
	for i := range 4 {
		sums[i] += sums[i+4]
	}
	return (sums[0] + sums[2]) + (sums[1] + sums[3])
}

// sumExp is the sum of e^(x-top), top the highest of x.
func sumExp(x []float32, top float32) float64 {
	whole := len(x) &^ (expLanes - 1)
	sum := sumExpWhole(x[:whole], top)
	if whole < len(x) {
		var rest [expLanes]float32
		for i := range rest {
			rest[i] = never
		}
		copy(rest[:], x[whole:])
		sum += sumExpWhole(rest[:], top)
	}
	return sum
}

// highestGeneric is the highest of x that is a number; -Inf if there is none.
func highestGeneric(x []float32) float32 {
	best := never
	for _, v := range x {
		if v > best {
			best = v
		}
	}
	return best
}
