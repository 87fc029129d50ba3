package whisper

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// draws are the random numbers of one attempt: SplitMix64 (Steele, Lea, Flood:
// Fast splittable pseudorandom number generators, 2014).
type draws struct{ state uint64 }

// newDraws seeds an attempt by what is heard and nothing else: the same item
// draws the same, in whatever batch, process or order.
func newDraws(seed uint64, content [32]byte, temperature float64) *draws {
	b := binary.LittleEndian.AppendUint64(nil, seed)
	b = append(b, content[:]...)
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(temperature))
	sum := sha256.Sum256(b)
	return &draws{binary.LittleEndian.Uint64(sum[:])}
}

// contentOf hashes samples padded with silence to a window.
func contentOf(samples []float32) [32]byte {
	h := sha256.New()
	var block [4096]byte
	for at := 0; at < windowSamples; at += len(block) / 4 {
		n := min(len(block)/4, windowSamples-at)
		for i := range n {
			x := float32(0)
			if at+i < len(samples) {
				x = samples[at+i]
			}
			binary.LittleEndian.PutUint32(block[4*i:], math.Float32bits(x))
		}
		h.Write(block[:4*n])
	}
	return [32]byte(h.Sum(nil))
}

// uniform gives a number in [0, 1).
func (d *draws) uniform() float64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

// pick draws a token from softmax(logits / temperature), where the cumulative
// distribution passes a uniform number.
func (d *draws) pick(logits []float32, temperature float64) int {
	top := float64(highest(logits)) / temperature
	sums := make([]float64, len(logits))
	sum := 0.0
	for i, x := range logits {
		if x != never {
			sum += math.Exp(float64(x)/temperature - top)
		}
		sums[i] = sum
	}
	u := d.uniform() * sum
	i, found := slices.BinarySearch(sums, u)
	for found && i < len(sums) && sums[i] <= u {
		i++
	}
	return min(i, len(sums)-1)
}
