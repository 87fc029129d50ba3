package feature

import "math"

// melBank is a bank of triangles that share their corners: the bins between two
// neighbouring corners rise towards one channel and fall from the one before.
type melBank struct {
	edges []int     // bins[edges[i]:edges[i+1]] lie between corners i and i+1
	rise  []float64 // weight of each bin for the channel whose triangle rises there
	fall  []float64 // and for the one whose triangle falls
}

// newMelBank gives triangles whose corners are evenly spaced on a mel scale,
// sampled at the FFT's bins. "htk" is 2595·log10(1+f/700) with peaks of 1 (The
// HTK Book, 5.4; torchaudio's default); "slaney" is linear to 1 kHz and
// logarithmic above, each triangle of area 1 (Slaney, Auditory Toolbox, 1998;
// librosa's default).
func newMelBank(c Config) melBank {
	mel, hertz := htkMel, htkHertz
	if c.Scale == "slaney" {
		mel, hertz = slaneyMel, slaneyHertz
	}
	low, high := mel(c.MinHz), mel(c.MaxHz)
	corners := make([]float64, c.Mels+2)
	for i := range corners {
		corners[i] = hertz(low + (high-low)*float64(i)/float64(c.Mels+1))
	}
	peak := func(channel int) float64 {
		if c.Scale == "slaney" && channel >= 0 && channel < c.Mels {
			return 2 / (corners[channel+2] - corners[channel])
		}
		return 1
	}
	bins := c.FFT/2 + 1
	b := melBank{edges: make([]int, len(corners)), rise: make([]float64, bins), fall: make([]float64, bins)}
	hz := func(k int) float64 { return float64(k) * float64(c.SampleRate) / float64(c.FFT) }
	k := 0
	for i := range corners {
		for k < bins && hz(k) < corners[i] {
			k++
		}
		b.edges[i] = k
	}
	for i := range len(corners) - 1 {
		for k := b.edges[i]; k < b.edges[i+1]; k++ {
			width := corners[i+1] - corners[i]
			// Rounded to float32, as the tables of the reference libraries are.
			b.rise[k] = float64(float32((hz(k) - corners[i]) / width * peak(i)))
			b.fall[k] = float64(float32((corners[i+1] - hz(k)) / width * peak(i-1)))
		}
	}
	return b
}

func htkMel(hz float64) float64  { return 2595 * math.Log10(1+hz/700) }
func htkHertz(m float64) float64 { return 700 * (math.Pow(10, m/2595) - 1) }

const (
	slaneyStep   = 200.0 / 3 // hertz in a mel below the knee
	slaneyKneeHz = 1000.0
	slaneyKnee   = slaneyKneeHz / slaneyStep
)

// slaneyLog is the logarithm of the ratio of a mel above the knee: 27 mels from
// 1 to 6.4 kHz.
var slaneyLog = math.Log(6.4) / 27

func slaneyMel(hz float64) float64 {
	if hz < slaneyKneeHz {
		return hz / slaneyStep
	}
	return slaneyKnee + math.Log(hz/slaneyKneeHz)/slaneyLog
}

func slaneyHertz(m float64) float64 {
	if m < slaneyKnee {
		return m * slaneyStep
	}
	return slaneyKneeHz * math.Exp(slaneyLog*(m-slaneyKnee))
}
