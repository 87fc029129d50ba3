package asr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The words that every grammar has; the lexicon's word i is number i + firstWord.
const (
	wordStart   = 0 // <s>
	wordEnd     = 1 // </s>
	wordUnknown = 2 // <unk>
	firstWord   = 3
)

// ngram is a word 3-gram with back-off (Katz 1987), as models/train/asr/ngram.py
// writes it. Its states are integers: a state below words is the one word that
// matters as context; words + i is the pair of words of bigram i.
type ngram struct {
	check  uint32 // CRC-32 of the lexicon's words
	words  int
	p1, b1 []float32 // natural logarithms, by word
	first1 []uint32  // [words + 1] where each word's bigrams begin

	word2        []uint16
	code2, back2 []uint8
	first2       []uint32 // where each bigram's trigrams begin
	word3        []uint16
	code3        []uint8

	levelP2, levelB2, levelP3 []float32 // [256]
}

const ngramMagic = "EARLM\x00\x00\x01"

// readNgram reads lm.bin. The format is described in models/train/asr/ngram.py.
func readNgram(b []byte) (*ngram, error) {
	r, err := newReader(b, ngramMagic)
	if err != nil {
		return nil, fmt.Errorf("asr: read the word 3-gram: %w", err)
	}
	g := &ngram{check: r.uint32()}
	words, bigrams, trigrams := r.count(), r.count(), r.count()
	g.words = words
	if words < firstWord || words > math.MaxUint16+1 {
		return nil, fmt.Errorf("asr: read the word 3-gram: %d words, want %d to %d", words, firstWord, math.MaxUint16+1)
	}
	g.levelP2, g.levelB2, g.levelP3 = r.float32s(256), r.float32s(256), r.float32s(256)
	g.p1, g.b1 = r.float32s(words), r.float32s(words)
	g.first1 = offsets(r.uint32s(words))
	g.word2, g.code2, g.back2 = r.uint16s(bigrams), r.bytes(bigrams), r.bytes(bigrams)
	g.first2 = offsets(r.uint16s(bigrams))
	g.word3, g.code3 = r.uint16s(trigrams), r.bytes(trigrams)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("asr: read the word 3-gram: %w", err)
	}
	if err := errors.Join(
		checkSuccessors("bigrams", g.first1, g.word2, words),
		checkSuccessors("trigrams", g.first2, g.word3, words)); err != nil {
		return nil, fmt.Errorf("asr: read the word 3-gram: %w", err)
	}
	for _, levels := range [][]float32{g.levelP2, g.levelB2, g.levelP3, g.p1, g.b1} {
		for _, v := range levels {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("asr: read the word 3-gram: %v is no log-probability", v)
			}
		}
	}
	return g, nil
}

// offsets turns how many successors each context has into where they begin.
// A sum that does not fit stays in range, and checkSuccessors finds it.
func offsets[T uint16 | uint32](counts []T) []uint32 {
	out := make([]uint32, len(counts)+1)
	var sum uint64
	for i, n := range counts {
		sum = min(sum+uint64(n), math.MaxUint32)
		out[i+1] = uint32(sum)
	}
	return out
}

// checkSuccessors makes sure that binary search over the successors is safe.
func checkSuccessors(what string, first []uint32, successors []uint16, words int) error {
	if end := first[len(first)-1]; uint64(end) != uint64(len(successors)) {
		return fmt.Errorf("%d %s are counted, %d are there", end, what, len(successors))
	}
	for i := range len(first) - 1 {
		list := successors[first[i]:first[i+1]]
		for k, w := range list {
			if int(w) >= words || k > 0 && list[k-1] >= w {
				return fmt.Errorf("%s of context %d: word %d is out of order or out of range", what, i, w)
			}
		}
	}
	return nil
}

// find returns where w is in a sorted list, or -1.
func find(list []uint16, w uint16) int {
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if list[middle] < w {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(list) && list[low] == w {
		return low
	}
	return -1
}

// pair is the state after words a and b: the bigram if the model has it and it
// says more than b alone.
func (g *ngram) pair(a, b int32) int32 {
	if i := find(g.word2[g.first1[a]:g.first1[a+1]], uint16(b)); i >= 0 {
		return g.state(int32(g.first1[a]) + int32(i))
	}
	return b
}

func (g *ngram) state(bigram int32) int32 {
	if g.first2[bigram] == g.first2[bigram+1] && g.levelB2[g.back2[bigram]] == 0 {
		return int32(g.word2[bigram])
	}
	return int32(g.words) + bigram
}

// score gives the natural log-probability of word after state, and the state
// that follows.
func (g *ngram) score(state, word int32) (logp float32, next int32) {
	var back float32
	last := state
	if int(state) >= g.words {
		i := state - int32(g.words)
		last = int32(g.word2[i])
		at := g.first2[i]
		if k := find(g.word3[at:g.first2[i+1]], uint16(word)); k >= 0 {
			return g.levelP3[g.code3[int(at)+k]], g.pair(last, word)
		}
		back = g.levelB2[g.back2[i]]
	}
	at := g.first1[last]
	if k := find(g.word2[at:g.first1[last+1]], uint16(word)); k >= 0 {
		i := int32(at) + int32(k)
		return back + g.levelP2[g.code2[i]], g.state(i)
	}
	return back + g.b1[last] + g.p1[word], word
}

// reader takes a little-endian file apart; after the first thing that is
// missing it gives only zeros, and end says what was wrong.
type reader struct {
	rest []byte
	err  error
}

func newReader(b []byte, magic string) (*reader, error) {
	if len(b) < len(magic)+4 || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%d bytes that do not begin with %q: not this kind of file, or of another version", len(b), magic)
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.ChecksumIEEE(body); got != sum {
		return nil, fmt.Errorf("the file is damaged: CRC-32 %08x, want %08x", got, sum)
	}
	return &reader{rest: body[len(magic):]}, nil
}

// bytes takes n bytes; they share the file's memory.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("the file ends %d bytes too early", n-len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint32() uint32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

// count takes a number of things of at least one byte each.
func (r *reader) count() int {
	n := r.uint32()
	if r.err == nil && uint64(n) > uint64(len(r.rest)) {
		r.err = fmt.Errorf("%d things are announced, %d bytes are left", n, len(r.rest))
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

func (r *reader) uint16s(n int) []uint16 {
	b := r.bytes(2 * n)
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return out
}

func (r *reader) uint32s(n int) []uint32 {
	b := r.bytes(4 * n)
	out := make([]uint32, len(b)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return out
}

func (r *reader) float32s(n int) []float32 {
	out := make([]float32, n)
	for i, v := range r.uint32s(n) {
		out[i] = math.Float32frombits(v)
	}
	return out
}

func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		return fmt.Errorf("%d bytes too many", len(r.rest))
	}
	return r.err
}
