package punctuation

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

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
		for _, s := range e.Long() {
			segments = append(segments, episode.Segment{Span: episode.Span{Start: episode.Seconds(s.Start), End: episode.Seconds(s.End)}, Text: s.Text})
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
