package vad

import (
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/frames"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := builtIn(t)
	q := &modelstest.Kept[frames.Window, frames.Scores]{Answer: func(frames.Window) frames.Scores { return make(frames.Scores, frames.WindowFrames/4) }}
	d, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range modelstest.SampleFeed(t) {
		if _, _, err := d.Detect(t.Context(), modelstest.Tape(t, make([]float32, int(e.Duration*audio.TapeRate)))); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[frames.Window, frames.Scores](t, m, r, q.Items())
}
