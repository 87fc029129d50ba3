package words

import (
	"hash/fnv"
	"math"
	"slices"
)

// Features are the rows of a model's table that some words address, in
// ascending order, and how much each weighs. Both have the same length.
type Features struct {
	Rows    []int64
	Weights []float32 // log2(1 + occurrences), scaled to unit length over all
}

// Hash turns stems into features for a table of so many rows: each stem, the
// five-rune prefix of each stem of six runes or more, each pair of
// neighbours, by FNV-1a (32 bits, folded by h ^ h>>15). Row 0 is padding.
func Hash(stems []string, rows int) Features {
	counts := map[int64]int{}
	for i, w := range stems {
		counts[Row(w, rows)]++
		if runes := []rune(w); len(runes) >= 6 {
			counts[Row(string(runes[:5])+"*", rows)]++
		}
		if i > 0 {
			counts[Row(stems[i-1]+" "+w, rows)]++
		}
	}
	f := Features{Rows: make([]int64, 0, len(counts)), Weights: make([]float32, len(counts))}
	for r := range counts {
		f.Rows = append(f.Rows, r)
	}
	slices.Sort(f.Rows)
	sum := 0.0
	for _, r := range f.Rows {
		w := math.Log2(1 + float64(counts[r]))
		sum += w * w
	}
	norm := math.Sqrt(sum)
	for i, r := range f.Rows {
		f.Weights[i] = float32(math.Log2(1+float64(counts[r])) / norm)
	}
	return f
}

// Row is the row of a table of so many rows that a feature addresses.
func Row(feature string, rows int) int64 {
	h := fnv.New32a()
	h.Write([]byte(feature))
	s := h.Sum32()
	return max(1, int64((s^s>>15)%uint32(rows)))
}

// toAnOctave is into how many lengths an octave of lengths is cut: from 64 on
// they pad by 4 % on average and by 11 % at most.
const toAnOctave = 8

// Bucket is the padded length for n features: the next of toAnOctave lengths to
// an octave, a multiple of 8. It depends on n alone, so that an item's padding
// does not depend on its batch.
func Bucket(n int) int {
	octave := 1
	for 2*octave < n {
		octave *= 2
	}
	step := max(8, octave/toAnOctave)
	return (max(n, 1) + step - 1) / step * step
}
