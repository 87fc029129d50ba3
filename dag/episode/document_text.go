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
// that starts with a byte order mark is what the mark says; of the others, those
// that are not UTF-8 are taken for Windows-1252, as browsers do, unless most of
// what is beyond ASCII in them is good UTF-8: then a few bytes were damaged, and
// are U+FFFD.
func DocumentText(doc []byte) string {
	switch {
	case bytes.HasPrefix(doc, []byte{0xFF, 0xFE}):
		return utf16Text(doc[2:], binary.LittleEndian)
	case bytes.HasPrefix(doc, []byte{0xFE, 0xFF}):
		return utf16Text(doc[2:], binary.BigEndian)
	}
	doc = bytes.TrimPrefix(doc, []byte("\ufeff"))
	if utf8.Valid(doc) {
		return string(doc)
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
		return strings.ToValidUTF8(string(doc), "\uFFFD")
	}
	var b strings.Builder
	for _, c := range doc {
		r := rune(c)
		if 0x80 <= c && c < 0xA0 {
			r = windows1252[c-0x80]
		}
		b.WriteRune(r)
	}
	return b.String()
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
