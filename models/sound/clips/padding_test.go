package clips

import (
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// YAMNet's items are the longest, so that most is padded.
func TestPadding(t *testing.T) {
	m := model(t, "tiny-yamnet")
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	q := &modelstest.Kept[Clip, Scores]{Answer: func(Clip) Scores { return make(Scores, r.patches*r.classes) }}
	d, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range modelstest.SampleFeed(t) {
		if _, _, err := d.Detect(t.Context(), modelstest.Tape(t, make([]float32, int(e.Duration*audio.TapeRate)))); err != nil {
			t.Fatal(err)
		}
	}
	modelstest.Padding[Clip, Scores](t, m, r, q.Items())
}
