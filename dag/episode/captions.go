package episode

import (
	"fmt"
	"math"
	"strings"
)

// WebVTT writes the transcript as a WebVTT file, one cue a segment
// (W3C WebVTT).
func (t *Transcript) WebVTT() []byte {
	var b strings.Builder
	b.WriteString("WEBVTT\n")
	for _, s := range t.Segments {
		fmt.Fprintf(&b, "\n%s --> %s\n%s\n", clock(s.Start, '.'), clock(s.End, '.'), cueText(s.Text, true))
	}
	return []byte(b.String())
}

// SRT writes the transcript as a SubRip file, one numbered cue a segment.
func (t *Transcript) SRT() []byte {
	var b strings.Builder
	for i, s := range t.Segments {
		fmt.Fprintf(&b, "%d\n%s --> %s\n%s\n\n", i+1, clock(s.Start, ','), clock(s.End, ','), cueText(s.Text, false))
	}
	return []byte(b.String())
}

// PodcastJSON writes the transcript in the Podcasting 2.0 JSON format,
// version 1.0.0, one entry a segment.
func (t *Transcript) PodcastJSON() ([]byte, error) {
	type entry struct {
		StartTime Seconds `json:"startTime"`
		EndTime   Seconds `json:"endTime"`
		Body      string  `json:"body"`
	}
	out := struct {
		Version  string  `json:"version"`
		Segments []entry `json:"segments"`
	}{"1.0.0", []entry{}}
	for _, s := range t.Segments {
		out.Segments = append(out.Segments, entry{s.Start, s.End, s.Text})
	}
	return Marshal(out)
}

// clock writes a position as hh:mm:ss and milliseconds.
func clock(s Seconds, point byte) string {
	ms := int64(math.Round(max(0, float64(s)) * 1000))
	return fmt.Sprintf("%02d:%02d:%02d%c%03d", ms/3600000, ms/60000%60, ms/1000%60, point, ms%1000)
}

// cueText makes a text safe inside a cue: an empty line or an arrow would end
// it, and in WebVTT a bracket or an ampersand would start markup.
func cueText(s string, markup bool) string {
	s = strings.Join(strings.Fields(s), " ")
	if markup {
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
	}
	return strings.ReplaceAll(s, "-->", "->")
}
