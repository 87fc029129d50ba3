package words

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/models"
)

// The models were trained on what Python made of their texts: Go must make
// the same of them.
func TestSameAsInTraining(t *testing.T) {
	file, err := os.Open("testdata/features.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	n := 0
	for ; lines.Scan(); n++ {
		var want struct {
			Text    string    `json:"text"`
			Words   []string  `json:"words"`
			Stems   []string  `json:"stems"`
			Rows    []int64   `json:"rows"`
			Weights []float64 `json:"weights"`
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if got := Split(want.Text); !slices.Equal(got, want.Words) {
			t.Fatalf("Split(%q) = %q, want %q", want.Text, got, want.Words)
		}
		stems := Stems(want.Text)
		if !slices.Equal(stems, want.Stems) {
			t.Fatalf("Stems(%q) = %q, want %q", want.Text, stems, want.Stems)
		}
		f := Hash(stems, 1<<15)
		if !slices.Equal(f.Rows, want.Rows) {
			t.Fatalf("rows of %q: %v, want %v", want.Text, f.Rows, want.Rows)
		}
		for i, w := range want.Weights {
			if math.Abs(float64(f.Weights[i])-w) > 1e-6 {
				t.Fatalf("weights of %q: %v, want %v", want.Text, f.Weights, want.Weights)
			}
		}
	}
	if err := lines.Err(); err != nil || n != 2000 {
		t.Fatalf("%d texts of 2000, %v", n, err)
	}
}

func TestMistakesInAManifestAreNamed(t *testing.T) {
	good := models.Manifest{
		Name: "m", Version: 1, Task: "keywords", Family: "hashed-words", Sessions: []string{"m.onnx"}, Params: map[string]any{"rows": 8},
	}
	if rows, err := TableRows(&models.Model{Manifest: good}, "keywords"); rows != 8 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
	for want, change := range map[string]func(*models.Manifest){
		`task "ads"`:                func(m *models.Manifest) { m.Task = "ads" },
		`family "hashed-window"`:    func(m *models.Manifest) { m.Family = "hashed-window" },
		"0 sessions":                func(m *models.Manifest) { m.Sessions = nil },
		"parameters.rows 1":         func(m *models.Manifest) { m.Params = map[string]any{"rows": 1} },
		"parameters.row: unknown f": func(m *models.Manifest) { m.Params = map[string]any{"row": 8} },
	} {
		m := models.Model{Manifest: good}
		change(&m.Manifest)
		if _, err := TableRows(&m, "keywords"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

// A lone item runs beside an empty one, and every item is padded by its own
// length.
func TestTensors(t *testing.T) {
	ids, weights := Tensors([]Features{Hash([]string{"one", "two"}, 64)})
	if !slices.Equal(ids.Shape(), []int64{2, 8}) || !slices.Equal(weights.Shape(), ids.Shape()) {
		t.Fatalf("shapes %v, %v", ids.Shape(), weights.Shape())
	}
	rows, err := models.Elements[int64](ids)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(rows[:3], 0) || slices.Max(rows[3:]) != 0 {
		t.Fatalf("rows %v", rows)
	}
	for n, want := range map[int]int{0: 8, 8: 8, 9: 16, 65: 72, 128: 128, 129: 144, 290: 320, 500: 512, 1025: 1152} {
		if got := Bucket(n); got != want {
			t.Errorf("Bucket(%d) = %d, want %d", n, got, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "Don’t stop", "Ærø – 42 km", "東京タワー", "\xff\xfe", "a\u0301b", strings.Repeat("x", 99)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		found := Split(s)
		for _, w := range found {
			if n := utf8.RuneCountInString(w); n < 1 || n > longest {
				t.Fatalf("a word of %d runes in %q", n, s)
			}
			if Stem(w) == "" {
				t.Fatalf("%q has an empty stem", w)
			}
		}
		if again := Split(strings.Join(found, " ")); !slices.Equal(again, found) {
			t.Fatalf("words of words: %q, want %q", again, found)
		}
		features := Hash(Stems(s), 97)
		sum := 0.0
		for i, w := range features.Weights {
			sum += float64(w) * float64(w)
			if r := features.Rows[i]; r < 1 || r >= 97 || i > 0 && r <= features.Rows[i-1] {
				t.Fatalf("rows %v", features.Rows)
			}
		}
		if len(found) > 0 && math.Abs(sum-1) > 1e-4 {
			t.Fatalf("weights of length %v", sum)
		}
	})
}
