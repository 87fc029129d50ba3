package feed

import (
	"strings"
	"unicode/utf8"

	"github.com/mmcdole/gofeed"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// description is the entry's text without markup: the longer of what the feed
// calls description and content, because either may be a teaser of the other.
func description(entry *gofeed.Item) string {
	text := plain(entry.Description)
	if content := plain(entry.Content); len(content) > len(text) {
		text = content
	}
	if entry.ITunesExt != nil && text == "" {
		text = plain(entry.ITunesExt.Summary)
	}
	return text
}

// plain is the text of a piece of HTML, with a space for every run of spaces
// and elements that break lines.
func plain(markup string) string {
	if !strings.ContainsAny(markup, "<&") {
		return clean(markup)
	}
	var (
		text   strings.Builder
		silent int // inside script or style
	)
	for tokens := html.NewTokenizer(strings.NewReader(markup)); text.Len() < maxText; {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			break
		}
		token := tokens.Token()
		switch {
		case kind == html.TextToken && silent == 0:
			text.WriteString(token.Data)
		case token.DataAtom == atom.Script || token.DataAtom == atom.Style:
			if kind == html.StartTagToken {
				silent++
			} else if kind == html.EndTagToken {
				silent = max(0, silent-1)
			}
		case !inline[token.DataAtom]:
			text.WriteByte(' ')
		}
	}
	return clean(text.String())
}

// inline elements may stand within a word.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.B: true, atom.I: true, atom.Em: true, atom.Strong: true, atom.Span: true,
	atom.U: true, atom.S: true, atom.Small: true, atom.Mark: true, atom.Code: true, atom.Wbr: true,
}

// clean folds spaces, drops what is not UTF-8, and bounds the length.
func clean(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
