package audio

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func sine(rate int, hz, amplitude, seconds float64) []float32 {
	out := make([]float32, int(float64(rate)*seconds))
	for i := range out {
		out[i] = float32(amplitude * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return out
}

func resampled(t interface{ Fatal(...any) }, from, to int, x []float32) []float32 {
	r, err := NewResampler(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r.Flush(r.Write(nil, x))
}

func rms(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(x)))
}

var nativeRates = []int{8000, 11025, 12000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000}

// A tone in the passband comes out as the same tone, at the same time and level.
func TestResamplerKeepsThePassband(t *testing.T) {
	for _, rate := range nativeRates {
		for _, hz := range []float64{50, 440, 1000, 3000, 5000, 7200} {
			if hz > 0.9*float64(rate)/2 {
				continue
			}
			t.Run(fmt.Sprintf("%d Hz at %d", int(hz), rate), func(t *testing.T) {
				got := resampled(t, rate, TapeRate, sine(rate, hz, 0.5, 1))
				want := sine(TapeRate, hz, 0.5, 1)
				if len(got) != TapeRate {
					t.Fatalf("%d samples from one second", len(got))
				}
				diff := make([]float32, 0, len(got))
				for i := 1000; i < len(got)-1000; i++ {
					diff = append(diff, got[i]-want[i])
				}
				if snr := 20 * math.Log10(rms(want[1000:15000])/rms(diff)); snr < 78 {
					t.Errorf("signal to error %.1f dB", snr)
				}
			})
		}
	}
}

// What lies beyond the tape's band does not fold back into it.
func TestResamplerStopsWhatWouldAlias(t *testing.T) {
	for _, rate := range []int{22050, 32000, 44100, 48000, 96000} {
		for hz := 8650.0; hz < float64(rate)/2-100; hz += 733 {
			got := resampled(t, rate, TapeRate, sine(rate, hz, 1, 0.5))
			if level := 20 * math.Log10(rms(got[500:7500])/math.Sqrt(0.5)); level > -80 {
				t.Errorf("%.0f Hz at %d Hz comes through at %.1f dB", hz, rate, level)
			}
		}
	}
}

func TestResamplerDoesNotMindChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom(append(nativeRates, TapeRate, 44000, 15000)).Draw(t, "rate")
		x := rapid.SliceOfN(rapid.Float32Range(-1, 1), 0, 50).Draw(t, "x")
		for len(x) > 0 && len(x) < rapid.IntRange(1, 30000).Draw(t, "length") {
			x = append(x, x...)
		}
		want := resampled(t, rate, TapeRate, x)
		if n := (len(x)*TapeRate + rate - 1) / rate; len(want) != n {
			t.Fatalf("%d samples at %d Hz gave %d, not %d", len(x), rate, len(want), n)
		}
		r, err := NewResampler(rate, TapeRate)
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		for rest := x; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk")
			got = r.Write(got, rest[:n])
			rest = rest[n:]
		}
		got = r.Flush(got)
		if len(got) != len(want) {
			t.Fatalf("%d samples in chunks, %d at once", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("sample %d: %v in chunks, %v at once", i, got[i], want[i])
			}
		}
	})
}

func TestResamplerRefusesNonsense(t *testing.T) {
	for _, rate := range []int{-1, 0, 999, 1_000_001} {
		if _, err := NewResampler(rate, TapeRate); err == nil {
			t.Errorf("%d Hz was accepted", rate)
		}
	}
}

// The vector forms give the bits of the plain ones, so that two machines agree.
func TestVectorFormsAgreeWithPlainOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dotLanes * rapid.IntRange(1, 12).Draw(t, "n")
		a := rapid.SliceOfN(rapid.Float32Range(-1, 1), n, n).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Float32Range(-1, 1), n, n).Draw(t, "b")
		if x, y := dot(a, b), dotGeneric(a, b); math.Float32bits(x) != math.Float32bits(y) {
			t.Fatalf("dot: %v, plain %v", x, y)
		}
		cut := a[rapid.IntRange(0, n).Draw(t, "from"):]
		if x, y := absMax(cut), absMaxGeneric(cut); x != y {
			t.Fatalf("absMax: %v, plain %v", x, y)
		}
		if x, y := interpolated(cut), interpolatedGeneric(cut); x != y {
			t.Fatalf("interpolated: %v, plain %v", x, y)
		}
	})
}

func TestDownmix(t *testing.T) {
	for _, c := range []struct {
		channels int
		in       []float32
		want     float32
	}{
		{1, []float32{0.25}, 0.25},
		{2, []float32{1, 0.5}, 0.75},
		{6, []float32{1, 1, 1, 1, 1, 1}, 1},
		{6, []float32{0, 0, 0, 1, 0, 0}, 0}, // the LFE is not heard
	} {
		got := NewDownmix(c.channels).Append(nil, c.in)
		if len(got) != 1 || math.Abs(float64(got[0]-c.want)) > 1e-6 {
			t.Errorf("%d channels %v: %v, want %v", c.channels, c.in, got, c.want)
		}
	}
}

func BenchmarkResampler(b *testing.B) {
	x := sine(44100, 440, 0.5, 1)
	r, err := NewResampler(44100, TapeRate)
	if err != nil {
		b.Fatal(err)
	}
	var out []float32
	for b.Loop() {
		out = r.Write(out[:0], x)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
}

// A header of 44 bytes names any rate; the memory it costs is bounded.
func TestARateThatIsNoneCostsNothing(t *testing.T) {
	for _, rate := range []int{999_983, 383_987, 191_999, 999} {
		if _, err := NewResampler(rate, TapeRate); err == nil {
			t.Errorf("%d Hz is taken", rate)
		}
	}
	for _, rate := range []int{8000, 11025, 22050, 32000, 37800, 44056, 44099, 48001, 64000, 88200, 96000, 176400, 192000, 352800, 384000, 705600, 768000} {
		if r, err := NewResampler(rate, TapeRate); err != nil || len(r.filters) > resampleWeights {
			t.Errorf("%d Hz: %v", rate, err)
		}
	}
}
