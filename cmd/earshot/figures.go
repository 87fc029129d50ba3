package main

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/earshot-fm/earshot/dag/episode"
)

// figures are how near a record came to the truth, in counts that sum over
// episodes. What the truth does not tell is nil.
type figures struct {
	Words     *wordCount   `json:"words,omitempty"`
	Speech    *detection   `json:"speech,omitempty"` // frames of 10 ms
	Language  *share       `json:"language,omitempty"`
	Sounds    *detection   `json:"sound_events,omitempty"` // segments of 1 s and label
	Topic1    *share       `json:"topics_top1,omitempty"`
	Topic3    *share       `json:"topics_top3,omitempty"`
	Ads       *detection   `json:"ads,omitempty"` // segments of 1 s
	Highlight *highlighted `json:"highlight,omitempty"`
}

// wordCount is a word error rate's: substitutions, insertions and deletions of
// the truth's words.
type wordCount struct {
	Words  int     `json:"words"`
	Errors int     `json:"errors"`
	WER    float64 `json:"wer"`
}

// detection counts what was found, what was found wrongly, and what was missed.
type detection struct {
	Found  int     `json:"found"`
	Wrong  int     `json:"wrong"`
	Missed int     `json:"missed"`
	F1     float64 `json:"f1"` // 1 where there was nothing to find and nothing was found
}

type share struct {
	Right int     `json:"right"`
	Of    int     `json:"of"`
	Share float64 `json:"share"`
}

// highlighted tells whether previews play the highlight, and how often a span
// of the preview's length at any place, and the first minute, would have.
type highlighted struct {
	Inside      int     `json:"inside"`
	Of          int     `json:"of"`
	Share       float64 `json:"share"`
	Played      float64 `json:"played"` // mean share of the highlight that the preview plays
	Chance      float64 `json:"chance"` // mean
	FirstMinute float64 `json:"first_minute"`
}

// insideShare is how much of a highlight a span must hold to have it inside.
const insideShare = 0.9

// sum adds another episode's figures.
func (f *figures) sum(o figures) {
	if o.Words != nil {
		f.Words = or(f.Words)
		f.Words.Words += o.Words.Words
		f.Words.Errors += o.Words.Errors
	}
	for _, p := range []struct{ into, from **detection }{{&f.Speech, &o.Speech}, {&f.Sounds, &o.Sounds}, {&f.Ads, &o.Ads}} {
		if *p.from != nil {
			*p.into = or(*p.into)
			(*p.into).Found += (*p.from).Found
			(*p.into).Wrong += (*p.from).Wrong
			(*p.into).Missed += (*p.from).Missed
		}
	}
	for _, p := range []struct{ into, from **share }{{&f.Language, &o.Language}, {&f.Topic1, &o.Topic1}, {&f.Topic3, &o.Topic3}} {
		if *p.from != nil {
			*p.into = or(*p.into)
			(*p.into).Right += (*p.from).Right
			(*p.into).Of += (*p.from).Of
		}
	}
	if h := o.Highlight; h != nil {
		f.Highlight = or(f.Highlight)
		n, m := float64(f.Highlight.Of), float64(h.Of)
		mean := func(a, b float64) float64 { return (a*n + b*m) / (n + m) }
		f.Highlight.Played = mean(f.Highlight.Played, h.Played)
		f.Highlight.Chance = mean(f.Highlight.Chance, h.Chance)
		f.Highlight.FirstMinute = mean(f.Highlight.FirstMinute, h.FirstMinute)
		f.Highlight.Inside += h.Inside
		f.Highlight.Of += h.Of
	}
	f.rate()
}

func or[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}

// rate sets the rates that follow from the counts.
func (f *figures) rate() {
	if w := f.Words; w != nil && w.Words > 0 {
		w.WER = four(float64(w.Errors) / float64(w.Words))
	}
	for _, d := range []*detection{f.Speech, f.Sounds, f.Ads} {
		if d != nil {
			d.F1 = 1
			if all := 2*d.Found + d.Wrong + d.Missed; all > 0 {
				d.F1 = four(2 * float64(d.Found) / float64(all))
			}
		}
	}
	for _, s := range []*share{f.Language, f.Topic1, f.Topic3} {
		if s != nil && s.Of > 0 {
			s.Share = four(float64(s.Right) / float64(s.Of))
		}
	}
	if h := f.Highlight; h != nil && h.Of > 0 {
		h.Share = four(float64(h.Inside) / float64(h.Of))
	}
}

func four(x float64) float64 { return math.Round(x*1e4) / 1e4 }

// judged is what figures are made from.
type judged struct {
	truth    truth
	record   *episode.Record
	speech   []episode.Span  // as the speech node found it
	labels   map[string]bool // of sounds that any truth of the folder names
	reads    []string        // languages that the recogniser knows
	readsFor []string        // languages that the topic model knows
}

// figures compares one record with its truth.
func (j *judged) figures() figures {
	var f figures
	t, r := &j.truth, j.record
	duration := r.Episode.Duration
	code := ""
	if r.Language != nil {
		code = r.Language.Code
	}
	if t.Language != "" {
		f.Language = &share{Of: 1}
		if code == t.Language {
			f.Language.Right = 1
		}
	}
	// A language that no recogniser knows has no transcript to judge; one that
	// was mistaken for such a language lost all its words.
	if said := t.words(); len(said) > 0 && (r.Transcript != nil || t.Language == "" || slices.Contains(j.reads, t.Language)) {
		var heard []string
		if r.Transcript != nil {
			heard = segmentWords(r.Transcript.Segments, t.Language)
		}
		f.Words = &wordCount{Words: len(said), Errors: editDistance(said, heard)}
	}
	if t.timed() {
		var spans []episode.Span
		for _, s := range t.Segments {
			spans = append(spans, s.Span)
		}
		f.Speech = compareSpans(spans, j.speech, duration, 0.01)
	}
	if t.SoundEvents != nil {
		f.Sounds = &detection{}
		for label := range j.labels {
			d := compareSpans(spansOf(t.SoundEvents, label), spansOf(r.SoundEvents, label), duration, 1)
			f.Sounds.Found += d.Found
			f.Sounds.Wrong += d.Wrong
			f.Sounds.Missed += d.Missed
		}
	}
	if len(t.Topics) > 0 && (t.Language == "" || slices.Contains(j.readsFor, t.Language)) {
		f.Topic1, f.Topic3 = &share{Of: 1}, &share{Of: 1}
		for i, got := range r.Topics[:min(3, len(r.Topics))] {
			if slices.ContainsFunc(t.Topics, func(want episode.Topic) bool { return want.Taxonomy == got.Taxonomy && want.ID == got.ID }) {
				f.Topic3.Right = 1
				if i == 0 {
					f.Topic1.Right = 1
				}
			}
		}
	}
	if t.Ads != nil && !slices.ContainsFunc(r.Gaps, func(g episode.Gap) bool { return g.Node == "ads" && !slices.Contains(j.reads, t.Language) }) {
		f.Ads = compareSpans(adSpans(t.Ads), adSpans(r.Ads), duration, 1)
	}
	if t.Highlight.Len() > 0 && r.Preview != nil {
		f.Highlight = compareHighlight(t.Highlight, r.Preview.Span, duration)
	}
	f.rate()
	return f
}

func compareHighlight(want, chosen episode.Span, duration episode.Seconds) *highlighted {
	played := func(s episode.Span) float64 { return float64(s.Overlap(want) / want.Len()) }
	h := &highlighted{Of: 1, Played: four(played(chosen))}
	if played(chosen) >= insideShare {
		h.Inside = 1
	}
	if played(episode.Span{End: 60}) >= insideShare {
		h.FirstMinute = 1
	}
	const step = 0.1
	places, inside := 0, 0
	for start := episode.Seconds(0); start+chosen.Len() <= duration+step/2; start += step {
		places++
		if played(episode.Span{Start: start, End: start + chosen.Len()}) >= insideShare {
			inside++
		}
	}
	h.Chance = four(float64(inside) / float64(max(1, places)))
	return h
}

// compareSpans counts steps of a length in which spans of two kinds are active:
// a step counts when a span covers any of it that is not a mere edge.
func compareSpans(want, got []episode.Span, duration, step episode.Seconds) *detection {
	n := int(math.Ceil(float64(duration / step)))
	a, b := active(want, n, step), active(got, n, step)
	d := &detection{}
	for i := range n {
		switch {
		case a[i] && b[i]:
			d.Found++
		case b[i]:
			d.Wrong++
		case a[i]:
			d.Missed++
		}
	}
	return d
}

func active(spans []episode.Span, n int, step episode.Seconds) []bool {
	out := make([]bool, n)
	for _, s := range spans {
		// To the nearest frame for fine steps; a coarse step is active where any tenth of it is.
		edge := episode.Seconds(0.1)
		if step < 0.1 {
			edge = 0.5
		}
		from, to := int(math.Ceil(float64(s.Start/step-1+edge))), int(math.Floor(float64(s.End/step-edge)))
		for i := max(0, from); i <= to && i < n; i++ {
			out[i] = true
		}
	}
	return out
}

func spansOf(events []episode.SoundEvent, label string) []episode.Span {
	var out []episode.Span
	for _, e := range events {
		if e.Label == label {
			out = append(out, e.Span)
		}
	}
	return out
}

func adSpans(ads []episode.Ad) []episode.Span {
	out := make([]episode.Span, len(ads))
	for i, a := range ads {
		out[i] = a.Span
	}
	return out
}

// wordsCounted says how plainWords makes words, for whoever reads a rate.
const wordsCounted = "words in lower case without punctuation, numbers as written; characters in Chinese, Japanese, Thai, Lao, Khmer and Burmese"

// unspaced are the languages that are written without spaces between words.
var unspaced = []string{"zh", "yue", "ja", "th", "lo", "km", "my"}

// segmentWords are the words of a transcript in a language.
func segmentWords(segments []episode.Segment, language string) []string {
	var out []string
	for _, s := range segments {
		out = append(out, wordsIn(s.Text, language)...)
	}
	return out
}

func wordsIn(s, language string) []string {
	words := plainWords(s)
	language, _, _ = strings.Cut(strings.ToLower(language), "-")
	if !slices.Contains(unspaced, language) {
		return words
	}
	return strings.Split(strings.Join(words, ""), "")
}

// plainWords are the words that a word error rate counts: lower case, without
// punctuation.
func plainWords(s string) []string {
	s = strings.ReplaceAll(strings.ToLower(s), "’", "'")
	words := strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) && r != '\''
	})
	kept := words[:0]
	for _, w := range words {
		if w = strings.Trim(w, "'"); w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

// editDistance is Levenshtein's, over words.
func editDistance(a, b []string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, x := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, y := range b {
			substitute := diagonal
			if x != y {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, substitute)
		}
	}
	return row[len(b)]
}
