package main

import (
	"strings"
	"unicode"
)

// printable is a text of others for a terminal: without the characters that
// move its cursor, name its window or begin a command to it, and on one line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
}
