package episode

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrNoCaptions is wrapped by ReadCaptions' error for a document that holds no
// text with times.
var ErrNoCaptions = errors.New("captions: nothing to read")

const (
	// maxCues bounds a transcript: ten hours with three cues a second.
	maxCues = 108_000
	// longestCue, in bytes, is more than a paragraph: beyond it, times say nothing.
	longestCue = 32 << 10
)

// ReadCaptions reads a transcript that somebody else wrote: WebVTT, SubRip or
// the JSON or HTML of Podcasting 2.0 (and the JSON of whisper's programs), told
// apart by what is in it, since servers' types cannot be relied on. Segments are
// in order, have text without markup, end after they start, and have words:
// those of a document with one entry a word as it says, else spread over the
// segment by their length. What captions that roll up repeat is there once.
// Confidence is 1: nobody says another.
func ReadCaptions(doc []byte) ([]Segment, error) {
	source, guessed := documentText(doc)
	text := strings.TrimSpace(source)
	var cues []cue
	var err error
	kind := "the document"
	switch {
	case strings.HasPrefix(text, "{") || strings.HasPrefix(text, "["):
		cues, err = jsonCues(text)
		kind = "the JSON"
	case htmlStart.MatchString(text):
		cues = htmlCues(text)
		kind = "the HTML"
	case strings.Contains(text, "-->"):
		cues = textCues(text)
		kind = "the WebVTT or SRT"
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNoCaptions, kind, err)
	}
	if guessed && mojibake(cues) {
		return nil, fmt.Errorf("%w: the text is neither UTF-8 nor UTF-16 nor Windows-1252", ErrNoCaptions)
	}
	cues = slices.DeleteFunc(cues, func(c cue) bool {
		return c.text == "" || len(c.text) > longestCue || !c.Possible()
	})
	if len(cues) == 0 {
		return nil, fmt.Errorf("%w: %s has no text with times (WebVTT, SRT and Podcasting 2.0 JSON and HTML are read)", ErrNoCaptions, kind)
	}
	if len(cues) > maxCues {
		return nil, fmt.Errorf("%w: %d cues, and %d are possible", ErrNoCaptions, len(cues), maxCues)
	}
	slices.SortStableFunc(cues, byStart)
	cues = unroll(joinSimultaneous(cues))
	// Rolling captions overlap; segments do not.
	for i := range len(cues) - 1 {
		cues[i].End = min(cues[i].End, max(cues[i+1].Start, cues[i].Start+shortestCue))
	}
	if wordByWord(cues) {
		return joinWords(cues), nil
	}
	segments := make([]Segment, len(cues))
	for i, c := range cues {
		segments[i] = Segment{Span: c.Span, Text: c.text, Confidence: 1, Words: SpreadWords(c.Span, c.text)}
	}
	return segments, nil
}

// shortestCue keeps a cue that another overlaps whole.
const shortestCue = 0.01

// cue is a text with its times, before it is a segment.
type cue struct {
	Span
	text, speaker string
}

func byStart(a, b cue) int { return cmp.Compare(a.Start, b.Start) }

// likelyLength is how long a text takes to say, where nobody tells.
func likelyLength(text string) Seconds {
	const perSecond = 10 // characters, of slow talk
	return 1 + Seconds(utf8.RuneCountInString(text))/perSecond
}

// SpreadWords gives each word of a text its part of a span, by its length.
func SpreadWords(span Span, text string) []Word {
	fields := strings.Fields(text)
	total := 0
	for _, f := range fields {
		total += utf8.RuneCountInString(f) + 1
	}
	words := make([]Word, len(fields))
	at := 0
	for i, f := range fields {
		from := span.Start + span.Len()*Seconds(at)/Seconds(total)
		at += utf8.RuneCountInString(f) + 1
		words[i] = Word{Span{from, span.Start + span.Len()*Seconds(at)/Seconds(total)}, f, 1}
	}
	return words
}

// joinSimultaneous makes one cue of those that start together: two voices, or
// lines that are shown side by side. What is said twice is said once.
func joinSimultaneous(cues []cue) []cue {
	var joined []cue
	for len(cues) > 0 {
		c, n := cues[0], 1
		texts := []string{c.text}
		for ; n < len(cues) && cues[n].Start == c.Start; n++ {
			c.End = max(c.End, cues[n].End)
			if cues[n].text != cues[n-1].text {
				texts = append(texts, cues[n].text)
			}
		}
		c.text = strings.Join(texts, " ")
		joined = append(joined, c)
		cues = cues[n:]
	}
	return joined
}

// wordByWord tells a document with one entry a word from one with sentences,
// which some languages write without spaces.
func wordByWord(cues []cue) bool {
	const word = 1.0 // second, longer than words are on average
	single, length := 0, Seconds(0)
	for _, c := range cues {
		length += c.Len()
		if !strings.Contains(c.text, " ") {
			single++
		}
	}
	return len(cues) >= 8 && single*10 >= len(cues)*8 && length < word*Seconds(len(cues))
}

// joinWords makes segments of words: a pause, another speaker, the end of a
// sentence or a length of fifteen seconds or of more words than they hold ends one.
func joinWords(cues []cue) []Segment {
	const pause, longest, most = 0.8, 15, 150
	var out []Segment
	var last cue
	for i, c := range cues {
		ended := strings.HasSuffix(last.text, ".") || strings.HasSuffix(last.text, "?") || strings.HasSuffix(last.text, "!")
		if i == 0 || ended || c.speaker != last.speaker || c.Start-last.End > pause || c.End-out[len(out)-1].Start > longest || len(out[len(out)-1].Words) >= most {
			out = append(out, Segment{Span: c.Span, Confidence: 1})
		}
		s := &out[len(out)-1]
		s.Text = strings.TrimSpace(s.Text + " " + c.text)
		s.End = max(s.End, c.End)
		s.Words = append(s.Words, SpreadWords(c.Span, c.text)...)
		last = c
	}
	return out
}
