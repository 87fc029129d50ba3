package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// byteRunes are the characters that stand for bytes (openai/gpt-2,
// src/encoder.py, bytes_to_unicode): itself for what can be seen, from U+0100
// on for the rest.
var byteRunes = func() (runes [256]rune) {
	next := rune(0x100)
	for b := range runes {
		if '!' <= b && b <= '~' || 0xA1 <= b && b <= 0xAC || 0xAE <= b {
			runes[b] = rune(b)
		} else {
			runes[b] = next
			next++
		}
	}
	return runes
}()

var runeBytes = func() map[rune]byte {
	bytes := make(map[rune]byte, 256)
	for b, r := range byteRunes {
		bytes[r] = byte(b)
	}
	return bytes
}()

// spellBytes spells a text's bytes.
func spellBytes(s string) string {
	var b strings.Builder
	b.Grow(len(s) + len(s)/4)
	for i := range len(s) {
		b.WriteRune(byteRunes[s[i]])
	}
	return b.String()
}

// Bytes are those that a token of a byte-level vocabulary spells; nil for one
// with a character that stands for no byte.
func Bytes(token string) []byte {
	bytes := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := runeBytes[r]
		if !ok {
			return nil
		}
		bytes = append(bytes, b)
	}
	return bytes
}

// Text reads bytes as UTF-8; each longest start of a character that breaks off
// is one U+FFFD (Unicode 15, 3.9, "substitution of maximal subparts"), as in
// Python's decoding.
func Text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = brokenPrefix(b)
		}
		out.WriteRune(r)
		b = b[n:]
	}
	return out.String()
}

// brokenPrefix is the length of the longest start of b that some character
// starts with too, at least 1. b begins with no whole character.
func brokenPrefix(b []byte) int {
	if b[0] < 0xC2 || b[0] > 0xF4 || len(b) < 2 {
		return 1
	}
	low, high := byte(0x80), byte(0xBF)
	switch b[0] {
	case 0xE0:
		low = 0xA0
	case 0xED:
		high = 0x9F
	case 0xF0:
		low = 0x90
	case 0xF4:
		high = 0x8F
	}
	if b[1] < low || b[1] > high {
		return 1
	}
	if b[0] >= 0xF0 && len(b) > 2 && 0x80 <= b[2] && b[2] <= 0xBF {
		return 3
	}
	return 2
}
