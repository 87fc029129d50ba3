package enrich

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

// bare is what the tests' recogniser says in a segment, written is that with
// capitals and marks.
var (
	bare    = strings.Repeat("words ", 12)
	written = "Words" + strings.Repeat(" words", 11) + " ."
)

func TestTheTranscriptIsPublishedWithPunctuation(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(*setup)
		text, gap string // of the first segment; of the node
		calls     bool   // whether the model was asked
	}{
		"bare words":              {func(*setup) {}, written, "", true},
		"the recogniser does":     {func(s *setup) { s.punctuates = true }, bare, "", false},
		"another language":        {func(s *setup) { s.writing = []string{"fr"} }, bare, `no punctuation model for language "en"`, false},
		"a model that fails":      {func(s *setup) { s.writeErr = errors.New("out of order") }, bare, gapPunctuation, true},
		"the publisher's own":     {func(s *setup) { s.documents = documents{"t.vtt": told(0, 200)} }, "the publisher says so", "", false},
		"no transcript, one gap":  {func(s *setup) { s.language = "sv" }, "", "", false},
		"a node that is left out": {nil, bare, "turned off in the configuration", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			off := "marks@1"
			if c.change != nil {
				c.change(s)
			} else {
				off = "model: earshot-punctuation"
			}
			e := s.configured(t, nil, off, "enabled: false")
			ev := event()
			if s.documents != nil {
				e = s.configured(t, nil, "", "")
				ev.Transcripts = []episode.Link{{URL: "t.vtt", Type: "text/vtt"}}
			}
			r, calls := s.enrich(t, e, ev)
			text := ""
			if r.Record.Transcript != nil {
				text = r.Record.Transcript.Segments[0].Text
			}
			if text != c.text || gapOf(r.Record, nodePunctuation) != c.gap || strings.Contains(calls, "punctuate") != c.calls {
				t.Errorf("text %q, gap %q, calls %s; want %q, %q", text, gapOf(r.Record, nodePunctuation), calls, c.text, c.gap)
			}
		})
	}
}

// What reads words has nothing to do again when they are written otherwise.
func TestAnotherPunctuationModelChangesTheRecordAlone(t *testing.T) {
	s := newSetup(t)
	s.enrich(t, s.enricher(t, nil), event())
	if _, calls := s.enrich(t, s.enricher(t, map[string]string{nodePunctuation: "v2"}), event()); calls != effects+" punctuate" {
		t.Errorf("called: %s", calls)
	}
	s.punctuates = true
	r, calls := s.enrich(t, s.enricher(t, map[string]string{nodePunctuation: "v2"}), event())
	if calls != effects || r.Record.Transcript.Segments[0].Text != bare {
		t.Errorf("a recogniser with the same words that punctuates: called %s, text %q", calls, r.Record.Transcript.Segments[0].Text)
	}
}

func TestAFailedPunctuationIsTriedAgain(t *testing.T) {
	s := newSetup(t)
	s.writeErr = errors.New("out of order")
	e := s.enricher(t, nil)
	s.enrich(t, e, event())
	s.writeErr = nil
	r, calls := s.enrich(t, e, event())
	if calls != effects+" punctuate" || r.Record.Transcript.Segments[0].Text != written || gapOf(r.Record, nodePunctuation) != "" {
		t.Errorf("called %s, gaps %v", calls, r.Record.Gaps)
	}
}

func TestSegmentsEndWhereSentencesEnd(t *testing.T) {
	for text, want := range map[string]string{
		"One two three. Four five six":  "One two three. | Four five six",
		"One two three, four five six.": "One two three, four five six.",
		"One. Two three four":           "One. Two three four", // too short a cue
		"One two three four. Five.":     "One two three four. Five.",
		"Who is that? I am. That is me": "Who is that? | I am. | That is me",
		"":                              "",
	} {
		s := episode.Segment{Text: strings.ToLower(text), Confidence: 0.5}
		said := strings.Fields(text)
		for i, w := range said {
			at := 10 + episode.Seconds(i)/2
			s.Words = append(s.Words, episode.Word{Span: episode.Span{Start: at, End: at + 0.5}, Text: strings.ToLower(w), Confidence: episode.Score(i)})
		}
		if n := len(s.Words); n > 0 {
			s.Span = episode.Span{Start: s.Words[0].Start, End: s.Words[n-1].End}
		}
		var texts []string
		var words []episode.Word
		for _, p := range sentences(s, said) {
			texts = append(texts, p.Text)
			words = append(words, p.Words...)
			if n := len(p.Words); n > 0 && (p.Start != p.Words[0].Start || p.End != p.Words[n-1].End) {
				t.Errorf("%q lasts from %v to %v, its words otherwise", p.Text, p.Start, p.End)
			}
			if n := len(p.Words); n < len(s.Words) && p.Confidence != (p.Words[0].Confidence+p.Words[n-1].Confidence)/2 {
				t.Errorf("%q has confidence %v", p.Text, p.Confidence)
			}
		}
		if got := strings.Join(texts, " | "); got != want || !slices.Equal(words, s.Words) {
			t.Errorf("%q: %q, want %q; words %v", text, got, want, words)
		}
	}
}
