package episode

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	// hh:mm:ss.mmm, mm:ss.mmm and SubRip's comma; programs that know no hours
	// count minutes on.
	timeForm   = `(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})(?:[.,](\d{1,9}))?`
	timingForm = regexp.MustCompile(`^\s*` + timeForm + `\s*-->\s*` + timeForm + `(?:\s.*)?$`)
	// A timing that cannot be read still ends the cue before it.
	brokenTiming = regexp.MustCompile(`^\s*-?\d[\d:., ]*-->`)
	// Tags, WebVTT's times within a cue, and SubRip's positions; "3 < 4" is text.
	markup    = regexp.MustCompile(`</?[A-Za-z][^<>]{0,200}>|<[\d:.]{5,20}>|\{\\[^{}]{0,200}\}`)
	ruby      = regexp.MustCompile(`<rt>[^<>]{0,200}</rt>`) // how to read what it stands above
	cueNumber = regexp.MustCompile(`^\s*\d{1,6}\s*$`)
	voice     = regexp.MustCompile(`<v(?:\.[^\s>]*)?\s+([^<>]{1,200})>`)
)

// textCues reads WebVTT and SubRip alike: a line of timing, then lines of text.
// An empty line ends a cue of WebVTT; in SubRip the next timing does, since
// programs leave empty lines between lines of text. What comes before a timing
// (numbers, names, notes, styles) is no text.
func textCues(doc string) []cue {
	webVTT := strings.HasPrefix(doc, "WEBVTT")
	var cues []cue
	var lines []string // of the last cue
	end := func() {
		if len(lines) == 0 || len(cues) == 0 {
			return
		}
		c := &cues[len(cues)-1]
		text := strings.Join(lines, " ")
		if v := voice.FindStringSubmatch(text); v != nil {
			c.speaker = plain(v[1])
		}
		c.text = plain(markup.ReplaceAllString(ruby.ReplaceAllString(text, ""), ""))
		lines = nil
	}
	open := false
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(doc), "\n") {
		timing := timingForm.FindStringSubmatch(line)
		broken := timing == nil && brokenTiming.MatchString(line)
		if timing != nil || broken {
			// A cue's number, where no empty line or SubRip's rule parts it from
			// the cue before.
			if n := len(lines); n > 1 && cueNumber.MatchString(lines[n-1]) {
				lines = lines[:n-1]
			}
			end()
			open = !broken
		}
		switch {
		case timing != nil:
			if len(cues) > maxCues {
				return cues
			}
			cues = append(cues, cue{Span: Span{clockTime(timing[1:5]), clockTime(timing[5:9])}})
		case webVTT && line == "": // one of spaces is a line of the cue
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
