package enrich

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// gapPunctuation is the gap of a model that fails: the transcript goes out as
// it was recognised. The reason is part of keys, and so the same whatever the
// error; that is a note.
const gapPunctuation = "the punctuation model failed"

// shortestCue is the least that a sentence's end may part from the rest of a
// segment: less cannot be read in its time.
const shortestCue episode.Seconds = 1

// plain tells whether the recogniser gives bare words.
func (g *nodes) plain() bool { return g.ports.Transcript != nil && g.ports.Transcript.Plain() }

// punctuation is the transcript as it is published. What a recogniser gives as
// bare words gets capitals and punctuation, and ends segments where sentences
// end; words and times stay. A publisher's transcript, and one by a recogniser
// that punctuates by itself, are left as they are. What else reads the
// transcript in the graph reads the words, and does not run again for this.
func (g *nodes) punctuation(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var transcript episode.Transcript
	if err := input(ctx, t, nodeTranscript, &transcript); err != nil {
		return nil, err
	}
	if transcript.Source == sourcePublisher || !g.plain() {
		return document(transcript)
	}
	if !slices.Contains(g.ports.Punctuation.Languages(), transcript.Language) {
		return nil, dag.LastingGap("no punctuation model for language %q", transcript.Language)
	}
	written, use, err := g.ports.Punctuation.Punctuate(ctx, transcript.Segments)
	if err == nil && !fits(written, transcript.Segments) {
		err = fmt.Errorf("%d segments written for %d, or other words in them", len(written), len(transcript.Segments))
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		t.Note(noteProblem, err.Error())
		return nil, dag.Gap(gapPunctuation)
	}
	use.note(t)
	segments := []episode.Segment{}
	for i, s := range transcript.Segments {
		segments = append(segments, sentences(s, written[i])...)
	}
	transcript.Segments = segments
	return document(transcript)
}

// fits tells whether each segment was written with as many words as it has.
func fits(written [][]string, segments []episode.Segment) bool {
	if len(written) != len(segments) {
		return false
	}
	for i, s := range segments {
		if len(s.Words) > 0 && len(written[i]) != len(s.Words) {
			return false
		}
	}
	return true
}

// sentences is a segment with its words written out, parted where sentences
// end. Only words with times can be parted.
func sentences(s episode.Segment, written []string) []episode.Segment {
	var out []episode.Segment
	first := 0
	for i := range len(s.Words) - 1 {
		said, left := s.Words[i].End-s.Words[first].Start, s.End-s.Words[i+1].Start
		if endsSentence(written[i]) && min(said, left) >= shortestCue {
			out = append(out, part(s.Words[first:i+1:i+1], written[first:i+1]))
			first = i + 1
		}
	}
	if first == 0 {
		s.Text = strings.Join(written, " ")
		return []episode.Segment{s}
	}
	return append(out, part(s.Words[first:], written[first:]))
}

func endsSentence(word string) bool {
	return strings.HasSuffix(word, ".") || strings.HasSuffix(word, "?")
}

// part is some words of a segment as a segment: its confidence is their mean,
// weighted by their lengths, as a recogniser's is.
func part(words []episode.Word, written []string) episode.Segment {
	span := episode.Span{Start: words[0].Start, End: words[len(words)-1].End}
	var sum, weight float64
	for _, w := range words {
		sum += float64(w.Confidence) * float64(w.Len())
		weight += float64(w.Len())
	}
	return episode.Segment{Span: span, Text: strings.Join(written, " "), Confidence: episode.Score(sum / max(weight, 1e-9)), Words: words}
}
