// Package words is the text front end of the models that read transcripts, as
// audio/feature is of those that hear: it normalises, stems and hashes words
// into the rows of a model's table. models/train/hashed.py is the same in
// Python, bit for bit, and states the rules; a fixture holds both to them.
package words

import (
	_ "embed"
	"strings"
)

//go:embed fold.txt
var foldTable string

// folds gives the ASCII letters of the Latin letters up to U+024F.
var folds = readFolds()

func readFolds() map[rune]string {
	m := map[rune]string{}
	for line := range strings.Lines(foldTable) {
		from, to, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, r := range from {
			m[r] = to
		}
	}
	return m
}

// longest is the number of runes of a word that count.
const longest = 32

// Split returns the words of a text: lower case, Latin letters without their
// marks, no apostrophes, no digits, at most 32 runes each.
func Split(text string) []string {
	var found []string
	word := make([]rune, 0, longest)
	end := func() {
		if len(word) > 0 {
			found = append(found, string(word))
			word = word[:0]
		}
	}
	add := func(r rune) {
		if len(word) < longest {
			word = append(word, r)
		}
	}
	for _, r := range text {
		switch {
		case r >= 'a' && r <= 'z':
			add(r)
		case r >= 'A' && r <= 'Z':
			add(r + 32)
		case r == '\'' || r == '\u2019' || r == '\u02bc' || r >= 0x300 && r <= 0x36f:
		case folds[r] != "":
			for _, s := range folds[r] {
				add(s)
			}
		case kept(r):
			add(r)
		default:
			end()
		}
	}
	end()
	return found
}

// kept tells whether a rune outside Latin is part of a word.
func kept(r rune) bool {
	return r >= 0x370 && !(r >= 0x2000 && r <= 0x2bff || r >= 0x3000 && r <= 0x303f ||
		r >= 0xd800 && r <= 0xf8ff || r >= 0xfe00 && r <= 0xff0f || r >= 0xfff0 && r <= 0xffff)
}

// Stem takes the plural off a word of Split: Harman's S stemmer ("How
// effective is suffixing?", 1991).
func Stem(word string) string {
	runes := []rune(word)
	n := len(runes)
	if n <= 3 || runes[n-1] != 's' {
		return word
	}
	head := func(cut int) string { return string(runes[:n-cut]) }
	if runes[n-2] == 'e' {
		if runes[n-3] == 'i' && runes[n-4] != 'e' && runes[n-4] != 'a' {
			return head(3) + "y"
		}
		if r := runes[n-3]; r != 'a' && r != 'e' && r != 'o' {
			return head(1)
		}
	}
	if runes[n-2] != 'u' && runes[n-2] != 's' {
		return head(1)
	}
	return word
}

// Stems returns the stems of a text's words.
func Stems(text string) []string {
	found := Split(text)
	for i, w := range found {
		found[i] = Stem(w)
	}
	return found
}
