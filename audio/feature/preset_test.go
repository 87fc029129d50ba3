package feature_test

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio/feature"
	"pgregory.net/rapid"
)

// The fixtures are written by models/train/parity/frontends.py with the
// reference libraries.

var presetsTested = map[string]feature.Config{
	"whisper-80":      {Kind: feature.KindWhisper, Mels: 80},
	"whisper-128":     {Kind: feature.KindWhisper, Mels: 128},
	"nemo-80":         {Kind: feature.KindNeMo, Mels: 80},
	"nemo-128":        {Kind: feature.KindNeMo, Mels: 128},
	"nemo-reflect-64": {Kind: feature.KindNeMo, Mels: 64, Pad: feature.PadReflect},
	"ced-64":          {Kind: feature.KindCED, Mels: 64},
}

func signal(t testing.TB, name string) []float32 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".pcm16"))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/2)
	for i := range out {
		out[i] = float32(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}
	return out
}

func golden(t testing.TB, name string) []float32 {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name+".f32.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

func TestPresetsAreTheLibraries(t *testing.T) {
	for kind, c := range presetsTested {
		for _, name := range []string{"speech", "noise", "silence", "impulse", "hops", "short"} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				f, err := feature.New(c)
				if err != nil {
					t.Fatal(err)
				}
				samples, want := signal(t, name), golden(t, name+"."+kind)
				got := f.ItemByMel(samples)
				frames := f.Frames(len(samples))
				if len(got) != frames*c.Mels {
					t.Fatalf("%d values for %d frames", len(got), frames)
				}
				if c.Kind == feature.KindWhisper {
					got = untilPadding(t, got, frames, len(want)/c.Mels)
				}
				near(t, got, want, 1e-4)
			})
		}
	}
}

// untilPadding cuts [mels, frames] to its first frames, after checking that
// all the others are like the last of these.
func untilPadding(t *testing.T, logmel []float32, frames, keep int) []float32 {
	t.Helper()
	var out []float32
	for row := range slices.Chunk(logmel, frames) {
		out = append(out, row[:keep]...)
		for i, v := range row[keep:] {
			if v != row[keep-1] {
				t.Fatalf("frame %d of the padding differs from the one before: %g and %g", keep+i, row[keep-1], v)
			}
		}
	}
	return out
}

func TestItemsOfAnyLengthAreFinite(t *testing.T) {
	noise := signal(t, "noise")
	for kind, c := range presetsTested {
		f, err := feature.New(c)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(rt *rapid.T) {
			samples := noise[:rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(0, len(noise))).Draw(rt, "samples")]
			got := f.Item(samples)
			if len(got) != f.Frames(len(samples))*c.Mels {
				rt.Fatalf("%s: %d values for %d frames", kind, len(got), f.Frames(len(samples)))
			}
			for i, v := range got {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					rt.Fatalf("%s: value %d of %d samples is %g", kind, i, len(samples), v)
				}
			}
			mels, frames := f.ItemByMel(samples), f.Frames(len(samples))
			for i, v := range got {
				if v != mels[i%c.Mels*frames+i/c.Mels] {
					rt.Fatalf("%s: the two layouts differ at %d", kind, i)
				}
			}
		})
	}
}

// A long item is taken whole: its frames are those of Whisper's transcribe,
// which computes a file's log-mel at once.
func TestWhisperTakesLongItemsWhole(t *testing.T) {
	f, err := feature.New(feature.Config{Kind: feature.KindWhisper, Mels: 80})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Frames(31 * 16000); got != 3100 {
		t.Errorf("31 s give %d frames", got)
	}
	samples := slices.Concat(signal(t, "speech"), make([]float32, 31*16000))
	if got := f.Item(samples); len(got) != 80*(len(samples)/160) {
		t.Errorf("%d values", len(got))
	}
}

func TestPresetsSayWhatIsWrong(t *testing.T) {
	for want, c := range map[string]feature.Config{
		"mels":     {Kind: feature.KindWhisper, Mels: 64},
		"hop":      {Kind: feature.KindNeMo, Mels: 80, Hop: 100},
		"pad":      {Kind: feature.KindNeMo, Mels: 80, Pad: "wrap"},
		"its own":  {Kind: feature.KindCED, Mels: 64, Pad: feature.PadConstant},
		"at least": {Kind: feature.KindCED},
	} {
		if _, err := feature.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	f, err := feature.New(feature.Config{Kind: feature.KindNeMo, Mels: 80})
	if err != nil {
		t.Fatal(err)
	}
	if c := f.Config(); c.SampleRate != 16000 || c.Hop != 160 || c.Pad != feature.PadConstant {
		t.Errorf("resolved to %+v", c)
	}
	if _, err := feature.New(f.Config()); err != nil {
		t.Errorf("a front end's own description is refused: %v", err)
	}
}

func TestPresetsAreNotStreamed(t *testing.T) {
	f, err := feature.New(feature.Config{Kind: feature.KindNeMo, Mels: 80})
	if err != nil {
		t.Fatal(err)
	}
	r := tape(t, pcm(t), nil)
	defer r.Close()
	if _, err := (feature.Windows{Front: f, Frames: 20, Margin: 4}).Each(t.Context(), r, func(feature.Window) bool { return true }); err == nil || !strings.Contains(err.Error(), "nemo") {
		t.Errorf("error %v", err)
	}
}
