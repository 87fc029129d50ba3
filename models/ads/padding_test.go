package ads

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-ads")
	q := &modelstest.Kept[Window, Score]{Answer: func(Window) Score { return Score{} }}
	f, err := New(m, q)
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
		if _, _, err := f.Find(t.Context(), Evidence{Segments: segments, Duration: segments[len(segments)-1].End}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Window, Score](t, m, r, q.Items())
}
