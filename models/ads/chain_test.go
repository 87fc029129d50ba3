package ads

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestMarginalsAreThoseOfAllPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.Float64Range(-4, 4)
		c := chain{draw.Draw(t, "first"), draw.Draw(t, "begin"), draw.Draw(t, "end")}
		scores := make([]Score, rapid.IntRange(1, 8).Draw(t, "segments"))
		for i := range scores {
			scores[i] = Score{float32(draw.Draw(t, "score")), float32(draw.Draw(t, "change"))}
		}
		want, total := make([]float64, len(scores)), 0.0
		for path := range 1 << len(scores) {
			state := func(i int) int { return path >> i & 1 }
			potential := c.first * float64(state(0))
			for i, s := range scores {
				potential += float64(s.Ad) * float64(state(i))
				if i > 0 && state(i-1) != state(i) {
					potential += float64(s.Change) + []float64{c.begin, c.end}[state(i-1)]
				}
			}
			weight := math.Exp(potential)
			total += weight
			for i := range want {
				want[i] += weight * float64(state(i))
			}
		}
		for i, p := range c.marginals(scores) {
			if math.Abs(p-want[i]/total) > 1e-9 {
				t.Fatalf("segment %d of %v: %v, want %v", i, scores, p, want[i]/total)
			}
		}
	})
}

func TestNoSegmentsHaveNoMarginals(t *testing.T) {
	if p := (chain{}).marginals(nil); len(p) != 0 {
		t.Errorf("%v", p)
	}
}

// The golden probabilities are train.py's, of its own features and onnxruntime.
func TestProbabilitiesAreThoseOfTheTraining(t *testing.T) {
	f, q := openFinder(t)
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Texts         []string
		Probabilities []float64
	}
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	var segments []episode.Segment
	for _, text := range golden.Texts {
		segments = append(segments, episode.Segment{Text: text})
	}
	scores, err := q.Runner.Run(t.Context(), q.Sessions, f.windows(segments))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range f.chain.marginals(scores) {
		if math.Abs(p-golden.Probabilities[i]) > 1e-3 {
			t.Errorf("%q: %v, want %v", golden.Texts[i], p, golden.Probabilities[i])
		}
	}
}

func TestAJingleSpeaksForAChange(t *testing.T) {
	segments := script("one\ntwo\nthree") // of 5 s, with half a second between
	jingle := episode.SoundEvent{Label: "Music", Span: episode.Span{Start: 4.5, End: 6}}
	song := episode.SoundEvent{Label: "Music", Span: episode.Span{Start: 5, End: 25}}
	got := withMusic(make([]Score, 3), Evidence{segments, []episode.SoundEvent{jingle, song}, 20})
	if got[0].Change != 0 || got[1].Change != jingleChange || got[2].Change != 0 {
		t.Errorf("%v", got)
	}
}
