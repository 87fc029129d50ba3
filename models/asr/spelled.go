package asr

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// loadSearch reads the grammar and the lexicon that the parameters name.
func (c *CTC) loadSearch() error {
	b, err := c.model.Read(c.params.Grammar)
	if err != nil {
		return err
	}
	var g *ngram
	if path.Ext(c.params.Grammar) == ".arpa" {
		g, err = readARPA(bytes.NewReader(b))
	} else {
		g, err = readNgram(b)
	}
	if err != nil {
		return err
	}
	if g.vocabulary == nil {
		return fmt.Errorf("%s: it has no words of its own: compile it from ARPA", c.params.Grammar)
	}
	var text []byte
	if c.params.Lexicon != "" {
		if text, err = c.model.Read(c.params.Lexicon); err != nil {
			return err
		}
	}
	s, l, err := c.vocabulary.newSearch(g, text, c.params)
	if err != nil {
		return err
	}
	c.search, c.words = s, l.words
	return nil
}

// newSearch makes the search over a grammar of words or of tokens. spellings:
// "word token token …" lines, nil to spell the grammar's words.
func (v *Vocabulary) newSearch(g *ngram, spellings []byte, p CTCParams) (*search, *lexicon, error) {
	l, err := v.lexiconOf(g, spellings, p)
	if err != nil {
		return nil, nil, err
	}
	number := make([]int32, len(l.words))
	for i, word := range l.words {
		number[i] = wordUnknown
		if at, ok := slices.BinarySearch(g.vocabulary, word); ok {
			number[i] = int32(at) + firstWord
		}
	}
	o := searchOptions{
		beam: p.Beam, tokens: p.BeamTokens, threshold: p.Threshold, lmWeight: p.LMWeight, wordScore: p.WordScore,
		sum: p.Merge == "sum", blank: int32(v.blank), silence: noLabel, silScore: p.Silence,
	}
	if p.GrammarOf == "words" && v.delimiter >= 0 {
		o.silence = int32(v.delimiter)
	}
	return &search{tree: newTree(l, g.p1, number), grammar: g, options: o}, l, nil
}

func (v *Vocabulary) lexiconOf(g *ngram, spellings []byte, p CTCParams) (*lexicon, error) {
	switch {
	case p.GrammarOf == "tokens":
		return v.tokenLexicon(), nil
	case spellings != nil:
		return v.readSpellings(string(spellings))
	}
	l := v.spellWords(g.vocabulary)
	if len(l.words) == 0 {
		return nil, fmt.Errorf("no word of the grammar can be spelled with the vocabulary (%q, …): give a lexicon", g.vocabulary[:min(3, len(g.vocabulary))])
	}
	return l, nil
}

// tokenLexicon has every token as a word of itself: the search is then over
// token sequences, and needs no words.
func (v *Vocabulary) tokenLexicon() *lexicon {
	l := &lexicon{}
	for class, token := range v.tokens {
		if class == v.blank || v.special[class] || token == "" {
			continue
		}
		l.pronunciations = append(l.pronunciations, pronunciation{int32(len(l.words)), []int32{int32(class)}})
		l.words = append(l.words, token)
	}
	return l
}

// readSpellings reads a lexicon of "word token token …" lines: a word may have
// several.
func (v *Vocabulary) readSpellings(text string) (*lexicon, error) {
	class := v.classes()
	l := &lexicon{}
	number := map[string]int32{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) == 1 {
			return nil, fmt.Errorf("the lexicon's line %d: %q has no tokens", n, fields[0])
		}
		var labels []int32
		for _, token := range fields[1:] {
			at, ok := class[token]
			if !ok {
				return nil, fmt.Errorf("the lexicon's line %d: there is no token %q", n, token)
			}
			labels = append(labels, at)
		}
		word, ok := number[fields[0]]
		if !ok {
			word = int32(len(l.words))
			number[fields[0]] = word
			l.words = append(l.words, fields[0])
		}
		l.pronunciations = append(l.pronunciations, pronunciation{word, labels})
	}
	if len(l.words) == 0 {
		return nil, fmt.Errorf("the lexicon has no words")
	}
	return l, nil
}

func (v *Vocabulary) classes() map[string]int32 {
	class := make(map[string]int32, len(v.tokens))
	for i, token := range v.tokens {
		if token != "" && i != v.blank {
			class[token] = int32(i)
		}
	}
	return class
}

// spellWords spells words with the vocabulary: by characters with the
// delimiter behind, or with ▁ before by the fewest pieces, the longer ones
// first. Words that it cannot spell are left out; capitals are tried where a
// word's own letters are not tokens.
func (v *Vocabulary) spellWords(words []string) *lexicon {
	class := v.classes()
	longest := 0
	for token := range class {
		longest = max(longest, len(token))
	}
	l := &lexicon{}
	for _, word := range words {
		var labels []int32
		for _, as := range []string{word, strings.ToUpper(word), strings.ToLower(word)} {
			if v.delimiter < 0 {
				as = pieceSpace + as
			}
			if labels = fewest(as, class, longest); labels != nil {
				break
			}
		}
		if labels == nil {
			continue
		}
		if v.delimiter >= 0 {
			labels = append(labels, int32(v.delimiter))
		}
		l.pronunciations = append(l.pronunciations, pronunciation{int32(len(l.words)), labels})
		l.words = append(l.words, word)
	}
	return l
}

// fewest spells text with as few tokens as it can, nil where it cannot.
func fewest(text string, class map[string]int32, longest int) []int32 {
	type way struct{ tokens, length int }
	ways := make([]way, len(text)+1) // from each byte to the end
	for at := len(text) - 1; at >= 0; at-- {
		for n := min(longest, len(text)-at); n > 0; n-- {
			rest := ways[at+n]
			if _, ok := class[text[at:at+n]]; !ok || at+n < len(text) && rest.length == 0 {
				continue
			}
			if ways[at].length == 0 || rest.tokens+1 < ways[at].tokens {
				ways[at] = way{rest.tokens + 1, n}
			}
		}
	}
	if text == "" || ways[0].length == 0 {
		return nil
	}
	var labels []int32
	for at := 0; at < len(text); at += ways[at].length {
		labels = append(labels, class[text[at:at+ways[at].length]])
	}
	return labels
}

// spelled are the words that a search found.
func (c *CTC) spelled(found []heard) []Spelling {
	if c.params.GrammarOf == "words" {
		words := make([]Spelling, len(found))
		for i, w := range found {
			words[i] = Spelling{Text: c.words[w.word], Start: int(w.start), End: int(w.end), Confidence: w.confidence}
		}
		return words
	}
	class := c.vocabulary.classes()
	tokens := make([]Token, len(found))
	for i, w := range found {
		tokens[i] = Token{Class: int(class[c.words[w.word]]), Start: int(w.start), End: int(w.end), LogP: math.Log(w.confidence)}
	}
	return c.vocabulary.Words(tokens)
}
