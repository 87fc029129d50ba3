package asr

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func builtIn(t testing.TB) *models.Model { return modelstest.BuiltIn(t, "earshot-en") }

func open(t testing.TB, m *models.Model) modelstest.Queue[Piece, Posteriors] {
	t.Helper()
	return modelstest.Direct[Piece, Posteriors](t, m, NewRunner)
}

// heldOut is speech of sentences and of a voice that training never met
// (models/train/asr/synthesise.py fixture), and what is said where.
func heldOut(t testing.TB) (recording, []episode.Span, []string) {
	t.Helper()
	samples := recording(modelstest.PCM16(t, "testdata/heldout.pcm16"))
	b, err := os.ReadFile("testdata/heldout.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts [][3]any
	if err := json.Unmarshal(b, &facts); err != nil {
		t.Fatal(err)
	}
	var speech []episode.Span
	var texts []string
	for _, f := range facts {
		speech = append(speech, episode.Span{Start: episode.Seconds(f[0].(float64)), End: episode.Seconds(f[1].(float64))})
		texts = append(texts, f[2].(string))
	}
	return samples, speech, texts
}

func TestHeldOutSpeechIsRecognised(t *testing.T) {
	m := builtIn(t)
	r, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	tape, speech, texts := heldOut(t)
	got, usage, err := r.Transcribe(t.Context(), tape, speech)
	if err != nil {
		t.Fatal(err)
	}
	if got.Language != "en" || got.Source != "recognised" || !slices.Equal(r.Languages(), []string{"en"}) {
		t.Errorf("transcript in %q, source %q", got.Language, got.Source)
	}
	if usage.Model != m.Manifest.Ref() || usage.Items != len(speech) || usage.Device != "cpu" {
		t.Errorf("usage %+v for %d spans of speech", usage, len(speech))
	}
	wrong, words := 0, 0
	last := episode.Seconds(0)
	for i, s := range speech {
		var heard []string
		for _, segment := range got.Segments {
			for _, w := range segment.Words {
				if w.Start >= s.Start-.3 && w.Start < s.End {
					heard = append(heard, w.Text)
					if w.Start < last || w.End <= w.Start || w.Confidence <= 0 || w.Confidence > 1 {
						t.Errorf("word %+v after %v", w, last)
					}
					last = w.Start
				}
			}
		}
		want := strings.Fields(texts[i])
		wrong += editDistance(want, heard)
		words += len(want)
		t.Logf("said  %s", texts[i])
		t.Logf("heard %s", strings.Join(heard, " "))
	}
	if rate := float64(wrong) / float64(words); rate > .35 {
		t.Errorf("%d of %d words are wrong (%.2f), want at most 0.35", wrong, words, rate)
	}

	again, _, err := r.Transcribe(t.Context(), tape, speech)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := episode.Marshal(got)
	b, _ := episode.Marshal(again)
	if string(a) != string(b) {
		t.Error("the same speech gave another transcript")
	}
}

func TestAPieceIsHeardAloneAsAmongOthers(t *testing.T) {
	m := builtIn(t)
	d := open(t, m)
	tape, speech, _ := heldOut(t)
	var pieces []Piece
	for _, s := range speech {
		from := samplesAt(s.Start)
		pieces = append(pieces, Piece{Start: s.Start, Samples: tape[from : from+2*audio.TapeRate]})
	}
	together, err := d.Runner.Run(t.Context(), d.Sessions, pieces)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pieces {
		alone, err := d.Runner.Run(t.Context(), d.Sessions, []Piece{p})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(alone[0].LogP, together[i].LogP) {
			t.Errorf("piece %d has other posteriors alone than in a batch of %d", i, len(pieces))
		}
	}
}

func TestAPieceShorterThanAWindowIsNoError(t *testing.T) {
	m := builtIn(t)
	d := open(t, m)
	out, err := d.Runner.Run(t.Context(), d.Sessions, []Piece{{Samples: make([]float32, 7)}})
	if err != nil || len(out) != 1 || len(out[0].LogP) != out[0].Classes {
		t.Errorf("posteriors %v, error %v", out, err)
	}
}

type failing struct{}

func (failing) Do(ctx context.Context, _ Piece) (models.Answer[Posteriors], error) {
	if ctx.Err() != nil {
		return models.Answer[Posteriors]{}, ctx.Err()
	}
	return models.Answer[Posteriors]{}, errors.New("the device is gone")
}

func TestTranscribeReportsWhatFailed(t *testing.T) {
	r, err := New(builtIn(t), failing{})
	if err != nil {
		t.Fatal(err)
	}
	tape, speech, _ := heldOut(t)
	if _, _, err := r.Transcribe(t.Context(), tape, speech); err == nil || !strings.Contains(err.Error(), "the device is gone") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Transcribe(ctx, tape, speech); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v after cancel", err)
	}
	if got, _, err := r.Transcribe(t.Context(), tape, nil); err != nil || len(got.Segments) != 0 || got.Segments == nil {
		t.Errorf("no speech gave %+v, error %v", got, err)
	}
}

func TestMistakesInAManifestAreNamed(t *testing.T) {
	for field, value := range map[string]any{"beam": 0, "lm_weight": -1.0, "piece_seconds": 0.1, "gap_seconds": 0.0, "colour": "red"} {
		m := *builtIn(t)
		params := map[string]any{field: value}
		for k, v := range m.Manifest.Params {
			if k != field {
				params[k] = v
			}
		}
		m.Manifest.Params = params
		if _, err := New(&m, failing{}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("parameters.%s = %v: error %v", field, value, err)
		}
	}
	m := *builtIn(t)
	m.Manifest.Family = "whisper"
	if _, err := NewRunner(&m); err == nil || !strings.Contains(err.Error(), `"whisper" is not known (have "ctc-phones")`) {
		t.Errorf("error %v", err)
	}
}

func BenchmarkDecode(b *testing.B) {
	m := builtIn(b)
	d := open(b, m)
	r, err := New(m, d)
	if err != nil {
		b.Fatal(err)
	}
	tape, speech, _ := heldOut(b)
	from, to := samplesAt(speech[0].Start), samplesAt(speech[1].End)
	out, err := d.Runner.Run(b.Context(), d.Sessions, []Piece{{Samples: tape[from:to]}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Words(0, out[0])
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/(float64(to-from)/audio.TapeRate), "realtime")
}

func editDistance(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		above := row[0]
		row[0] = i + 1
		for j, y := range b {
			change := above
			if x != y {
				change++
			}
			above, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, change)
		}
	}
	return row[len(b)]
}
