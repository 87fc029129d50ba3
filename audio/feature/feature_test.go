package feature_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio/feature"
	"pgregory.net/rapid"
)

// The fixtures are written by models/train/common/golden.py with numpy.

func pcm(t testing.TB) []float32 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "golden.pcm16"))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/2)
	for i := range out {
		out[i] = float32(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}
	return out
}

func floats(t testing.TB, name string) []float32 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func frontEnd(t testing.TB, change func(*feature.Config)) *feature.FrontEnd {
	t.Helper()
	c := feature.Default()
	if change != nil {
		change(&c)
	}
	f, err := feature.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func near(t *testing.T, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	if !(worst <= tolerance) {
		t.Fatalf("differs by %g, want at most %g", worst, tolerance)
	}
}

func TestFramesAreNumpys(t *testing.T) {
	near(t, frontEnd(t, nil).Item(pcm(t)), floats(t, "golden.logmel.f32"), 1e-4)
}

func TestNormalisationIsNumpys(t *testing.T) {
	f := frontEnd(t, func(c *feature.Config) { c.Normalise = feature.NormaliseItem })
	near(t, f.Item(pcm(t)), floats(t, "golden.cmvn.f32"), 1e-4)
}

// A spectrum by the definition of the transform, for sizes that take
// every radix.
func TestSpectrumIsTheDefinition(t *testing.T) {
	samples := pcm(t)
	for _, size := range []int{8, 10, 12, 16, 60, 64, 128, 256, 400, 450, 480, 1000, 1024} {
		c := feature.Config{
			Kind: "logmel", Scale: "htk", SampleRate: 16000, FFT: size, Window: size - 1, Hop: size,
			Mels: 3, MinHz: 0, MaxHz: 8000, Floor: 1e-6,
		}
		f, err := feature.New(c)
		if err != nil {
			t.Fatal(err)
		}
		near(t, f.Item(samples[5000:5000+size]), byDefinition(c, samples[5000:5000+c.Window]), 1e-5)
	}
}

func byDefinition(c feature.Config, x []float32) []float32 {
	mel := func(hz float64) float64 { return 2595 * math.Log10(1+hz/700) }
	hertz := func(m float64) float64 { return 700 * (math.Pow(10, m/2595) - 1) }
	step := (mel(c.MaxHz) - mel(c.MinHz)) / float64(c.Mels+1)
	out := make([]float32, c.Mels)
	for m := range out {
		a, b, d := hertz(mel(c.MinHz)+step*float64(m)), hertz(mel(c.MinHz)+step*float64(m+1)), hertz(mel(c.MinHz)+step*float64(m+2))
		sum := c.Floor
		for k := 0; k <= c.FFT/2; k++ {
			var re, im float64
			for i, v := range x {
				w := float64(v) * (0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(c.Window)))
				s, cos := math.Sincos(2 * math.Pi * float64(k*i) / float64(c.FFT))
				re, im = re+w*cos, im-w*s
			}
			hz := float64(k) * float64(c.SampleRate) / float64(c.FFT)
			sum += (re*re + im*im) * max(0, min((hz-a)/(b-a), (d-hz)/(d-b)))
		}
		out[m] = float32(math.Log(sum))
	}
	return out
}

func TestChunksDoNotShow(t *testing.T) {
	samples := pcm(t)
	rapid.Check(t, func(rt *rapid.T) {
		c := feature.Default()
		c.Hop = rapid.SampledFrom([]int{1, 100, 160, 400, 401, 700}).Draw(rt, "hop")
		if c.Hop == 1 {
			samples = samples[:1200]
		}
		f, err := feature.New(c)
		if err != nil {
			rt.Fatal(err)
		}
		whole := f.Item(samples)
		stream := f.Stream()
		var got []float32
		for rest := samples; len(rest) > 0; {
			n := min(len(rest), rapid.IntRange(0, 3000).Draw(rt, "chunk"))
			got = stream.Write(got, rest[:n])
			rest = rest[n:]
		}
		if !slices.Equal(whole, got) {
			rt.Fatalf("frames differ between one chunk and many (%d and %d values)", len(whole), len(got))
		}
		if len(whole) != c.Frames(len(samples))*c.Mels {
			rt.Fatalf("%d values for %d frames", len(whole), c.Frames(len(samples)))
		}
	})
}

func TestFramesAndSamplesAreInverse(t *testing.T) {
	c := feature.Default()
	for frames := range 50 {
		if got := c.Frames(c.Samples(frames)); got != frames {
			t.Errorf("Frames(Samples(%d)) = %d", frames, got)
		}
		if frames > 0 && c.Frames(c.Samples(frames)-1) != frames-1 {
			t.Errorf("%d frames from one sample too few", frames)
		}
	}
}

func TestSilenceIsFinite(t *testing.T) {
	f := frontEnd(t, func(c *feature.Config) { c.Normalise = feature.NormaliseItem })
	for _, v := range f.Item(make([]float32, 16000)) {
		if v != 0 {
			t.Fatalf("normalised silence gives %g", v)
		}
	}
	if got := f.Item(nil); len(got) != 0 {
		t.Fatalf("no samples give %d values", len(got))
	}
}

func TestStreamMakesNoGarbage(t *testing.T) {
	f, samples := frontEnd(t, nil), pcm(t)
	stream, logmel := f.Stream(), make([]float32, 0, 64*200)
	if n := testing.AllocsPerRun(20, func() { logmel = stream.Write(logmel[:0], samples) }); n > 0.5 {
		t.Errorf("%g allocations a chunk", n)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for field, change := range map[string]func(*feature.Config){
		"kind":        func(c *feature.Config) { c.Kind = "mfcc" },
		"scale":       func(c *feature.Config) { c.Scale = "bark" },
		"sample_rate": func(c *feature.Config) { c.SampleRate = 0 },
		"fft":         func(c *feature.Config) { c.FFT = 502 },
		"window":      func(c *feature.Config) { c.Window = 513 },
		"hop":         func(c *feature.Config) { c.Hop = 0 },
		"mels":        func(c *feature.Config) { c.Mels = -1 },
		"max_hz":      func(c *feature.Config) { c.MaxHz = 9000 },
		"floor":       func(c *feature.Config) { c.Floor = 0 },
		"normalise":   func(c *feature.Config) { c.Normalise = "max" },
	} {
		c := feature.Default()
		change(&c)
		if _, err := feature.New(c); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
