package episode

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrNoCaptions is wrapped by ReadCaptions' error for a document that holds no
// text with times.
var ErrNoCaptions = errors.New("captions: nothing to read")

const (
	// maxCues bounds a transcript: ten hours with three cues a second.
	maxCues = 108_000
	// latest is where a time is no time any more, but a mistake.
	latest Seconds = 10_000 * 3600
)

// ReadCaptions reads a transcript that somebody else wrote: WebVTT, SubRip or
// the JSON of Podcasting 2.0 (and of whisper's programs), told apart by what is
// in it, since servers' types cannot be relied on. Segments are in order, have
// text without markup, end after they start, and have words: those of a
// document with one entry a word as it says, else spread over the segment by
// their length. Confidence is 1: nobody says another.
func ReadCaptions(doc []byte) ([]Segment, error) {
	text := strings.TrimSpace(DocumentText(doc))
	var cues []cue
	var err error
	switch {
	case strings.HasPrefix(text, "{") || strings.HasPrefix(text, "["):
		cues, err = jsonCues(text)
	case strings.Contains(text, "-->"):
		cues = textCues(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoCaptions, err)
	}
	cues = slices.DeleteFunc(cues, func(c cue) bool {
		return c.text == "" || !(c.End > c.Start) || c.Start < 0 || c.End > latest
	})
	if len(cues) == 0 {
		return nil, fmt.Errorf("%w: no text with times (WebVTT, SRT and Podcasting 2.0 JSON are read)", ErrNoCaptions)
	}
	if len(cues) > maxCues {
		return nil, fmt.Errorf("%w: %d cues, and %d are possible", ErrNoCaptions, len(cues), maxCues)
	}
	slices.SortStableFunc(cues, func(a, b cue) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	cues = joinSimultaneous(cues)
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
// sentence or a length of fifteen seconds ends one.
func joinWords(cues []cue) []Segment {
	const pause, longest = 0.8, 15
	var out []Segment
	var last cue
	for i, c := range cues {
		ended := strings.HasSuffix(last.text, ".") || strings.HasSuffix(last.text, "?") || strings.HasSuffix(last.text, "!")
		if i == 0 || ended || c.speaker != last.speaker || c.Start-last.End > pause || c.End-out[len(out)-1].Start > longest {
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

var (
	// hh:mm:ss.mmm, mm:ss.mmm and SubRip's comma.
	timeForm   = `(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,9}))?`
	timingForm = regexp.MustCompile(`^\s*` + timeForm + `\s*-->\s*` + timeForm + `(?:\s.*)?$`)
	// Tags, WebVTT's times within a cue, and SubRip's positions; "3 < 4" is text.
	markup    = regexp.MustCompile(`</?[A-Za-z][^<>]{0,200}>|<[\d:.]{5,20}>|\{\\[^{}]{0,200}\}`)
	cueNumber = regexp.MustCompile(`^\s*\d{1,6}\s*$`)
	voice     = regexp.MustCompile(`^\s*<v(?:\.[^\s>]*)?\s+([^<>]{1,200})>`)
)

// textCues reads WebVTT and SubRip alike: a line of timing, then lines of text
// until an empty one. What comes before a timing (numbers, names, notes,
// styles) is no text.
func textCues(doc string) []cue {
	var cues []cue
	var lines []string // of the last cue
	end := func() {
		if len(cues) == 0 {
			return
		}
		c := &cues[len(cues)-1]
		for i, line := range lines {
			if v := voice.FindStringSubmatch(line); v != nil {
				c.speaker = v[1]
			}
			lines[i] = markup.ReplaceAllString(line, "")
		}
		c.text = plain(strings.Join(lines, " "))
		lines = nil
	}
	open := false
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(doc), "\n") {
		timing := timingForm.FindStringSubmatch(line)
		switch {
		case timing != nil:
			// A cue's number that no empty line parts from the cue before.
			if n := len(lines); n > 1 && cueNumber.MatchString(lines[n-1]) {
				lines = lines[:n-1]
			}
			end()
			if len(cues) > maxCues {
				return cues
			}
			cues = append(cues, cue{Span: Span{clockTime(timing[1:5]), clockTime(timing[5:9])}})
			open = true
		case strings.TrimSpace(line) == "":
			open = false
		case open:
			lines = append(lines, line)
		}
	}
	end()
	return cues
}

func clockTime(parts []string) Seconds {
	var n [3]float64
	for i, p := range parts[:3] {
		n[i], _ = strconv.ParseFloat(p, 64) // the form has digits alone; no hours are none
	}
	s := n[0]*3600 + n[1]*60 + n[2]
	if parts[3] != "" {
		f, _ := strconv.ParseFloat("0."+parts[3], 64)
		s += f
	}
	return Seconds(s)
}

// jsonCues reads {"segments": [{startTime, endTime, body, speaker}]} of
// Podcasting 2.0, and [{start, end, text}] with or without an object around it.
func jsonCues(doc string) ([]cue, error) {
	type entry struct {
		StartTime jsonTime `json:"startTime"`
		EndTime   jsonTime `json:"endTime"`
		Start     jsonTime `json:"start"`
		End       jsonTime `json:"end"`
		Body      string   `json:"body"`
		Text      string   `json:"text"`
		Speaker   string   `json:"speaker"`
	}
	var whole struct {
		Segments []entry `json:"segments"`
	}
	var err error
	if doc[0] == '[' {
		err = json.Unmarshal([]byte(doc), &whole.Segments)
	} else {
		err = json.Unmarshal([]byte(doc), &whole)
	}
	if err != nil {
		return nil, err
	}
	cues := make([]cue, 0, len(whole.Segments))
	for _, e := range whole.Segments {
		c := cue{text: plain(markup.ReplaceAllString(e.Body+" "+e.Text, "")), speaker: e.Speaker}
		c.Start = Seconds(max(e.StartTime.seconds, e.Start.seconds))
		c.End = Seconds(max(e.EndTime.seconds, e.End.seconds))
		cues = append(cues, c)
	}
	// An entry need not say when it ends.
	for i := range cues {
		if cues[i].End <= cues[i].Start && i+1 < len(cues) {
			cues[i].End = cues[i+1].Start
		} else if cues[i].End <= cues[i].Start {
			cues[i].End = cues[i].Start + 2
		}
	}
	return cues, nil
}

// jsonTime reads seconds as a number, or as a text that is a number or a clock
// time.
type jsonTime struct{ seconds float64 }

func (t *jsonTime) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `" `)
	if s == "" || s == "null" {
		return nil
	}
	if m := clockForm.FindStringSubmatch(s); m != nil {
		t.seconds = float64(clockTime(m[1:5]))
		return nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("%.40q is no time in seconds", s)
	}
	t.seconds = f
	return nil
}

var clockForm = regexp.MustCompile(`^` + timeForm + `$`)
