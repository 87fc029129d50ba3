package passage

import (
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
	"github.com/earshot-fm/earshot/models/words"
)

func TestPadding(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-passages")
	q := &modelstest.Kept[words.Features, []float32]{Answer: func(words.Features) []float32 { return nil }}
	e, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, episode := range modelstest.SampleFeed(t) {
		if episode.Language != "en" {
			continue
		}
		if _, _, err := e.Encode(t.Context(), episode.Passages()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[words.Features, []float32](t, m, r, q.Items())
}
