package episode

import (
	"bytes"
	"encoding/binary"
	"html"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// DocumentText is the text of a document that somebody else wrote. A document
// that starts with a byte order mark is what the mark says, and one whose first
// characters have a zero byte each is UTF-16 too; of the others, those that are
// not UTF-8 are taken for Windows-1252, as browsers do, unless most of
// what is beyond ASCII in them is good UTF-8: then a few bytes were damaged, and
// are U+FFFD.
func DocumentText(doc []byte) string {
	text, _ := documentText(doc)
	return text
}

// documentText says too whether Windows-1252 was a guess.
func documentText(doc []byte) (text string, guessed bool) {
	switch {
	case bytes.HasPrefix(doc, []byte{0xFF, 0xFE}):
		return utf16Text(doc[2:], binary.LittleEndian), false
	case bytes.HasPrefix(doc, []byte{0xFE, 0xFF}):
		return utf16Text(doc[2:], binary.BigEndian), false
	case len(doc) >= 4 && doc[0] != 0 && doc[1] == 0 && doc[2] != 0 && doc[3] == 0:
		return utf16Text(doc, binary.LittleEndian), false
	case len(doc) >= 4 && doc[0] == 0 && doc[1] != 0 && doc[2] == 0 && doc[3] != 0:
		return utf16Text(doc, binary.BigEndian), false
	}
	doc = bytes.TrimPrefix(doc, []byte("\ufeff"))
	if utf8.Valid(doc) {
		return string(doc), false
	}
	good, bad := 0, 0
	for rest := doc; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			good++
		}
		rest = rest[n:]
	}
	if good > bad {
		return strings.ToValidUTF8(string(doc), "\uFFFD"), false
	}
	var b strings.Builder
	for _, c := range doc {
		r := rune(c)
		if 0x80 <= c && c < 0xA0 {
			r = windows1252[c-0x80]
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// mojibake tells captions of another code page that were taken for
// Windows-1252: more than a third of their letters are beyond ASCII, and no
// language that is written with that page has so many.
func mojibake(cues []cue) bool {
	letters, foreign := 0, 0
	for _, c := range cues {
		for _, r := range c.text {
			switch {
			case 0x80 <= r && r <= 0xFF:
				letters++
				foreign++
			case unicode.IsLetter(r) && r < 0x80:
				letters++
			}
		}
	}
	return foreign*3 > letters
}

func utf16Text(doc []byte, order binary.ByteOrder) string {
	units := make([]uint16, len(doc)/2)
	for i := range units {
		units[i] = order.Uint16(doc[2*i:])
	}
	return string(utf16.Decode(units))
}

// windows1252 are the characters of 0x80 to 0x9F, where the code page is not
// Latin-1.
var windows1252 = [32]rune{
	'€', 0xFFFD, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0xFFFD, 'Ž', 0xFFFD,
	0xFFFD, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0xFFFD, 'ž', 'Ÿ',
}

// plain resolves entities, drops control characters, which no reader's terminal
// is to obey, and closes up white space.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return -1
		}
		return r
	}, html.UnescapeString(s))
	return strings.Join(strings.Fields(s), " ")
}
