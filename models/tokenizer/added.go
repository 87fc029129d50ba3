package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// addedToken is a token that is looked for in the text before any other step.
type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not inside a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"` // looked for in the normalised text
	Special    bool   `json:"special"`
}

// added are a file's added tokens.
type added struct {
	ids             map[string]int
	tokens          map[int]string
	special         map[string]bool
	raw, normalized finder
}

func readAdded(list []addedToken, m model, n normalizer) (added, error) {
	a := added{ids: map[string]int{}, tokens: map[int]string{}, special: map[string]bool{}}
	for i, t := range list {
		if t.Content == "" {
			continue
		}
		// The vocabulary's own id goes before the list's, as in the library.
		if id, ok := m.id(t.Content); ok {
			t.ID = id
		}
		if t.ID < 0 || t.ID >= maxVocabulary {
			return a, fmt.Errorf("tokenizer: added_tokens[%d]: id %d of %q: want 0 to %d", i, t.ID, t.Content, maxVocabulary-1)
		}
		a.ids[t.Content], a.tokens[t.ID] = t.ID, t.Content
		a.special[t.Content] = a.special[t.Content] || t.Special
		if t.Normalized {
			// The library spells it so from then on, in decoded text too.
			a.tokens[t.ID] = n.apply(t.Content)
			a.normalized.add(a.tokens[t.ID], t)
		} else {
			a.raw.add(t.Content, t)
		}
	}
	return a, nil
}

// finder finds added tokens: the leftmost, and of those the longest.
type finder struct {
	starts [256]bool
	root   node
	any    bool
}

type node struct {
	next  map[byte]*node
	token *addedToken
}

func (f *finder) add(content string, t addedToken) {
	if content == "" {
		return
	}
	f.any, f.starts[content[0]] = true, true
	n := &f.root
	for i := range len(content) {
		if n.next == nil {
			n.next = map[byte]*node{}
		}
		if n.next[content[i]] == nil {
			n.next[content[i]] = &node{}
		}
		n = n.next[content[i]]
	}
	if n.token == nil {
		n.token = &t
	}
}

// longest is the longest token at the start of s.
func (f *finder) longest(s string) (found *addedToken, length int) {
	n := &f.root
	for i := range len(s) {
		if n = n.next[s[i]]; n == nil {
			break
		}
		if n.token != nil {
			found, length = n.token, i+1
		}
	}
	return found, length
}

// cut cuts a text into added tokens and what is between them.
func (f *finder) cut(p piece) []piece {
	if !f.any {
		return []piece{p}
	}
	var pieces []piece
	s, from := p.text, 0
	between := func(to int) {
		if from < to {
			pieces = append(pieces, piece{text: s[from:to], start: p.start && from == 0})
		}
	}
	for at := 0; at < len(s); {
		if !f.starts[s[at]] {
			at++
			continue
		}
		t, length := f.longest(s[at:])
		if t == nil {
			at++
			continue
		}
		start, stop := at, at+length
		at = stop
		if t.SingleWord {
			before, _ := utf8.DecodeLastRuneInString(s[:start])
			after, _ := utf8.DecodeRuneInString(s[stop:])
			if start > 0 && isWord(before) || stop < len(s) && isWord(after) {
				continue
			}
		}
		if t.LStrip {
			start = max(from, len(strings.TrimRightFunc(s[:start], isSpace)))
		}
		if t.RStrip {
			stop = len(s) - len(strings.TrimLeftFunc(s[stop:], isSpace))
		}
		between(start)
		pieces = append(pieces, piece{known: true, id: t.ID})
		from = stop
	}
	between(len(s))
	return pieces
}
