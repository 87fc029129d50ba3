// Package highlight ranks the spans of an episode that could be its preview.
// Describe turns a span into Features, numbers that any ONNX model may rank;
// the Ranker gives them to the model in batches.
package highlight

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Episode is what is known of an episode when its preview is chosen.
type Episode struct {
	Duration    episode.Seconds
	Segments    []episode.Segment // in order; Text is empty where nothing was recognised
	SoundEvents []episode.SoundEvent
	Topics      []episode.Topic
	Loudness    *episode.Loudness // nil: not known
	ShortTerm   []float64         // LUFS, one a second; may be empty
	Soundbites  []episode.Soundbite
	Ads         []episode.Ad // those that a candidate may hold: what is surely one is no candidate's part
}

// Features describe a candidate span to the model, in this order. Each is a
// number of order one.
type Features struct {
	Speech      float32 // share of the span in which somebody speaks, [0, 1]
	Music       float32 // share of the span with music, [0, 1]
	Audience    float32 // share with applause, cheering or laughter, [0, 1]
	Position    float32 // of the span's middle in the episode, [0, 1]
	Pace        float32 // words a second of the span, divided by 3; at most 2
	Confidence  float32 // mean confidence of its segments' recognition, [0, 1]
	Topical     float32 // share of its words that the episode keeps coming back to, [0, 1]
	Loudness    float32 // mean short-term loudness less the episode's integrated, in units of 10 LU, [-2, 2]
	Dynamics    float32 // standard deviation of the short-term loudness, in units of 10 LU, [0, 2]
	Novelty     float32 // 1 - cosine of its words' counts and the rest's, [0, 1]
	Questions   float32 // share of its segments that ask, [0, 1]
	Personal    float32 // share of words of the first person or of feeling, times 5, [0, 1]
	Greeting    float32 // share of words that open an episode, times 10, [0, 1]
	Farewell    float32 // share of words that close an episode, times 10, [0, 1]
	PauseBefore float32 // seconds of silence before the first word, at most 1
	PauseAfter  float32 // seconds of silence after the last word, at most 1
	Soundbite   float32 // intersection over union with the publisher's nearest soundbite, [0, 1]
	Length      float32 // |length - 60 s| in units of 30 s
	Text        float32 // 1 when the span has recognised words, else 0
	Answer      float32 // how late in the span the audience is heard, on average: 0 never or at its start, 1 at its end
	Advert      float32 // share taken for advertisement, weighed by the confidence, [0, 1]
}

// Count is how many features there are.
const Count = 21

// vector lists the features in the model's order.
func (f *Features) vector() [Count]float32 {
	return [Count]float32{
		f.Speech, f.Music, f.Audience, f.Position, f.Pace, f.Confidence, f.Topical, f.Loudness, f.Dynamics, f.Novelty,
		f.Questions, f.Personal, f.Greeting, f.Farewell, f.PauseBefore, f.PauseAfter, f.Soundbite, f.Length, f.Text, f.Answer, f.Advert,
	}
}

// Describe gives each candidate's features.
func Describe(candidates []episode.Span, e Episode) []Features {
	d := describer{e: e, words: make([][]string, len(e.Segments)), counts: map[string]float64{}}
	for i, s := range e.Segments {
		d.words[i] = words(s.Text)
		for _, w := range d.words[i] {
			d.counts[w]++
		}
	}
	out := make([]Features, len(candidates))
	for i, c := range candidates {
		out[i] = d.describe(c)
	}
	return out
}

type describer struct {
	e      Episode
	words  [][]string         // of each segment
	counts map[string]float64 // of each word in the episode
}

func (d *describer) describe(span episode.Span) Features {
	f := Features{
		Music:  d.share(span, func(e *episode.SoundEvent) bool { return e.Label == "Music" }),
		Length: float32(math.Abs(float64(span.Len())-60) / 30),
	}
	d.describeAudience(span, &f)
	if d.e.Duration > 0 {
		f.Position = float32((span.Start + span.End) / 2 / d.e.Duration)
	}
	d.describeLoudness(span, &f)
	d.describeText(span, &f)
	for _, b := range d.e.Soundbites {
		shared := span.Overlap(b.Span)
		f.Soundbite = max(f.Soundbite, float32(shared/(span.Len()+b.Len()-shared)))
	}
	for _, a := range d.e.Ads {
		f.Advert += float32(a.Confidence) * float32(a.Overlap(span)/max(span.Len(), 1e-3))
	}
	f.Advert = min(1, f.Advert)
	return f
}

// share is the part of the span that the sounds cover, each moment once.
func (d *describer) share(span episode.Span, counts func(*episode.SoundEvent) bool) float32 {
	var covered, at episode.Seconds = 0, span.Start
	events := slices.Clone(d.e.SoundEvents)
	slices.SortStableFunc(events, func(a, b episode.SoundEvent) int { return cmp.Compare(a.Start, b.Start) })
	for _, s := range events {
		if counts(&s) {
			rest := episode.Span{Start: max(at, s.Start), End: min(span.End, s.End)}
			covered += rest.Len()
			at = max(at, min(span.End, s.End))
		}
	}
	return float32(covered / max(span.Len(), 1e-3))
}

func (d *describer) describeAudience(span episode.Span, f *Features) {
	f.Audience = d.share(span, (*episode.SoundEvent).Audience)
	var heard, late episode.Seconds
	for _, e := range d.e.SoundEvents {
		if shared := e.Overlap(span); shared > 0 && e.Audience() {
			middle := (max(e.Start, span.Start) + min(e.End, span.End)) / 2
			heard += shared
			late += shared * (middle - span.Start)
		}
	}
	if heard > 0 {
		f.Answer = float32(late / heard / span.Len())
	}
}

func (d *describer) describeLoudness(span episode.Span, f *Features) {
	from, to := max(0, int(span.Start)), min(len(d.e.ShortTerm), int(math.Ceil(float64(span.End))))
	if d.e.Loudness == nil || from >= to {
		return
	}
	var sum, squares float64
	for _, v := range d.e.ShortTerm[from:to] {
		sum += v
		squares += v * v
	}
	n := float64(to - from)
	mean := sum / n
	f.Loudness = float32(min(2, max(-2, (mean-float64(d.e.Loudness.IntegratedLUFS))/10)))
	f.Dynamics = float32(min(2, math.Sqrt(max(0, squares/n-mean*mean))/10))
}

func (d *describer) describeText(span episode.Span, f *Features) {
	var speech episode.Seconds
	var confidence float64
	var segments, asking, said, topical, personal, greeting, farewell int
	counts := map[string]float64{}
	f.PauseBefore, f.PauseAfter = 1, 1
	for i, s := range d.e.Segments {
		if s.Overlap(span) <= 0 {
			continue
		}
		if segments == 0 && i > 0 {
			f.PauseBefore = float32(min(1, max(0, s.Start-d.e.Segments[i-1].End)))
		}
		if i+1 < len(d.e.Segments) {
			f.PauseAfter = float32(min(1, max(0, d.e.Segments[i+1].Start-s.End)))
		}
		segments++
		speech += s.Overlap(span)
		confidence += float64(s.Confidence)
		for j, w := range d.words[i] {
			said++
			counts[w]++
			if j == 0 && askers[w] {
				asking++
			}
			if d.counts[w] >= 3 && !common[w] {
				topical++
			}
			if personalWords[w] {
				personal++
			}
			if greetings[w] {
				greeting++
			}
			if farewells[w] {
				farewell++
			}
		}
	}
	if segments == 0 {
		return
	}
	f.Speech = float32(min(1, speech/max(span.Len(), 1e-3)))
	if said == 0 {
		return
	}
	n := float32(said)
	f.Text = 1
	f.Pace = min(2, n/float32(max(span.Len(), 1e-3))/3)
	f.Confidence = float32(confidence) / float32(segments)
	f.Questions = float32(asking) / float32(segments)
	f.Topical = float32(topical) / n
	f.Personal = min(1, 5*float32(personal)/n)
	f.Greeting = min(1, 10*float32(greeting)/n)
	f.Farewell = min(1, 10*float32(farewell)/n)
	f.Novelty = d.novelty(counts)
}

// novelty is how unlike the rest of the episode the words are.
func (d *describer) novelty(counts map[string]float64) float32 {
	var dot, a, b float64
	// In a fixed order: a sum of floats depends on it.
	for _, w := range sorted(d.counts) {
		if common[w] {
			continue
		}
		x := counts[w]
		y := d.counts[w] - x
		dot += x * y
		a += x * x
		b += y * y
	}
	if a == 0 || b == 0 {
		return 0
	}
	return float32(1 - dot/math.Sqrt(a*b))
}

func sorted(counts map[string]float64) []string {
	out := make([]string, 0, len(counts))
	for w := range counts {
		out = append(out, w)
	}
	slices.Sort(out)
	return out
}

func words(text string) []string { return strings.Fields(strings.ToLower(text)) }

func set(list string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(list) {
		out[w] = true
	}
	return out
}

var (
	askers        = set("who what when where why how which whose is are was were do does did can could will would should have has")
	personalWords = set("i me my mine myself we us our love loved hate hated afraid fear happy sad proud angry cried laughed laugh cry amazing wonderful terrible beautiful incredible surprised never always believe dream hope remember feel felt")
	greetings     = set("hello hi welcome today tonight episode morning evening show programme")
	farewells     = set("goodbye bye thanks thank listening subscribe next week soon again end until")
	common        = set("the a an and or but of to in on at for with from by as is are was were be been it its this that these those he she they we i you his her their our your my me him them us not no so if then than there here what which who when where how why all any some one two do does did have has had will would can could should may might about into out up down over after before just very more most much many only also")
)
