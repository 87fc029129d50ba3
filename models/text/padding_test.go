package text

import (
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := minilm(t)
	q := &modelstest.Kept[Item, []float32]{Answer: func(Item) []float32 { return nil }}
	e, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, episode := range modelstest.SampleFeed(t) {
		if _, _, err := e.Encode(t.Context(), episode.Passages()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Item, []float32](t, m, r, q.Items())
}
