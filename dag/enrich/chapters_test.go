package enrich

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestPassagesCoverTheTranscriptInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var segments []episode.Segment
		for i, s := range spans(t, "segments", 3000, 100, 15) {
			segments = append(segments, episode.Segment{Span: s, Text: strings.Repeat("w ", rapid.IntRange(0, 40).Draw(t, "words")+i%2)})
		}
		at := 0
		passages := cutPassages(segments)
		for i, p := range passages {
			if p.First != at || p.Last <= p.First || p.Start != segments[p.First].Start {
				t.Fatalf("passage %d is %+v, and the one before it ends at %d", i, p, at)
			}
			at = p.Last
			if n := len(strings.Fields(spoken(segments[p.First:p.Last]))); n < passageWords && len(passages) > 1 {
				t.Fatalf("passage %d of %d has %d words", i, len(passages), n)
			}
		}
		if at != len(segments) {
			t.Fatalf("%d of %d segments are in passages", at, len(segments))
		}
	})
}

func TestChaptersKeepTheirLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var passages []passage
		var vectors [][]float32
		for i, s := range spans(t, "passages", 6000, 80, 60) {
			passages = append(passages, passage{i, i + 1, s.Start})
			vectors = append(vectors, rapid.SliceOfN(rapid.Float32Range(-1, 1), 3, 3).Draw(t, "vector"))
		}
		o := ChapterOptions{Min: episode.Seconds(rapid.Float64Range(1, 600).Draw(t, "least"))}
		starts := chapterStarts(passages, vectors, 6000, o)
		if starts == nil {
			return
		}
		if starts[0] != 0 || len(starts) < 2 {
			t.Fatalf("starts %v", starts)
		}
		for i, s := range append(starts[1:], 6000) {
			if s-starts[i] < o.Min {
				t.Fatalf("chapter %d of %v is shorter than %v", i, starts, o.Min)
			}
		}
	})
}

func TestChaptersBeginWhereTheSubjectChanges(t *testing.T) {
	var passages []passage
	var vectors [][]float32
	for i := range 30 {
		passages = append(passages, passage{i, i + 1, episode.Seconds(i) * 20})
		v := make([]float32, 5)
		v[i/10] = 1
		v[3+i%2] = 0.7 // what changes from passage to passage is no subject
		vectors = append(vectors, v)
	}
	if got := chapterStarts(passages, vectors, 600, ChapterOptions{Min: 60}); !slices.Equal(got, []episode.Seconds{0, 200, 400}) {
		t.Errorf("chapters begin at %v", got)
	}
	if got := chapterStarts(passages[:10], vectors[:10], 200, ChapterOptions{Min: 150}); got != nil {
		t.Errorf("one subject has chapters at %v", got)
	}
}
