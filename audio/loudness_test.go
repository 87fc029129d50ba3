package audio

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func decibels(db float64) float64 { return math.Pow(10, db/20) }

// stereo puts the same tone, of one level after the other, on both channels.
func stereo(rate int, hz float64, parts ...[2]float64) []float32 {
	var out []float32
	for _, p := range parts {
		for _, x := range sine(rate, hz, decibels(p[0]), p[1]) {
			out = append(out, x, x)
		}
	}
	return out
}

func measure(rate, channels int, x []float32) Loudness {
	m := NewMeter(rate, channels)
	m.Write(x)
	return m.Loudness()
}

// The signals and results of EBU Tech 3341 (v4, table 1), cases 1 to 5: level
// in dBFS and seconds of a 1 kHz tone on both channels.
func TestIntegratedLoudnessOfEBUTech3341(t *testing.T) {
	for _, rate := range []int{16000, 22050, 44100, 48000, 96000} {
		for _, c := range []struct {
			name  string
			parts [][2]float64
			want  float64
		}{
			{"case 1", [][2]float64{{-23, 20}}, -23},
			{"case 2", [][2]float64{{-33, 20}}, -33},
			{"case 3", [][2]float64{{-36, 10}, {-23, 60}, {-36, 10}}, -23},
			{"case 4", [][2]float64{{-72, 10}, {-36, 10}, {-23, 60}, {-36, 10}, {-72, 10}}, -23},
			{"case 5", [][2]float64{{-26, 20}, {-20, 20.1}, {-26, 20}}, -23},
		} {
			if rate != 48000 && c.name != "case 3" {
				continue // other rates differ in the filter alone
			}
			if got := measure(rate, 2, stereo(rate, 1000, c.parts...)).IntegratedLUFS; math.Abs(got-c.want) > 0.1 {
				t.Errorf("%s at %d Hz: %.2f LUFS, want %.1f", c.name, rate, got, c.want)
			}
		}
	}
}

// EBU Tech 3341, case 6: 5.0 channels, here with a loud LFE that must not count.
func TestLoudnessOfSurround(t *testing.T) {
	var x []float32
	tone := sine(48000, 1000, 1, 20)
	for _, v := range tone {
		for _, db := range []float64{-28, -28, -24, -10, -30, -30} {
			x = append(x, v*float32(decibels(db)))
		}
	}
	if got := measure(48000, 6, x).IntegratedLUFS; math.Abs(got+23) > 0.1 {
		t.Errorf("%.2f LUFS, want -23", got)
	}
}

// ITU-R BS.1770-4: 997 Hz at full scale on one channel is -3.01 LUFS.
func TestLoudnessOfMono(t *testing.T) {
	if got := measure(48000, 1, sine(48000, 997, 1, 5)).IntegratedLUFS; math.Abs(got+3.01) > 0.02 {
		t.Errorf("%.3f LUFS, want -3.01", got)
	}
}

// The filter for 48 kHz is the one that BS.1770-4 prints.
func TestKWeightingCoefficients(t *testing.T) {
	f := newKFilter(48000)
	for _, c := range []struct{ got, want float64 }{
		{f.shelf.b0, 1.53512485958697}, {f.shelf.b1, -2.69169618940638}, {f.shelf.b2, 1.19839281085285},
		{f.shelf.a1, -1.69065929318241}, {f.shelf.a2, 0.73248077421585},
		{f.pass.a1, -1.99004745483398}, {f.pass.a2, 0.99007225036621},
	} {
		if math.Abs(c.got-c.want) > 1e-6 {
			t.Errorf("%.14f, want %.14f", c.got, c.want)
		}
	}
}

func TestSilenceAndNothing(t *testing.T) {
	for _, frames := range []int{0, 1, 100, 48000} {
		l := measure(48000, 2, make([]float32, 2*frames))
		if l.IntegratedLUFS != FloorLUFS || l.TruePeakDBTP != FloorDBTP {
			t.Errorf("%d silent frames: %+v", frames, l)
		}
		if want := (frames + 47999) / 48000; len(l.ShortTermLUFS) != want {
			t.Errorf("%d silent frames: %d short-term values, want %d", frames, len(l.ShortTermLUFS), want)
		}
	}
}

func TestShortTermFollowsTheLevel(t *testing.T) {
	l := measure(44100, 2, stereo(44100, 1000, [2]float64{-20, 10}, [2]float64{-40, 10.5}))
	if len(l.ShortTermLUFS) != 21 {
		t.Fatalf("%d values for 20.5 s", len(l.ShortTermLUFS))
	}
	for i, got := range l.ShortTermLUFS {
		want := -20.0
		if i > 10 {
			want = -40
		}
		if i != 9 && i != 10 && math.Abs(got-want) > 0.2 {
			t.Errorf("second %d: %.2f LUFS, want %.0f", i, got, want)
		}
	}
}

// EBU Tech 3341, cases 15 to 19: tones whose samples miss the peak.
func TestTruePeakBetweenSamples(t *testing.T) {
	for _, c := range []struct {
		name          string
		divisor       float64 // frequency: rate / divisor
		phase         float64 // degrees
		amplitude, db float64
	}{
		{"case 15", 4, 0, 0.5, -6},
		{"case 16", 4, 45, 0.5, -6},
		{"case 17", 6, 60, 0.5, -6},
		{"case 18", 8, 67.5, 0.5, -6},
		{"case 19", 4, 45, 1.41, 3},
	} {
		const rate = 48000
		var x []float32
		for i := range rate {
			// A slow start: an abrupt one has peaks of its own.
			fade := min(1, float64(i)/2000, float64(rate-i)/2000)
			v := float32(fade * c.amplitude * math.Sin(2*math.Pi*float64(i)/c.divisor+c.phase*math.Pi/180))
			x = append(x, v, v)
		}
		if got := measure(rate, 2, x).TruePeakDBTP; got < c.db-0.4 || got > c.db+0.2 {
			t.Errorf("%s: %.2f dBTP, want %.1f (+0.2/-0.4)", c.name, got, c.db)
		}
	}
}

// Skipping quiet blocks finds the peak that looking at every block finds.
func TestTruePeakSkipsNothingThatMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channels := rapid.IntRange(1, 3).Draw(t, "channels")
		frames := rapid.IntRange(1, 700).Draw(t, "frames")
		level := rapid.SliceOfN(rapid.Float32Range(0, 1), 1, 12).Draw(t, "level")
		noise := rapid.SliceOfN(rapid.Float32Range(-1, 1), 31, 31).Draw(t, "noise")
		x := make([]float32, frames*channels)
		for i := range x {
			x[i] = noise[i%31] * level[i*len(level)/len(x)]
		}
		var want float32
		for c := range channels {
			w := make([]float32, truePeakTaps-1)
			for i := c; i < len(x); i += channels {
				w = append(w, x[i])
				want = max(want, x[i], -x[i])
			}
			want = max(want, interpolatedGeneric(append(w, make([]float32, truePeakTaps)...)))
		}
		p := newPeakMeter(channels)
		for rest := x; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)/channels).Draw(t, "chunk") * channels
			p.write(rest[:n])
			rest = rest[n:]
		}
		if got := p.peak(); got != float64(want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// Chunks do not matter to the meters beyond the last bits of a sum.
func TestMetersDoNotMindChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]int{8000, 11025, 22050}).Draw(t, "rate")
		channels := rapid.IntRange(1, 3).Draw(t, "channels")
		frames := rapid.IntRange(0, 2*rate).Draw(t, "frames")
		noise := rapid.SliceOfN(rapid.Float32Range(-1, 1), 97, 97).Draw(t, "noise")
		x := make([]float32, frames*channels)
		for i := range x {
			x[i] = noise[i%97] * float32(1+i%5) / 5
		}
		whole, wholeWave := NewMeter(rate, channels), NewWaveformMeter(rate, channels)
		whole.Write(x)
		wholeWave.Write(x)
		parts, partsWave := NewMeter(rate, channels), NewWaveformMeter(rate, channels)
		for rest := x; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)/channels).Draw(t, "chunk") * channels
			parts.Write(rest[:n])
			partsWave.Write(rest[:n])
			rest = rest[n:]
		}
		a, b := whole.Loudness(), parts.Loudness()
		if math.Abs(a.IntegratedLUFS-b.IntegratedLUFS) > 1e-9 || a.TruePeakDBTP != b.TruePeakDBTP || len(a.ShortTermLUFS) != len(b.ShortTermLUFS) {
			t.Fatalf("%+v in chunks, %+v at once", b, a)
		}
		if u, v := wholeWave.Waveform().Peaks, partsWave.Waveform().Peaks; string(u) != string(v) {
			t.Fatalf("waveform %v in chunks, %v at once", v, u)
		}
	})
}

func TestWaveformShowsTheShape(t *testing.T) {
	var x []float32
	for i := range 44100 + 100 {
		v := float32(0.25)
		if i >= 22050 {
			v = -1.5 // over full scale
		}
		x = append(x, v, 0)
	}
	m := NewWaveformMeter(44100, 2)
	m.Write(x)
	peaks := m.Waveform().Peaks
	if len(peaks) != 21 || peaks[0] != 64 || peaks[9] != 64 || peaks[10] != 255 || peaks[20] != 255 {
		t.Errorf("%v", peaks)
	}
}

func BenchmarkMeter(b *testing.B) {
	x := stereo(44100, 440, [2]float64{-6, 1})
	m := NewMeter(44100, 2)
	for b.Loop() {
		m.Write(x)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "x-real-time")
}
