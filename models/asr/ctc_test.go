package asr

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// reference is what models/train/parity/ctc.py wrote of one piece.
type reference struct {
	Span  [2]episode.Seconds
	Steps int
	Best  []int
	Text  string
	Words [][3]any // text, first step, step after its last

	piece  Piece
	input  []float32
	logits []float32
}

// references reads the golden data of a model; an item of the input is so many
// numbers for each of size(piece).
func references(t testing.TB, name string, classes int, size func(Piece) int) []reference {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var list []reference
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	speech := modelstest.PCM16(t, "testdata/heldout.pcm16")
	input := modelstest.Float32s(t, "testdata/"+name+".input.f32")
	logits := modelstest.Float32s(t, "testdata/"+name+".logits.f32")
	for i := range list {
		r := &list[i]
		from, to := int(r.Span[0]*audio.TapeRate), int(r.Span[1]*audio.TapeRate)
		r.piece = Piece{Start: r.Span[0], Samples: speech[from:to]}
		n, m := size(r.piece), r.Steps*classes
		r.input, input = input[:n], input[n:]
		r.logits, logits = logits[:m], logits[m:]
	}
	if len(input)+len(logits) > 0 {
		t.Fatalf("%s: %d inputs and %d logits are left over", name, len(input), len(logits))
	}
	return list
}

var ctcModels = []struct {
	name, folder string
	size         func(*CTCRunner, Piece) int
}{
	{"wav2vec2", "../parity/tiny-wav2vec2", func(_ *CTCRunner, p Piece) int { return (len(p.Samples) + 15) / 16 }},
	{"nemo-ctc", "../parity/tiny-nemo-ctc", func(r *CTCRunner, p Piece) int { return 80 * r.front.Frames(len(p.Samples)) }},
}

func TestCTCModelsSayWhatTheirLibrariesSay(t *testing.T) {
	for _, c := range ctcModels {
		t.Run(c.name, func(t *testing.T) {
			m := modelstest.Folder(t, c.folder)
			q := modelstest.Direct(t, m, NewCTCRunner)
			runner := q.Runner.(*CTCRunner)
			recognizer, err := NewCTC(m, q)
			if err != nil {
				t.Fatal(err)
			}
			list := references(t, c.name, runner.classes, func(p Piece) int { return c.size(runner, p) })
			var batch []Piece
			for _, want := range list {
				batch = append(batch, want.piece)
			}
			together, err := runner.Run(t.Context(), q.Sessions, batch)
			if err != nil {
				t.Fatal(err)
			}
			spoken := map[int]bool{}
			for i, want := range list {
				checkInput(t, runner, want)

				a, err := q.Do(t.Context(), want.piece)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(a.Value.LogP, together[i].LogP) {
					t.Errorf("piece %d has other posteriors alone than in a batch", i)
				}
				for step := range want.Steps {
					logSoftmax(want.logits[step*runner.classes:][:runner.classes])
				}
				modelstest.Near(t, "log-probabilities", a.Value.LogP, want.logits, 1e-3)
				var best []int
				for step := range want.Steps {
					row := a.Value.LogP[step*runner.classes:][:runner.classes]
					best = append(best, slices.Index(row, slices.Max(row)))
					spoken[best[step]] = true
				}
				if !slices.Equal(best, want.Best) {
					t.Errorf("best classes %v, the reference has %v", best, want.Best)
				}
				checkWords(t, recognizer, a.Value, want)
			}
			if len(spoken) < 8 {
				t.Errorf("only %d classes are ever the best: the model shows too little", len(spoken))
			}
		})
	}
}

func checkInput(t *testing.T, r *CTCRunner, want reference) {
	t.Helper()
	length := len(want.piece.Samples)
	row := make([]float32, length)
	if r.front != nil {
		length = r.front.Frames(length)
		row = make([]float32, 80*length)
	}
	if n := r.fill(row, want.piece, length); n != length {
		t.Errorf("a piece is %d long, want %d", n, length)
	}
	if r.front == nil { // the golden data have every 16th sample
		for i := range want.input {
			row[i] = row[16*i]
		}
		row = row[:len(want.input)]
	}
	modelstest.Near(t, "the network's input", row, want.input, 1e-4)
}

func checkWords(t *testing.T, c *CTC, p Posteriors, want reference) {
	t.Helper()
	words := c.Words(want.piece.Start, p)
	var texts []string
	for i, w := range words {
		texts = append(texts, w.Text)
		if i >= len(want.Words) {
			continue
		}
		start := want.piece.Start + episode.Seconds(want.Words[i][1].(float64))*c.step
		end := want.piece.Start + episode.Seconds(want.Words[i][2].(float64))*c.step
		if math.Abs(float64(w.Start-start)) > 1e-6 || math.Abs(float64(w.End-end)) > 1e-6 || !(w.Confidence > 0 && w.Confidence <= 1) {
			t.Errorf("word %d is %+v, the reference has it at %v to %v", i, w, start, end)
		}
	}
	text := want.Text
	if c.params.Lowercase {
		text = strings.ToLower(text)
	}
	if got := strings.Join(texts, " "); got != text {
		t.Errorf("heard %q, the reference %q", got, text)
	}
}

func TestACTCModelTranscribesATape(t *testing.T) {
	for _, c := range ctcModels {
		m := modelstest.Folder(t, c.folder)
		q := modelstest.Direct(t, m, NewCTCRunner)
		r, err := NewCTC(m, q)
		if err != nil {
			t.Fatal(err)
		}
		tape := modelstest.Tape(t, modelstest.PCM16(t, "testdata/heldout.pcm16"))
		speech := []episode.Span{{Start: .5, End: 2.66}, {Start: 7.635, End: 10.94}}
		got, usage, err := r.Transcribe(t.Context(), tape, speech)
		if err != nil {
			t.Fatal(err)
		}
		if got.Language != "en" || got.Source != "recognised" || len(got.Segments) == 0 || usage.Items != 2 || usage.Model != m.Manifest.Ref() {
			t.Errorf("%s: transcript %+v, usage %+v", c.name, got, usage)
		}
		last := episode.Seconds(0)
		for _, s := range got.Segments {
			for _, w := range s.Words {
				if w.Start < last || w.End <= w.Start {
					t.Errorf("%s: word %+v after %v", c.name, w, last)
				}
				last = w.Start
			}
		}
	}
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	piece := Piece{Samples: make([]float32, audio.TapeRate)}
	for _, c := range ctcModels {
		modelstest.NaN(t, modelstest.Direct[Piece, Posteriors](t, modelstest.Folder(t, c.folder), NewCTCRunner), piece)
	}
	modelstest.NaN(t, modelstest.Direct[Piece, Posteriors](t, modelstest.BuiltIn(t, "earshot-en"), NewRunner), piece)
}

// timeMajor turns a session's output the other way round.
type timeMajor struct{ models.Session }

func (s timeMajor) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	outputs, err := s.Session.Run(ctx, inputs)
	for name, t := range outputs {
		if shape := t.Shape(); err == nil && len(shape) == 3 {
			values, _ := models.Elements[float32](t)
			outputs[name] = models.NewTensor(values, shape[1], shape[0], shape[2])
		}
	}
	return outputs, err
}

func TestANetworkWhoseOutputIsByTimeFirstIsRefused(t *testing.T) {
	m := modelstest.Folder(t, ctcModels[0].folder)
	q := modelstest.Direct[Piece, Posteriors](t, m, NewCTCRunner)
	q.Sessions = models.Sessions{m.Manifest.Sessions[0]: timeMajor{q.Sessions[m.Manifest.Sessions[0]]}}
	q.Copies = 12
	if _, err := q.Do(t.Context(), Piece{Samples: make([]float32, 2000)}); err == nil || !strings.Contains(err.Error(), "want [12, steps") {
		t.Errorf("error %v", err)
	}
}
