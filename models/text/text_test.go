package text

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// minilm is the real model, which `make setup` writes.
func minilm(t testing.TB) *models.Model {
	t.Helper()
	return modelstest.Public(t, "../public/minilm", "minilm.onnx", "minilm-tokenizer.json")
}

func texts(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("testdata/texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// golden are the rows that models/train/parity/text.py wrote for the texts.
func golden(t testing.TB, name string, width int) [][]float32 {
	t.Helper()
	rows := slices.Collect(slices.Chunk(modelstest.Float32s(t, "testdata/"+name+".f32"), width))
	if want := len(texts(t)); len(rows) != want || len(rows[want-1]) != width {
		t.Fatalf("%s.f32: %d rows of %d, want %d", name, len(rows), width, want)
	}
	return rows
}

// Embeddings are those of transformers' BertModel with the same weights.
func TestMiniLM(t *testing.T) {
	m := minilm(t)
	e, err := New(m, modelstest.Direct[Item, []float32](t, m, NewRunner))
	if err != nil {
		t.Fatal(err)
	}
	all := texts(t)
	got, usage, err := e.Encode(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if usage.Model != "minilm@2" || usage.Items != len(all) {
		t.Errorf("usage %+v", usage)
	}
	for i, want := range golden(t, "minilm", 384) {
		modelstest.Near(t, all[i], got[i], want, 1e-4)
	}
	// Bread and bread are nearer than bread and football.
	like := func(a, b int) (sum float32) {
		for i := range got[a] {
			sum += got[a][i] * got[b][i]
		}
		return sum
	}
	if bread, goal, across := like(0, 2), like(1, 3), like(0, 1); bread < 0.5 || goal < 0.3 || across > 0.2 {
		t.Errorf("bread and bread %.2f, match and match %.2f, bread and match %.2f", bread, goal, across)
	}
}

func TestTinyModels(t *testing.T) {
	for _, test := range []struct {
		name, pooling string
		width         int
	}{{"tiny-minilm", Mean, 24}, {"tiny-bert-classifier", None, 4}} {
		t.Run(test.name, func(t *testing.T) {
			m := modelstest.Folder(t, "../parity/"+test.name)
			p := Params{MaxTokens: 64, Pooling: test.pooling}
			reader, err := NewReader(m, p)
			if err != nil {
				t.Fatal(err)
			}
			q := modelstest.Direct[Item, []float32](t, m, func(m *models.Model) (*Runner, error) { return OpenRunner(m, p) })
			for i, want := range golden(t, test.name, test.width) {
				got, err := q.Do(t.Context(), reader.Item(texts(t)[i]))
				if err != nil {
					t.Fatal(err)
				}
				modelstest.Near(t, texts(t)[i], got.Value, want, 1e-4)
			}
			modelstest.NaN(t, q, reader.Item("none"))
		})
	}
}

// Whatever else is in its batch, a text gets the same bits.
func TestBatchIsInvisible(t *testing.T) {
	for _, test := range []struct {
		m *models.Model
		p Params
	}{
		{minilm(t), Params{Tokenizer: "minilm-tokenizer.json", MaxTokens: 256, Pooling: Mean}},
		{modelstest.Folder(t, "../parity/tiny-bert-classifier"), Params{MaxTokens: 64, Pooling: None}},
	} {
		q := modelstest.Direct[Item, []float32](t, test.m, func(m *models.Model) (*Runner, error) { return OpenRunner(m, test.p) })
		reader, err := NewReader(test.m, test.p)
		if err != nil {
			t.Fatal(err)
		}
		all := texts(t)
		for len(all) > 0 { // a rehearsal looks at eight
			var items []Item
			for _, s := range all[:min(8, len(all))] {
				items = append(items, reader.Item(s))
			}
			all = all[len(items):]
			r, err := models.VerifyRunner(t.Context(), test.m, q.Runner, q.Sessions, items)
			if err != nil || len(r.Faults) > 0 || len(r.Batches) != 4 {
				t.Errorf("%s: %+v, %v", test.m.Manifest.Name, r, err)
			}
		}
	}
}

// Windows lose nothing, and none is longer than asked.
func TestWindows(t *testing.T) {
	reader, err := NewReader(minilm(t), Params{Tokenizer: "minilm-tokenizer.json", MaxTokens: 256, Pooling: Mean})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.StringMatching(`([a-z]{1,9} ){0,40}`), 0, 12).Draw(t, "parts")
		size := rapid.IntRange(8, 300).Draw(t, "tokens")
		var want, got []int64
		for _, p := range parts {
			for _, id := range reader.tokens.Encode(p, false) {
				want = append(want, int64(id))
			}
		}
		for _, w := range reader.Windows(parts, size) {
			if n := len(w.IDs) - 2; n < 1 || n > size || n > 254 {
				t.Fatalf("a window of %d tokens, asked for %d", n, size)
			}
			got = append(got, w.IDs[1:len(w.IDs)-1]...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("windows hold %v, the text has %v", got, want)
		}
	})
}

func TestWrongParams(t *testing.T) {
	m := minilm(t)
	for _, test := range []struct {
		p    Params
		want string
	}{
		{Params{MaxTokens: 64, Pooling: "max"}, `pooling: "max"`},
		{Params{Pooling: Mean}, "max_tokens: 0"},
		{Params{MaxTokens: 64, Pooling: Mean, Output: "logits"}, `no output "logits"`},
	} {
		if _, err := OpenRunner(m, test.p); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want one with %q", test.p, err, test.want)
		}
	}
	if _, err := NewRunner(modelstest.Folder(t, "../parity/tiny-minilm")); err == nil || !strings.Contains(err.Error(), "parameters") {
		t.Errorf("a topic model as an encoder: %v", err)
	}
}
