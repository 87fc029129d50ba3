package keyword

import (
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-keywords")
	q := &modelstest.Kept[[]int64, []float32]{Answer: func(rows []int64) []float32 { return make([]float32, len(rows)) }}
	f, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range modelstest.SampleFeed(t) {
		if e.Language != "en" {
			continue
		}
		texts := []string{e.Title, e.Description}
		for _, s := range e.Segments {
			texts = append(texts, s.Text)
		}
		// The whole, and its chapters: of such episodes halves.
		half := len(texts) / 2
		for _, parts := range [][][]string{{texts}, {texts[:half], texts[half:]}} {
			if _, _, err := f.Find(t.Context(), parts, 5); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[[]int64, []float32](t, m, r, q.Items())
}
