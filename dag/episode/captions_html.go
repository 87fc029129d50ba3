package episode

import (
	"regexp"
	"strings"
)

var (
	htmlStart = regexp.MustCompile(`(?i)^(?:<!--|<!doctype|<\?xml|<(?:html|head|body|div|section|article|main|header|h[1-6]|p|cite|time|ul|ol|dl|table|br|span|style|script|meta)\b)`)
	htmlTag   = regexp.MustCompile(`^</?([A-Za-z][A-Za-z0-9]*)(?:[\s/][^<>]*)?>`)
	htmlClock = regexp.MustCompile(`^\s*[\[(]?` + timeForm + `[\])]?\s*$`)
)

// Elements within a word, and elements whose text is nothing that is said.
var (
	htmlInline = map[string]bool{"a": true, "b": true, "em": true, "i": true, "mark": true, "small": true, "span": true, "strong": true, "sub": true, "sup": true, "u": true, "wbr": true}
	htmlSilent = map[string]bool{"cite": true, "head": true, "script": true, "style": true, "template": true, "title": true}
)

// htmlCues reads Podcasting 2.0's HTML: paragraphs of what is said, each after
// its <time>, and a <cite> of who says it. What comes before the first time is
// not said, and an HTML transcript without times gives no cues. It looks at
// each character once, however the tags are broken.
func htmlCues(doc string) []cue {
	var cues []cue
	var text strings.Builder
	end := func() {
		if len(cues) > 0 {
			cues[len(cues)-1].text = plain(text.String())
		}
		text.Reset()
	}
	silent := "" // the element that is open and not said
	for len(doc) > 0 && len(cues) <= maxCues {
		at := strings.IndexByte(doc, '<')
		if at < 0 {
			at = len(doc)
		}
		if at > 0 {
			if silent == "" {
				text.WriteString(doc[:at])
			}
			doc = doc[at:]
			continue
		}
		if strings.HasPrefix(doc, "<!--") {
			_, doc, _ = strings.Cut(doc, "-->")
			continue
		}
		tag := htmlTag.FindStringSubmatch(doc)
		if tag == nil { // "3 < 4"
			if silent == "" {
				text.WriteByte('<')
			}
			doc = doc[1:]
			continue
		}
		doc = doc[len(tag[0]):]
		name, closes := strings.ToLower(tag[1]), strings.HasPrefix(tag[0], "</")
		switch {
		case closes && name == silent, name == "body", silent == "cite" && !htmlInline[name]:
			silent = ""
		case silent != "":
			continue
		}
		if !htmlInline[name] {
			text.WriteByte(' ')
		}
		if !closes && htmlSilent[name] {
			silent = name
		}
		if !closes && name == "time" {
			clock, _, _ := strings.Cut(doc, "<")
			if t := htmlClock.FindStringSubmatch(clock); t != nil {
				end()
				cues = append(cues, cue{Span: Span{Start: clockTime(t[1:5])}})
				doc = doc[len(clock):]
			}
		}
	}
	end()
	endAtNext(cues)
	return cues
}
