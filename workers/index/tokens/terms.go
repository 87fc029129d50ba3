package tokens

import (
	"strings"

	"github.com/earshot-fm/earshot/workers/index"
)

// Term is a clause in tokens: they must follow one another, and the last may
// be the beginning of a token when Prefix is set.
type Term struct {
	Tokens  []string
	Prefix  bool
	Exclude bool

	// Word is the word as it was written, where a driver that knows its language
	// may look for its other forms too. It is empty for phrases, prefixes, what
	// is excluded, and in scripts without spaces.
	Word string
}

// Terms turns clauses into what a driver asks its index. A run of spaceless
// characters ends in a token of its last character alone, which in a longer
// run would be a pair: at the end of a clause it is left to the pair before it,
// which holds it, or, when there is none, matched as the beginning of a pair.
func Terms(clauses []index.Clause) (all []Term) {
	for _, c := range clauses {
		tokens := Split(c.Text)
		n := len(tokens)
		if n == 0 {
			continue
		}
		t := Term{Prefix: c.Prefix, Exclude: c.Exclude}
		last := tokens[n-1]
		if first := nextUnit(c.Text, last.Start); first.spaceless {
			if first.end == last.End {
				t.Prefix = true
				if n > 1 && tokens[n-2].End == last.End {
					t.Prefix = false
					tokens = tokens[:n-1]
				}
			}
		} else if n == 1 && !c.Phrase && !c.Prefix && !c.Exclude {
			t.Word = c.Text[last.Start:last.End]
		}
		for _, token := range tokens {
			t.Tokens = append(t.Tokens, token.Text)
		}
		all = append(all, t)
	}
	return all
}

// Each gives every token of the terms a term of its own: what serves to find a
// moment when no segment holds a phrase whole.
func Each(terms []Term) (all []Term) {
	for _, t := range terms {
		for _, token := range t.Tokens {
			all = append(all, Term{Tokens: []string{token}, Exclude: t.Exclude})
		}
	}
	return all
}

// Matches are the ranges of a text that the sought terms match, in order,
// without overlap.
func Matches(text string, terms []Term) []Range {
	tokens := Split(text)
	marked := make([]bool, len(tokens))
	for _, t := range terms {
		if t.Exclude {
			continue
		}
		for i := 0; i+len(t.Tokens) <= len(tokens); i++ {
			if t.matchesAt(tokens[i:]) {
				for j := range t.Tokens {
					marked[i+j] = true
				}
			}
		}
	}
	var ranges []Range
	for i, token := range tokens {
		if marked[i] {
			ranges = add(ranges, token.Range)
		}
	}
	return ranges
}

// add appends a range that begins no earlier than the last, or widens the last
// where they overlap.
func add(ranges []Range, r Range) []Range {
	if n := len(ranges); n > 0 && r.Start < ranges[n-1].End {
		ranges[n-1].End = max(ranges[n-1].End, r.End)
		return ranges
	}
	return append(ranges, r)
}

func (t Term) matchesAt(tokens []Token) bool {
	for j, want := range t.Tokens {
		got := tokens[j].Text
		if got != want && !(t.Prefix && j == len(t.Tokens)-1 && strings.HasPrefix(got, want)) {
			return false
		}
	}
	return true
}
