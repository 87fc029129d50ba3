package langid

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// ecapa is the tiny model that models/train/parity/ecapa.py writes, of
// SpeechBrain's classes.
func ecapa(t testing.TB) *models.Model { return modelstest.Folder(t, "../parity/tiny-ecapa") }

// windows are the pieces of the clip that SpeechBrain was given: two seconds of
// every second.
func windows(t testing.TB) []Window {
	t.Helper()
	clip := modelstest.PCM16(t, "../vad/silero/testdata/clip.pcm16")
	var out []Window
	for at := 0; at < len(clip)-2*audio.TapeRate; at += audio.TapeRate {
		out = append(out, Window{clip[at : at+2*audio.TapeRate]})
	}
	return out
}

func TestECAPAIsSpeechBrains(t *testing.T) {
	m := ecapa(t)
	runner, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	sessions, items := modelstest.Open(t, m), windows(t)
	got, err := runner.Run(t.Context(), sessions, items)
	if err != nil {
		t.Fatal(err)
	}
	want := modelstest.Float32s(t, "testdata/ecapa.f32")
	var all []float32
	for _, p := range got {
		all = append(all, p...)
	}
	modelstest.Near(t, "log-probabilities", all, want, 1e-3)
	for i, item := range items {
		alone, err := runner.Run(t.Context(), sessions, []Window{item})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0], got[i]) {
			t.Errorf("window %d is told otherwise alone than among %d", i, len(items))
		}
	}
}

func TestECAPAIdentifies(t *testing.T) {
	var golden struct {
		Best []string `json:"best_of_seconds_0_and_2"`
	}
	b, err := os.ReadFile("testdata/ecapa.json")
	if err == nil {
		err = json.Unmarshal(b, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := ecapa(t)
	d, err := New(m, modelstest.Direct[Window, LogP](t, m, NewRunner))
	if err != nil {
		t.Fatal(err)
	}
	tape := modelstest.Tape(t, modelstest.PCM16(t, "../vad/silero/testdata/clip.pcm16"))
	got, usage, err := d.Identify(t.Context(), tape, []episode.Span{{Start: 0, End: 4}})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, c := range got.Candidates {
		codes = append(codes, c.Code)
	}
	if !slices.Equal(codes, golden.Best) || got.Code != golden.Best[0] || usage.Items != 2 || usage.Model != "tiny-ecapa@2" {
		t.Errorf("%+v of %+v, SpeechBrain's best are %v", got, usage, golden.Best)
	}
	// What is shorter than a window is said again rather than padded.
	for _, samples := range []int{1, 800, 31999} {
		short := modelstest.Tape(t, modelstest.PCM16(t, "../vad/silero/testdata/clip.pcm16")[:samples])
		got, usage, err := d.Identify(t.Context(), short, []episode.Span{{Start: 0, End: episode.Seconds(samples) / audio.TapeRate}})
		if err != nil || usage.Items != 1 || len(got.Candidates) != 5 {
			t.Errorf("%d samples: %+v, %+v, error %v", samples, got, usage, err)
		}
	}
}
