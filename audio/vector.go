package audio

// dotLanes is how many sums run side by side: four registers of eight.
const dotLanes = 32

// dotGeneric is the plain form of dot: the same operations in the same order as
// the vector form, so the same bits. The conversions keep the compiler from
// fusing a multiplication with an addition, which some processors would do.
func dotGeneric(a, b []float32) float32 {
	b = b[:len(a)]
	var s [dotLanes]float32
	for len(a) >= dotLanes {
		x, y := (*[dotLanes]float32)(a), (*[dotLanes]float32)(b)
		for i := range s {
			s[i] += float32(x[i] * y[i])
		}
		a, b = a[dotLanes:], b[dotLanes:]
	}
	for i := range 8 {
		s[i] = (s[i] + s[i+8]) + (s[i+16] + s[i+24])
	}
	for i := range 4 {
		s[i] += s[i+4]
	}
	return (s[0] + s[2]) + (s[1] + s[3])
}

// absMaxGeneric is the highest magnitude in x.
func absMaxGeneric(x []float32) float32 {
	var highest float32
	for _, v := range x {
		if v < 0 {
			v = -v
		}
		if v > highest {
			highest = v
		}
	}
	return highest
}
