package feature

import "math"

// logBits is how many leading bits of the fraction find a logarithm's table.
const logBits = 8

var logInverse, logTable = func() (inverse, table [1 << logBits]float64) {
	for i := range inverse {
		middle := 1 + (float64(i)+0.5)/(1<<logBits)
		inverse[i] = 1 / middle
		table[i] = -math.Log(inverse[i])
	}
	return inverse, table
}()

// ln is the natural logarithm within 1e-11, several times as fast as math.Log:
// x = 2^e·m, m by the table's nearest value, the rest by its series. Zero,
// denormal, negative and infinite values and NaN are math.Log's.
func ln(x float64) float64 {
	bits := math.Float64bits(x)
	exponent := bits >> 52
	if exponent-1 >= 0x7fe {
		return math.Log(x)
	}
	i := bits >> (52 - logBits) & (1<<logBits - 1)
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	r := m*logInverse[i] - 1
	return float64(int64(exponent)-1023)*math.Ln2 + logTable[i] + r*(1-r*(0.5-r*(1.0/3)))
}
