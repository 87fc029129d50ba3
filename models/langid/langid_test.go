package langid

import (
	"math"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
	"pgregory.net/rapid"
)

// The clips: two held-out voices, one after another, saying held-out texts.
func TestLanguagesAreTold(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"de", "es", "ja"} {
		got, usage, err := d.Identify(t.Context(), modelstest.Clip(t, code), []episode.Span{{Start: 0, End: 10.2}})
		if err != nil {
			t.Fatal(err)
		}
		if got.Code != code || len(got.Candidates) == 0 || got.Candidates[0].Code != code || got.Candidates[0].Confidence != got.Confidence {
			t.Errorf("%s: %+v", code, got)
		}
		if usage.Model != m.Manifest.Ref() || usage.Items < 1 {
			t.Errorf("usage %+v", usage)
		}
	}
	got, _, err := d.Identify(t.Context(), modelstest.Clip(t, "music"), []episode.Span{{Start: 0, End: 5}})
	if err != nil || got.Code != Undetermined {
		t.Errorf("music: %+v, error %v", got, err)
	}
}

func TestNoSpeechIsUndetermined(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := d.Identify(t.Context(), modelstest.Clip(t, "de"), nil)
	if err != nil || got.Code != Undetermined || got.Confidence != 0 || got.Candidates == nil {
		t.Errorf("%+v, error %v", got, err)
	}
}

func TestShortTapesAndLateSpeech(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	for _, samples := range []int{1, 160, 8000, 80239, 80240, 80241, 90000} {
		end := episode.Seconds(float64(samples) / 16000)
		for _, start := range []episode.Seconds{0, end / 2, end * 0.99} {
			w, err := d.window(t.Context(), modelstest.Tape(t, make([]float32, samples)), start)
			if err != nil || len(w.Values) != WindowFrames*64 {
				t.Errorf("%d samples from %g s: %d values, error %v", samples, float64(start), len(w.Values), err)
			}
		}
	}
}

func TestWindowsLieInTheSpeech(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var speech []episode.Span
		at := episode.Seconds(0)
		for range rapid.IntRange(0, 30).Draw(t, "regions") {
			at += episode.Seconds(rapid.Float64Range(0.05, 20).Draw(t, "pause"))
			s := episode.Span{Start: at, End: at + episode.Seconds(rapid.Float64Range(0.1, 40).Draw(t, "length"))}
			at = s.End
			speech = append(speech, s)
		}
		n := rapid.IntRange(1, 30).Draw(t, "windows")
		places := spread(cut(speech, 4, 0.6), n)
		if len(speech) > 0 == (len(places) == 0) || len(places) > n {
			t.Fatalf("%d windows of at most %d for %d regions", len(places), n, len(speech))
		}
		for i, p := range places {
			if p.Speech <= 0 || p.Speech > 4+1e-9 || i > 0 && p.Start < places[i-1].Start+4-1e-9 {
				t.Fatalf("window %d: %+v", i, p)
			}
		}
	})
}

func TestAnswersAreDistributions(t *testing.T) {
	p := pool{codes: []string{"en", "es", "und"}, threshold: 0.5}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "windows")
		windows, places := make([]LogP, n), make([]place, n)
		for i := range windows {
			raw := rapid.SliceOfN(rapid.Float64Range(-30, 0), 3, 3).Draw(t, "logits")
			sum := math.Log(math.Exp(raw[0]) + math.Exp(raw[1]) + math.Exp(raw[2]))
			for _, v := range raw {
				windows[i] = append(windows[i], float32(v-sum))
			}
			places[i].Speech = episode.Seconds(rapid.Float64Range(0, 4).Draw(t, "speech"))
		}
		got := p.answer(windows, places)
		var total episode.Score
		for _, c := range got.Candidates {
			total += c.Confidence
		}
		if len(got.Candidates) != 2 || total > 1.0001 || got.Candidates[0].Confidence < got.Candidates[1].Confidence {
			t.Fatalf("%+v", got)
		}
		if got.Code != Undetermined && (got.Code != got.Candidates[0].Code || got.Confidence < 0.5) {
			t.Fatalf("%+v", got)
		}
	})
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	m := builtIn(t)
	modelstest.NaN(t, open(t, m), Window{make([]float32, WindowFrames*m.Manifest.Frontend.Mels)})
}
