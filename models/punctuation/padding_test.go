package punctuation

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// medianEpisode is that of podcasts in the wild, 36:34, in seconds. The sample's
// episodes are so short that half of their last window is much of it.
const medianEpisode = 36*60 + 34

func TestPadding(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-punctuation")
	q := &modelstest.Kept[Window, Reading]{Answer: func(w Window) Reading {
		return Reading{make([]float32, len(w.Pauses)*int(marksEnd)), make([]float32, len(w.Pauses)*int(casesEnd))}
	}}
	p, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range modelstest.SampleFeed(t) {
		if e.Language != "en" {
			continue
		}
		var segments []episode.Segment
		for at := 0.0; at < medianEpisode; at += e.Duration {
			for _, s := range e.Segments {
				segments = append(segments, episode.Segment{Span: episode.Span{Start: episode.Seconds(at + s.Start), End: episode.Seconds(at + s.End)}, Text: s.Text})
			}
		}
		if _, _, err := p.Punctuate(t.Context(), segments); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Window, Reading](t, m, r, q.Items())
}
