// Package tokens is how an index's drivers read text: it cuts what was said and
// what is sought into the same tokens, so that accents and case do not matter
// and languages that write no spaces can be searched, and it finds in a text
// what a query matches, to mark it. Drivers that store these tokens agree on
// what a query finds.
package tokens

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Token is one searchable unit of a text: a folded word, or, in scripts that
// put no spaces between words, two neighbouring characters (the last one of a
// run also stands alone, so that every character begins a token).
type Token struct {
	Text  string // letters, digits and marks only
	Range        // of the original
}

// Range is the half-open interval [Start, End) of a text, in bytes.
type Range struct{ Start, End int }

// spaceless are the scripts that write words without spaces between them. A
// dictionary would be needed to split them; pairs of characters find every
// substring of two and more without one.
var spaceless = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan,
}

// unmarked are the scripts whose accents and vowel points may be left out in
// writing, and are in search.
var unmarked = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew,
}

// letters that do not decompose into a base and an accent.
var ligatures = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ð", "d", "ŋ", "n", "ŧ", "t")

// joining characters are in no one script's table: ー prolongs kana, ｰ is its
// halfwidth form.
const joining = "ーｰ"

// unit is a character with the marks that follow it, folded.
type unit struct {
	text       string
	spaceless  bool
	start, end int
}

// Split cuts a text into tokens, in order. The same characters give the same
// tokens wherever they stand.
func Split(text string) []Token {
	var (
		tokens []Token
		run    []unit // of one word, or of spaceless characters
	)
	flush := func() {
		if len(run) == 0 {
			return
		}
		if run[0].spaceless {
			tokens = appendPairs(tokens, run)
		} else {
			tokens = append(tokens, word(run))
		}
		run = run[:0]
	}
	for at := 0; at < len(text); {
		u := nextUnit(text, at)
		if u.text == "" || len(run) > 0 && run[0].spaceless != u.spaceless {
			flush()
		}
		if u.text != "" {
			run = append(run, u)
		}
		at = u.end
	}
	flush()
	return tokens
}

func word(run []unit) Token {
	var text strings.Builder
	for _, u := range run {
		text.WriteString(u.text)
	}
	return Token{text.String(), Range{run[0].start, run[len(run)-1].end}}
}

func appendPairs(tokens []Token, run []unit) []Token {
	for i, u := range run {
		if i+1 < len(run) {
			tokens = append(tokens, Token{u.text + run[i+1].text, Range{u.start, run[i+1].end}})
		} else {
			tokens = append(tokens, Token{u.text, Range{u.start, u.end}})
		}
	}
	return tokens
}

// nextUnit reads the character at a byte offset; its text is empty when the
// character is not part of a word.
func nextUnit(text string, at int) unit {
	if c := text[at]; c < utf8.RuneSelf && (at+1 == len(text) || text[at+1] < utf8.RuneSelf) {
		return asciiUnit(text[at:at+1], at) // most of what there is, and no mark follows
	}
	r, size := utf8.DecodeRuneInString(text[at:])
	end := at + size
	u := unit{start: at, end: end}
	if !unicode.IsLetter(r) && !unicode.IsNumber(r) {
		return u
	}
	for end < len(text) {
		mark, size := utf8.DecodeRuneInString(text[end:])
		if !attaches(mark) {
			break
		}
		end += size
	}
	u.end = end
	u.spaceless = unicode.In(r, spaceless...) || strings.ContainsRune(joining, r)
	u.text = fold(text[at:end], unicode.In(r, unmarked...))
	return u
}

func asciiUnit(character string, at int) unit {
	u := unit{start: at, end: at + 1}
	switch c := character[0]; {
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		u.text = character
	case c >= 'A' && c <= 'Z':
		u.text = strings.ToLower(character)
	}
	return u
}

// attaches reports whether a character belongs to the one before it: marks,
// joiners without a sound of their own, and halfwidth kana's voicing marks.
func attaches(r rune) bool {
	switch r {
	case '\u200c', '\u200d', '\u00ad', '\uff9e', '\uff9f':
		return true
	}
	return unicode.IsMark(r)
}

func fold(s string, dropMarks bool) string {
	if len(s) == 1 { // ASCII, most of what there is
		return strings.ToLower(s)
	}
	var b strings.Builder
	form := norm.NFKC
	if dropMarks {
		form = norm.NFKD
	}
	for _, r := range form.String(cases.Fold().String(form.String(s))) {
		switch {
		case unicode.IsLetter(r), unicode.IsNumber(r):
			b.WriteRune(r)
		case unicode.IsMark(r) && !dropMarks:
			b.WriteRune(r)
		}
	}
	if dropMarks {
		return ligatures.Replace(b.String())
	}
	return b.String()
}

// Join is what a driver indexes of a text: its tokens with spaces between.
func Join(text string) string {
	var b strings.Builder
	for i, t := range Split(text) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
	}
	return b.String()
}
