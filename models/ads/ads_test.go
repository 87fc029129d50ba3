package ads

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type queue = modelstest.Queue[Window, Score]

func openFinder(t *testing.T) (*Finder, queue) {
	t.Helper()
	return modelstest.Task(t, modelstest.BuiltIn(t, "earshot-ads"), NewRunner, New)
}

// script makes segments of five seconds with half a second between.
func script(lines string) []episode.Segment {
	var out []episode.Segment
	for i, l := range strings.Split(lines, "\n") {
		at := episode.Seconds(i) * 5.5
		out = append(out, episode.Segment{Span: episode.Span{Start: at, End: at + 5}, Text: l})
	}
	return out
}

// The texts are in no training set.
const talkAndAd = `we climbed the hill before breakfast and looked down at the village
my grandmother kept bees behind the old school
there is a moment when the whole valley turns gold
this part of our show is sponsored by copper kettle the finest teapots in the country
visit copper kettle dot com and save thirty percent on your first order with the code hilltop
shipping is free and you get your money back if you do not like it
so there we were at the top of the hill with no water
the bees had left and nobody knew where they had gone
it took us the rest of the summer to find them`

func TestAnAdvertisementIsFoundWithItsJingles(t *testing.T) {
	f, _ := openFinder(t)
	segments := script(talkAndAd)
	sounds := []episode.SoundEvent{
		{Label: "Music", Span: episode.Span{Start: 14.5, End: 16.4}},
		{Label: "Music", Span: episode.Span{Start: 40, End: 60}}, // a song
	}
	got, usage, err := f.Find(t.Context(), Evidence{segments, sounds, 60})
	if err != nil {
		t.Fatal(err)
	}
	want := episode.Span{Start: 14.5, End: segments[5].End}
	if len(got) != 1 || got[0].Overlap(want)/max(got[0].Len(), want.Len()) < 0.6 || usage.Model != "earshot-ads@4" {
		t.Errorf("found %v, want one near %v; usage %+v", got, want, usage)
	}
}

func TestTalkAboutMoneyIsNoAdvertisement(t *testing.T) {
	f, _ := openFinder(t)
	got, _, err := f.Find(t.Context(), Evidence{Segments: script(`the central bank kept its interest rate for another quarter
farmers say that the price of milk does not cover what it costs them
the minister promised that nobody would lose a pension
in the market a kilo of apples was cheaper than a newspaper`), Duration: 30})
	if err != nil || len(got) != 0 {
		t.Errorf("found %v, %v", got, err)
	}
	if got, _, err := f.Find(t.Context(), Evidence{Duration: 30}); err != nil || got == nil || len(got) != 0 {
		t.Errorf("without a transcript: %v, %v", got, err)
	}
}

func TestProbabilitiesDoNotDependOnTheBatch(t *testing.T) {
	f, q := openFinder(t)
	windows := f.windows(script(talkAndAd))
	together, err := q.Runner.Run(t.Context(), q.Sessions, windows)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range windows {
		one, err := q.Runner.Run(t.Context(), q.Sessions, []Window{w})
		if err != nil || one[0] != together[i] {
			t.Errorf("window %d: %v alone, %v together, %v", i, one, together[i], err)
		}
	}
}

func TestAdsAreInOrderAndApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Evidence
		var p []float64
		at := episode.Seconds(0)
		for range rapid.IntRange(0, 40).Draw(t, "segments") {
			at += episode.Seconds(rapid.Float64Range(0, 12).Draw(t, "pause"))
			end := at + episode.Seconds(rapid.Float64Range(0.2, 12).Draw(t, "length"))
			e.Segments = append(e.Segments, episode.Segment{Span: episode.Span{Start: at, End: end}, Text: "words"})
			p = append(p, rapid.Float64Range(0, 1).Draw(t, "probability"))
			if rapid.Bool().Draw(t, "jingle") {
				e.SoundEvents = append(e.SoundEvents, episode.SoundEvent{Label: "Music", Span: episode.Span{Start: end - 1, End: end + 3}})
			}
			at = end
		}
		e.Duration = at + 3
		last := episode.Seconds(0)
		for _, ad := range join(e, p, 0.5) {
			if ad.Start < last || ad.End <= ad.Start || ad.End > e.Duration || ad.Confidence < 0.5 || ad.Confidence > 1 {
				t.Fatalf("%+v after %v in %v", ad, last, e.Duration)
			}
			last = ad.End
		}
	})
}
