package highlight

import (
	"context"
	"math"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type queue = modelstest.Queue[Item, Scores]

func openRanker(t *testing.T) (*Ranker, queue) {
	t.Helper()
	return modelstest.Task(t, modelstest.BuiltIn(t, "earshot-highlight"), NewRunner, New)
}

// talk is an episode of five minutes: greeting, talk, a story with applause at
// 3:20, goodbye.
func talk() Episode {
	e := Episode{Duration: 300, Loudness: &episode.Loudness{IntegratedLUFS: -18}}
	for at := episode.Seconds(8); at < 290; at += 6 {
		text := "the garden is quiet and the water moves slowly"
		switch {
		case at < 30:
			text = "hello and welcome to today's episode of the programme"
		case at >= 170 && at < 230:
			text = "i remember how afraid we were when the river rose and i cried"
		case at > 270:
			text = "goodbye and thanks for listening until next week"
		}
		e.Segments = append(e.Segments, episode.Segment{Span: episode.Span{Start: at, End: at + 5.2}, Text: text, Confidence: 0.8})
	}
	for i := range 300 {
		level := -18.0
		if i > 170 && i < 230 {
			level = -15
		}
		e.ShortTerm = append(e.ShortTerm, level)
	}
	e.SoundEvents = []episode.SoundEvent{
		{Label: "Music", Span: episode.Span{Start: 0, End: 8}},
		{Label: "Applause", Span: episode.Span{Start: 226, End: 231}},
		{Label: "Music", Span: episode.Span{Start: 288, End: 300}},
	}
	return e
}

func TestTheStoryStandsForTheEpisode(t *testing.T) {
	r, _ := openRanker(t)
	candidates := []episode.Span{{Start: 0, End: 60}, {Start: 60, End: 120}, {Start: 172, End: 232}, {Start: 240, End: 300}}
	scores, usage, err := r.Rank(t.Context(), Describe(candidates, talk()))
	if err != nil {
		t.Fatal(err)
	}
	if usage.Model != "earshot-highlight@3" || usage.Items != 1 {
		t.Errorf("usage: %+v", usage)
	}
	for i, s := range scores {
		if i != 2 && s >= scores[2] {
			t.Errorf("candidate %v scores %.3f, the story %.3f", candidates[i], s, scores[2])
		}
	}
	// The publisher knows better: its soundbite wins.
	e := talk()
	e.Soundbites = []episode.Soundbite{{Span: episode.Span{Start: 62, End: 118}}}
	if scores, _, err = r.Rank(t.Context(), Describe(candidates, e)); err != nil || scores[1] <= scores[2] {
		t.Errorf("with a soundbite at 1:02: %v, %v", scores, err)
	}
}

func TestScoresDoNotDependOnTheBatch(t *testing.T) {
	_, q := openRanker(t)
	rapid.Check(t, func(t *rapid.T) {
		draw := func() (it Item) {
			for range rapid.IntRange(1, 5).Draw(t, "rows") {
				var row [Count]float32
				for i := range row {
					row[i] = rapid.Float32Range(-2, 2).Draw(t, "feature")
				}
				it.rows = append(it.rows, row)
			}
			return it
		}
		a, b := draw(), draw()
		single, err := q.Runner.Run(context.Background(), q.Sessions, []Item{a})
		if err != nil {
			t.Fatal(err)
		}
		both, err := q.Runner.Run(context.Background(), q.Sessions, []Item{b, a})
		if err != nil {
			t.Fatal(err)
		}
		for i := range single[0] {
			if math.Float32bits(single[0][i]) != math.Float32bits(both[1][i]) {
				t.Fatalf("row %d: %v alone, %v in company", i, single[0][i], both[1][i])
			}
		}
	})
}

func TestFeaturesStayInBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := talk()
		e.Segments = e.Segments[:rapid.IntRange(0, len(e.Segments)).Draw(t, "segments")]
		e.ShortTerm = e.ShortTerm[:rapid.IntRange(0, 300).Draw(t, "loudness")]
		start := episode.Seconds(rapid.Float64Range(0, 299).Draw(t, "start"))
		span := episode.Span{Start: start, End: min(300, start+episode.Seconds(rapid.Float64Range(0.1, 90).Draw(t, "length")))}
		f := Describe([]episode.Span{span}, e)[0]
		for i, v := range f.vector() {
			if v != v || v < -2 || v > 4 {
				t.Fatalf("feature %d of %v is %v", i, span, v)
			}
		}
		for _, v := range []float32{f.Speech, f.Music, f.Audience, f.Position, f.Novelty, f.Questions} {
			if v < 0 || v > 1.0001 {
				t.Fatalf("%v: %+v", span, f)
			}
		}
	})
}
