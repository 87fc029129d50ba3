package feature

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// A frame is the same bits beside whatever frames, and with the processor's wide
// vectors or without: for every radix of the transform, for samples that are
// silent, denormal or no numbers, and for a floor whose logarithm is math's.
func TestAFrameIsTheSameBitsInEveryLane(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 4))
	samples := make([]float32, 16000)
	for i := range samples {
		samples[i] = float32(draw.NormFloat64() * math.Exp(-float64(i)/1500))
	}
	clear(samples[4000:5000])
	samples[9000], samples[12000] = float32(math.NaN()), float32(math.Inf(1))
	built, odd, faint := Default(), Default(), Default()
	odd.FFT, odd.Window, odd.Hop, odd.Mels = 480, 401, 131, 37
	faint.Floor = 1e-310
	for _, c := range []Config{built, odd, faint, {Kind: KindWhisper, Mels: 80}, {Kind: KindCED, Mels: 64}} {
		f, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		c = f.Config()
		frames := 1 + (len(samples)-c.Window)/c.Hop
		together := f.append(nil, samples, frames, f.plan.workspace())
		plain := f.plan.workspace()
		plain.plain = true
		if got := f.append(nil, samples, frames, plain); !slices.EqualFunc(got, together, sameBits) {
			t.Errorf("%+v: without wide vectors the bits are others", c)
		}
		var alone []float32
		for i := range frames {
			alone = f.append(alone, samples[i*c.Hop:][:c.Window], 1, plain)
		}
		if !slices.EqualFunc(alone, together, sameBits) {
			t.Errorf("%+v: one by one the bits are others", c)
		}
		nan := f.append(nil, samples[9000:], 1, plain)
		if !math.IsNaN(float64(nan[0])) {
			t.Errorf("%+v: a sample that is no number gives %v", c, nan[0])
		}
	}
}

func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}
