package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
)

// truth is what is true of a sample episode, known from its making
// (sample/README.md).
type truth struct {
	Schema      string               `json:"schema"`
	GUID        string               `json:"guid"`
	Slug        string               `json:"slug"`
	Title       string               `json:"title"`
	Language    string               `json:"language"`
	Duration    episode.Seconds      `json:"duration"`
	Segments    []episode.Segment    `json:"segments"`
	SoundEvents []episode.SoundEvent `json:"sound_events"`
	Topics      []episode.Topic      `json:"topics"`
	Ads         []episode.Ad         `json:"ads"`
	Highlight   episode.Span         `json:"highlight"`
	Gaps        []episode.Gap        `json:"expected_gaps"`

	text string // what was said, where a truth has no times
}

// timed tells whether the truth says when somebody speaks.
func (t *truth) timed() bool { return len(t.Segments) > 0 }

// words are what was said, as a word error rate counts it.
func (t *truth) words() []string {
	if t.text != "" {
		return wordsIn(t.text, t.Language)
	}
	return segmentWords(t.Segments, t.Language)
}

// check reports what makes a truth useless: a record cannot be compared with it.
func (t *truth) check() error {
	spans := []episode.Span{t.Highlight}
	for _, s := range t.Segments {
		spans = append(spans, s.Span)
	}
	for _, e := range t.SoundEvents {
		spans = append(spans, e.Span)
	}
	for _, s := range append(spans, adSpans(t.Ads)...) {
		if s.Start < 0 || s.End < s.Start {
			return fmt.Errorf("a span from %v to %v ends before it starts, or starts before the audio", float64(s.Start), float64(s.End))
		}
	}
	if t.Language == "" && len(t.words()) == 0 && t.SoundEvents == nil && len(t.Topics) == 0 && t.Ads == nil && t.Highlight.Len() == 0 {
		return errors.New("says nothing that is compared: words, or of a truth in JSON language, segments, sound_events, topics, ads or highlight")
	}
	return nil
}

func readTruth(path string) (truth, error) {
	var t truth
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err == nil && t.Schema != "earshot.truth/1" {
		err = fmt.Errorf("schema is %q, want earshot.truth/1", t.Schema)
	}
	if err != nil {
		return t, fmt.Errorf("truth: %s: %w", path, err)
	}
	return t, nil
}

// closeness is how near a record came to the truth.
type closeness struct {
	Language    bool     `json:"language"`
	WordErrors  int      `json:"word_errors"` // substitutions, insertions and deletions
	Words       int      `json:"words"`       // in the truth; 0 where nothing was to be recognised
	EventsFound int      `json:"events_found"`
	Events      int      `json:"events"`       // labels in the truth other than Speech
	EventsExtra []string `json:"events_extra"` // labels in the record alone
	Topic       bool     `json:"topic"`        // the true topic is among the record's
	AdOverlap   float64  `json:"ad_overlap"`   // intersection over union of the ads' time; 1 where both have none
	Highlight   float64  `json:"highlight"`    // share of the true highlight that the preview plays
	Unexpected  []string `json:"unexpected_gaps"`
}

func (t *truth) compare(r *episode.Record) closeness {
	c := closeness{Language: r.Language != nil && r.Language.Code == t.Language}
	if r.Transcript != nil {
		var said, heard []string
		for _, s := range t.Segments {
			said = append(said, plainWords(s.Text)...)
		}
		for _, s := range r.Transcript.Segments {
			heard = append(heard, plainWords(s.Text)...)
		}
		c.Words, c.WordErrors = len(said), editDistance(said, heard)
	}
	want, got := labels(t.SoundEvents), labels(r.SoundEvents)
	c.Events = len(want)
	for _, l := range want {
		if slices.Contains(got, l) {
			c.EventsFound++
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			c.EventsExtra = append(c.EventsExtra, l)
		}
	}
	c.Topic = slices.ContainsFunc(r.Topics, func(got episode.Topic) bool {
		return slices.ContainsFunc(t.Topics, func(want episode.Topic) bool { return want.ID == got.ID })
	})
	c.AdOverlap = adOverlap(t.Ads, r.Ads)
	if r.Preview != nil && t.Highlight.Len() > 0 {
		c.Highlight = float64(r.Preview.Overlap(t.Highlight) / t.Highlight.Len())
	}
	for _, g := range r.Gaps {
		if !slices.ContainsFunc(t.Gaps, func(e episode.Gap) bool { return e.Node == g.Node }) {
			c.Unexpected = append(c.Unexpected, g.Node+": "+g.Reason)
		}
	}
	return c
}

// labels lists the sounds other than speech, each once.
func labels(events []episode.SoundEvent) []string {
	var out []string
	for _, e := range events {
		if e.Label != "Speech" && !slices.Contains(out, e.Label) {
			out = append(out, e.Label)
		}
	}
	return out
}

// adOverlap is the intersection over the union of two sets of spans, each
// without overlaps of its own.
func adOverlap(a, b []episode.Ad) float64 {
	var shared, total episode.Seconds
	for _, x := range a {
		total += x.Len()
		for _, y := range b {
			shared += x.Overlap(y.Span)
		}
	}
	for _, y := range b {
		total += y.Len()
	}
	if total == 0 {
		return 1
	}
	return float64(shared / (total - shared))
}
