package transducer

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
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// reference is what models/train/parity/transducer.py wrote of one piece.
type reference struct {
	Span      [2]episode.Seconds
	Steps     int
	Tokens    []int
	At        []int
	Durations []int
	Runs      int // of the decoder

	piece   asr.Piece
	encoded []float32 // [size, steps]
	logits  []float32 // [runs, outputs]
}

var transducers = []string{"tiny-rnnt", "tiny-tdt"}

func opened(t testing.TB, name string) (*models.Model, *Runner, models.Sessions, []reference) {
	t.Helper()
	m := modelstest.Folder(t, "../../parity/"+name)
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var list []reference
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	speech := modelstest.PCM16(t, "../testdata/heldout.pcm16")
	encoded := modelstest.Float32s(t, "testdata/"+name+".encoded.f32")
	logits := modelstest.Float32s(t, "testdata/"+name+".logits.f32")
	width := r.vocabulary.Classes() + len(r.params.Durations)
	for i := range list {
		w := &list[i]
		w.piece = asr.Piece{Start: w.Span[0], Samples: speech[int(w.Span[0]*audio.TapeRate):int(w.Span[1]*audio.TapeRate)]}
		w.encoded, encoded = encoded[:16*w.Steps], encoded[16*w.Steps:]
		w.logits, logits = logits[:w.Runs*width], logits[w.Runs*width:]
	}
	if len(encoded)+len(logits) > 0 {
		t.Fatalf("%s: golden data are left over", name)
	}
	return m, r, modelstest.Open(t, m), list
}

// recorder keeps what the second graph says of a batch's first row.
type recorder struct {
	models.Session
	logits []float32
	width  int
}

func (r *recorder) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	out, err := r.Session.Run(ctx, inputs)
	if err == nil {
		logits, _ := models.Elements[float32](out[portLogits])
		r.logits = append(r.logits, logits[:r.width]...)
	}
	return out, err
}

func TestTransducersSayWhatTheReferenceSays(t *testing.T) {
	for _, name := range transducers {
		t.Run(name, func(t *testing.T) {
			_, r, sessions, list := opened(t, name)
			width := r.vocabulary.Classes() + len(r.params.Durations)
			spoken := map[int]bool{}
			for i, want := range list {
				found, err := r.encode(t.Context(), sessions[r.encoder], []asr.Piece{want.piece}, []int{0}, r.padded(want.piece))
				if err != nil {
					t.Fatal(err)
				}
				u := found[0]
				var encoded []float32
				for c := range u.size {
					encoded = append(encoded, u.encoded[c*u.stride:][:u.steps]...)
				}
				modelstest.Near(t, "encoder outputs", encoded, want.encoded, 1e-3)

				decoder := &recorder{Session: sessions[r.decoder], width: width}
				alone := models.Sessions{r.encoder: sessions[r.encoder], r.decoder: decoder}
				out, err := r.Run(t.Context(), alone, []asr.Piece{want.piece})
				if err != nil {
					t.Fatal(err)
				}
				modelstest.Near(t, "logits", decoder.logits, want.logits, 1e-3)
				var tokens, at, durations []int
				for _, k := range out[0].Tokens {
					tokens, at, durations = append(tokens, k.Class), append(at, k.Start), append(durations, k.End-k.Start)
					spoken[k.Class] = true
					if !(k.LogP <= 0) {
						t.Errorf("piece %d: token %+v", i, k)
					}
				}
				for k := range want.Durations {
					want.Durations[k] = max(1, want.Durations[k])
				}
				if !slices.Equal(tokens, want.Tokens) || !slices.Equal(at, want.At) || !slices.Equal(durations, want.Durations) {
					t.Errorf("piece %d: tokens %v at %v for %v, the reference has %v at %v for %v", i, tokens, at, durations, want.Tokens, want.At, want.Durations)
				}
			}
			if len(spoken) < 10 {
				t.Errorf("only %d tokens are ever said: the model shows too little", len(spoken))
			}
		})
	}
}

func TestAPieceIsHeardAloneAsAmongOthers(t *testing.T) {
	for _, name := range transducers {
		_, r, sessions, list := opened(t, name)
		var batch []asr.Piece
		for _, want := range list {
			batch = append(batch, want.piece, want.piece)
		}
		batch = append(batch, asr.Piece{Samples: make([]float32, 7)})
		together, err := r.Run(t.Context(), sessions, batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range batch {
			alone, err := r.Run(t.Context(), sessions, []asr.Piece{p})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(alone[0].Tokens, together[i].Tokens) {
				t.Errorf("%s: piece %d is %v alone, %v in a batch of %d", name, i, alone[0].Tokens, together[i].Tokens, len(batch))
			}
		}
	}
}

func TestATapeIsTranscribed(t *testing.T) {
	for _, name := range transducers {
		m, r, sessions, list := opened(t, name)
		recognizer, err := New(m, modelstest.Queue[asr.Piece, Heard]{Runner: r, Sessions: sessions})
		if err != nil {
			t.Fatal(err)
		}
		tape := modelstest.Tape(t, modelstest.PCM16(t, "../testdata/heldout.pcm16"))
		var speech []episode.Span
		for _, want := range list {
			speech = append(speech, episode.Span{Start: want.Span[0], End: want.Span[1]})
		}
		got, usage, err := recognizer.Transcribe(t.Context(), tape, speech)
		if err != nil {
			t.Fatal(err)
		}
		if got.Source != "recognised" || got.Language != "en" || usage.Model != m.Manifest.Ref() || usage.Items == 0 || len(got.Segments) == 0 {
			t.Errorf("%s: transcript %+v, usage %+v", name, got, usage)
		}
		for _, s := range got.Segments {
			for _, w := range s.Words {
				if w.End <= w.Start || w.Text == "" || strings.ContainsAny(w.Text, "▁<") || !(w.Confidence > 0 && w.Confidence <= 1) {
					t.Errorf("%s: word %+v", name, w)
				}
			}
		}
	}
}

// script is a session that gives the same logits in every run.
type script []float32

func (s script) Run(_ context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	rows := inputs[portEncoded].Shape()[0]
	out := map[string]models.Tensor{portLogits: models.NewTensor(slices.Repeat(s, int(rows)), rows, 1, 1, int64(len(s)))}
	for _, n := range []string{"1", "2"} {
		in := inputs[portStates+n]
		out[portNewStates+n] = in
	}
	return out, nil
}

func (script) Close() error { return nil }

func TestATokenWithoutDurationCannotHoldTheSearch(t *testing.T) {
	_, r, _, _ := opened(t, "tiny-tdt")
	classes := r.vocabulary.Classes()
	for what, class := range map[string]int{"token": 3, "blank": r.vocabulary.Blank()} {
		logits := make([]float32, classes+len(r.params.Durations))
		logits[class], logits[classes] = 9, 9 // of duration 0
		u := &utterance{encoded: make([]float32, 16*5), size: 16, stride: 5, steps: 5, last: int64(r.vocabulary.Blank())}
		for _, s := range r.states {
			u.states = append(u.states, make([]float32, s.layers*s.size))
		}
		if err := r.decode(t.Context(), script(logits), []*utterance{u}); err != nil {
			t.Fatal(err)
		}
		want := 0
		if what == "token" {
			want = 5 * r.params.MaxSymbols
		}
		if len(u.tokens) != want || u.at != 5 {
			t.Errorf("a %s of no duration for ever: %d tokens up to step %d, want %d up to 5", what, len(u.tokens), u.at, want)
		}
	}
}

func TestATokenEndsWithItsPiece(t *testing.T) {
	_, r, _, _ := opened(t, "tiny-tdt")
	longest := slices.Index(r.params.Durations, slices.Max(r.params.Durations))
	logits := make([]float32, r.vocabulary.Classes()+len(r.params.Durations))
	logits[3], logits[r.vocabulary.Classes()+longest] = 9, 9
	u := &utterance{steps: 1}
	u.hear(logits, r)
	if len(u.tokens) != 1 || u.tokens[0].End != 1 {
		t.Errorf("of a piece of one step: %+v", u.tokens)
	}
}

type gone struct{}

func (gone) Run(context.Context, map[string]models.Tensor) (map[string]models.Tensor, error) {
	return nil, errors.New("the device is gone")
}
func (gone) Close() error { return nil }

func TestRunSaysWhatFailed(t *testing.T) {
	_, r, sessions, list := opened(t, "tiny-rnnt")
	batch := []asr.Piece{list[0].piece}
	for want, s := range map[string]models.Sessions{
		"encode 1 pieces": {r.encoder: gone{}, r.decoder: gone{}},
		"decode 1 pieces": {r.encoder: sessions[r.encoder], r.decoder: gone{}},
		"are not open":    {},
		"want 21 classes": {r.encoder: sessions[r.encoder], r.decoder: script(make([]float32, 5))},
	} {
		if _, err := r.Run(t.Context(), s, batch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func TestMistakesInAManifestAreNamed(t *testing.T) {
	for field, change := range map[string]func(f *models.Manifest){
		"family":           func(f *models.Manifest) { f.Family = "ctc" },
		"max_symbols":      func(f *models.Manifest) { f.Params = map[string]any{"max_symbols": -1} },
		"durations[1]":     func(f *models.Manifest) { f.Params = map[string]any{"durations": []int{0, -1}} },
		"piece_seconds":    func(f *models.Manifest) { f.Params = map[string]any{"piece_seconds": .1} },
		"colour":           func(f *models.Manifest) { f.Params = map[string]any{"colour": "red"} },
		"two sessions":     func(f *models.Manifest) { f.Sessions = f.Sessions[:1] },
		"parameters.blank": func(f *models.Manifest) { f.Params = map[string]any{"blank": "<none>"} },
		"as NeMo exports":  func(f *models.Manifest) { f.Sessions = []string{f.Sessions[0], f.Sessions[0]} },
		"front end":        func(f *models.Manifest) { f.Frontend = &models.Frontend{Kind: "nemo"} },
		"no vocabulary":    func(f *models.Manifest) { f.Files = map[string]string{} },
	} {
		m := *modelstest.Folder(t, "../../parity/tiny-tdt")
		change(&m.Manifest)
		if _, err := NewRunner(&m); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	for _, name := range transducers {
		q := modelstest.Direct[asr.Piece, Heard](t, modelstest.Folder(t, "../../parity/"+name), NewRunner)
		modelstest.NaN(t, q, asr.Piece{Samples: make([]float32, audio.TapeRate)})
	}
}
