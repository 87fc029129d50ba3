// Package tokenizer turns text into the token ids that a model was trained
// with, and back, as a tokenizer.json says: the file in which the public
// models' normaliser, pre-tokeniser, vocabulary, special tokens and decoder
// are kept. What it gives is what the tokenizers library gives on the same
// file; a component that it does not know is an error that names it.
package tokenizer

import (
	"fmt"
	"strings"
)

// Tokenizer is a tokenizer.json. It is safe for concurrent use.
type Tokenizer struct {
	normalize normalizer
	split     preTokenizer // nil: a text is one piece
	model     model
	template  template
	decode    decoder // nil: tokens are joined by spaces
	added     added
	cut       *truncation
}

// model is the vocabulary and how a piece becomes tokens of it.
type model interface {
	// tokens appends the piece's ids.
	tokens(ids []int, piece string) []int
	id(token string) (int, bool)
	token(id int) (string, bool)
	size() int
}

// Encode gives a text's ids; with special, those around it too that the file
// asks for ([CLS], </s>, …). The text is cut where the file asks for
// truncation; it is not padded. Bytes that are no UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(text string, special bool) []int {
	ids := t.ids(text)
	if t.cut != nil {
		ids = t.cut.single(ids, t.room(t.template.single, special))
	}
	ids, _ = t.template.single.apply(ids, nil, special)
	return ids
}

// EncodePair gives the ids of two texts in one row, and for each id which of
// the model's token types it has (0 in the first text and 1 in the second, as
// far as the file does not say otherwise).
func (t *Tokenizer) EncodePair(a, b string, special bool) (ids, types []int) {
	first, second := t.ids(a), t.ids(b)
	if t.cut != nil {
		first, second = t.cut.pair(first, second, t.room(t.template.pair, special))
	}
	return t.template.pair.apply(first, second, special)
}

// Specials is the number of ids that Encode puts around one text.
func (t *Tokenizer) Specials() int { return t.template.single.specials() }

// Around puts the special ids of one text around the ids of a part of it, as
// Encode does, and gives each id's token type.
func (t *Tokenizer) Around(part []int) (ids, types []int) {
	return t.template.single.apply(part, nil, true)
}

// Truncated is t with texts cut to at most length ids, those around them
// counted, whatever the file says; 0 is any number.
func (t *Tokenizer) Truncated(length int) *Tokenizer {
	c := *t
	if c.cut = nil; length == 0 {
		return &c
	}
	c.cut = &truncation{Direction: "Right", Strategy: "LongestFirst", MaxLength: length}
	return &c
}

func (t *Tokenizer) room(p sequence, special bool) int {
	if special {
		return max(0, t.cut.MaxLength-p.specials())
	}
	return t.cut.MaxLength
}

// ids are a text's, without template.
func (t *Tokenizer) ids(text string) []int {
	text = strings.ToValidUTF8(text, "\uFFFD")
	ids := make([]int, 0, len(text)/3+2)
	for _, raw := range t.added.raw.cut(piece{text: text, start: true}) {
		if raw.known {
			ids = append(ids, raw.id)
			continue
		}
		if raw.text == "" {
			continue // nothing is put before it
		}
		t.normalize.piece(&raw)
		if raw.text == "" {
			continue
		}
		for _, p := range t.added.normalized.cut(raw) {
			if p.known {
				ids = append(ids, p.id)
				continue
			}
			pieces := []piece{p}
			if t.split != nil {
				pieces = t.split.split(pieces)
			}
			for _, p := range pieces {
				if p.text != "" {
					ids = t.model.tokens(ids, p.text)
				}
			}
		}
	}
	return ids
}

// Decode gives the text that ids stand for; with skipSpecial, without the
// special tokens. Ids that the vocabulary lacks are left out.
func (t *Tokenizer) Decode(ids []int, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		token, ok := t.Token(id)
		if !ok || skipSpecial && t.added.special[token] {
			continue
		}
		tokens = append(tokens, token)
	}
	if t.decode == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.decode.decode(tokens), "")
}

// Token is the token of an id, as the vocabulary spells it.
func (t *Tokenizer) Token(id int) (string, bool) {
	if token, ok := t.added.tokens[id]; ok {
		return token, true
	}
	return t.model.token(id)
}

// ID is the id of a token, as the vocabulary spells it.
func (t *Tokenizer) ID(token string) (int, bool) {
	if id, ok := t.added.ids[token]; ok {
		return id, true
	}
	return t.model.id(token)
}

// Size is the number of tokens, added ones with them.
func (t *Tokenizer) Size() int {
	n := t.model.size()
	for token := range t.added.ids {
		if _, ok := t.model.id(token); !ok {
			n++
		}
	}
	return n
}

// piece is a stretch of a text on its way to the model.
type piece struct {
	text  string
	start bool // it begins where the whole text begins
	known bool // it is the added token id
	id    int
}

func unknown(path, kind, name string, has ...string) error {
	return fmt.Errorf("tokenizer: %s: %s %q is not known (has %s)", path, kind, name, strings.Join(has, ", "))
}
