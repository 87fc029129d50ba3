package codec

import (
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"pgregory.net/rapid"
)

func measured(p PCM) audio.Loudness {
	m := audio.NewMeter(p.Rate, p.Channels)
	m.Write(p.Samples)
	return m.Loudness()
}

func TestTheLimiterHoldsTheTruePeakOfAnySound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{8000, 22050, 44100, 48000}).Draw(t, "rate")
		channels := rapid.IntRange(1, 2).Draw(t, "channels")
		gain := rapid.Float64Range(-10, 24).Draw(t, "gain")
		ceiling := rapid.Float64Range(-12, -1).Draw(t, "ceiling")
		samples := rapid.SliceOfN(rapid.Float32Range(-1, 1), channels, 600).Draw(t, "samples")
		samples = smoothed(samples[:len(samples)/channels*channels], channels)
		// Room for the peaks that lie after the last sample.
		samples = append(samples, make([]float32, 64*channels)...)
		out := make([]float32, len(samples))
		applyGain(out, samples, truePeaks(samples, channels, 0), channels, rate, gain, ceiling)
		// The meter's interpolator, which is BS.1770's, is not the limiter's: near
		// half of the rate, where sound has next to nothing, it gives up to a decibel
		// more.
		if got := measured(PCM{rate, channels, out}).TruePeakDBTP; got > ceiling+0.4 {
			t.Fatalf("%.2f dBTP under a ceiling of %.2f", got, ceiling)
		}
	})
}

// smoothed takes from samples what lies at half of their rate.
func smoothed(samples []float32, channels int) []float32 {
	out := make([]float32, len(samples)+2*channels)
	for i, s := range samples {
		out[i] += s / 4
		out[i+channels] += s / 2
		out[i+2*channels] += s / 4
	}
	return out
}

func TestTheLimitersGainNeverPassesWhatIsWanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wanted := rapid.SliceOfN(rapid.Float32Range(0.01, 1), 1, 2000).Draw(t, "wanted")
		for i, g := range smoothGain(wanted, 8000) {
			if g > wanted[i]*1.00001 || g <= 0 {
				t.Fatalf("at %d: %v; wanted at most %v", i, g, wanted[i])
			}
		}
	})
}

func TestPeaksAreNeverBelowTheSamplesAndTheBoundsNeverBelowThePeaks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Float32Range(-1, 1), 1, 500).Draw(t, "samples")
		exact, rough := truePeaks(samples, 1, 0), truePeaks(samples, 1, 10)
		for i, s := range samples {
			if exact[i] < max(s, -s) {
				t.Fatalf("the peak at %d is below the sample", i)
			}
			if rough[i] < exact[i] {
				t.Fatalf("the bound at %d is %v, the peak %v", i, rough[i], exact[i])
			}
		}
	})
}
