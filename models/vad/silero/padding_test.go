package silero

import (
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := load(t, "silero-vad")
	q := &modelstest.Kept[Stretch, Speech]{Answer: func(Stretch) Speech { return Speech{Probability: make([]float32, Steps)} }}
	d := detector(t, m, q)
	for _, e := range modelstest.SampleFeed(t) {
		if _, _, err := d.Detect(t.Context(), modelstest.Tape(t, make([]float32, int(e.Duration*audio.TapeRate)))); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Stretch, Speech](t, m, r, q.Items())
}
