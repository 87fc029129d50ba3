package asr

import (
	"bytes"
	"fmt"
	"slices"
)

// lexicon is the words that can be recognised and how each may sound.
type lexicon struct {
	check          uint32 // CRC-32 of the words' text
	words          []string
	pronunciations []pronunciation
}

// pronunciation is one way to say a word: phones, or the tokens that spell it,
// as the network's output classes.
type pronunciation struct {
	word   int32 // index into words
	phones []int32
}

const lexiconMagic = "EARLX\x00\x00\x01"

// readLexicon reads lexicon.bin. The format is described in
// models/train/asr/ngram.py. classes is the number of the network's output
// classes, the blank included.
func readLexicon(b []byte, classes int) (*lexicon, error) {
	r, err := newReader(b, lexiconMagic)
	if err != nil {
		return nil, fmt.Errorf("asr: read the lexicon: %w", err)
	}
	l := &lexicon{check: r.uint32()}
	words, size := r.count(), r.count()
	text := r.bytes(size)
	for line := range bytes.Lines(text) {
		if line[len(line)-1] != '\n' || len(line) == 1 {
			return nil, fmt.Errorf("asr: read the lexicon: word %d is empty or not ended", len(l.words))
		}
		l.words = append(l.words, string(line[:len(line)-1]))
	}
	if r.err == nil && len(l.words) != words {
		return nil, fmt.Errorf("asr: read the lexicon: %d words are announced, %d are there", words, len(l.words))
	}
	for word := range l.words {
		for range one(r.bytes(1)) {
			phones := r.bytes(int(one(r.bytes(1))))
			if r.err == nil && len(phones) == 0 {
				return nil, fmt.Errorf("asr: read the lexicon: %q has a pronunciation without phones", l.words[word])
			}
			if i := slices.IndexFunc(phones, func(p uint8) bool { return p == 0 || int(p) >= classes }); i >= 0 {
				return nil, fmt.Errorf("asr: read the lexicon: %q: phone %d, want 1 to %d", l.words[word], phones[i], classes-1)
			}
			labels := make([]int32, len(phones))
			for i, p := range phones {
				labels[i] = int32(p)
			}
			l.pronunciations = append(l.pronunciations, pronunciation{word: int32(word), phones: labels})
		}
		if r.err != nil {
			break
		}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("asr: read the lexicon: %w", err)
	}
	return l, nil
}

func one(b []byte) uint8 {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// tree is the lexicon's pronunciations as a prefix tree in flat arrays: the
// children of a node lie side by side, and so do its words. Node 0 is the root.
type tree struct {
	label      []int32
	firstChild []int32 // [nodes + 1]
	firstWord  []int32 // [nodes + 1]
	words      []int32 // indices into the lexicon
	number     []int32 // by index into the lexicon: the grammar's number
	// best is the log-probability of the likeliest word at or below the node:
	// what the grammar will say at most, known before the word is (the
	// look-ahead of Ortmanns et al. 1996). 0 at the root.
	best []float32
}

// newTree builds the tree. unigram: log-probability by the grammar's word
// number; number: that number by the lexicon's, nil where the grammar has the
// lexicon's words in their order.
func newTree(l *lexicon, unigram []float32, number []int32) *tree {
	if number == nil {
		number = make([]int32, len(l.words))
		for i := range number {
			number[i] = int32(i) + firstWord
		}
	}
	entries := slices.Clone(l.pronunciations)
	slices.SortStableFunc(entries, func(a, b pronunciation) int { return slices.Compare(a.phones, b.phones) })
	t := &tree{number: number}
	type span struct{ low, high, depth int } // entries below a node
	spans := []span{{0, len(entries), 0}}
	t.label = append(t.label, noLabel)
	for n := 0; n < len(spans); n++ {
		s := spans[n]
		t.firstChild = append(t.firstChild, int32(len(spans)))
		t.firstWord = append(t.firstWord, int32(len(t.words)))
		low := s.low
		for ; low < s.high && len(entries[low].phones) == s.depth; low++ {
			t.words = append(t.words, entries[low].word)
		}
		for low < s.high {
			label, high := entries[low].phones[s.depth], low+1
			for high < s.high && entries[high].phones[s.depth] == label {
				high++
			}
			spans = append(spans, span{low, high, s.depth + 1})
			t.label = append(t.label, label)
			low = high
		}
		best := float32(-1e9)
		for _, e := range entries[s.low:s.high] {
			best = max(best, unigram[number[e.word]])
		}
		t.best = append(t.best, best)
	}
	t.firstChild = append(t.firstChild, int32(len(spans)))
	t.firstWord = append(t.firstWord, int32(len(t.words)))
	t.best[0] = 0
	return t
}
