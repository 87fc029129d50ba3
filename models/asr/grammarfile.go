package asr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
)

// A compiled grammar, little endian: grammarMagic; u32 order (2 to 5), words
// with <s>, </s> and <unk>, bytes of text; the other words, sorted, each ended
// by \n; f32[words] log-probabilities, f32[words] back-offs, both natural; for
// each order from 2 on: a uvarint for each n-gram below, how many n-grams it
// begins; u32 n-grams; a uvarint each, its word less the one before it in its
// context; f32[256] levels and u8 each, its log-probability; below the highest
// order f32[256] levels and u8 each, its back-off; u32 CRC-32 of all before.
const grammarMagic = "EARLM\x00\x00\x02"

// The orders that a grammar may have.
const (
	lowestOrder  = 2
	highestOrder = 5
)

func readGrammar(r *reader) (*ngram, error) {
	order := int(r.uint32())
	words, size := r.count(), r.count()
	if r.err == nil && (order < lowestOrder || order > highestOrder || words < firstWord) {
		return nil, fmt.Errorf("%d words in n-grams of %d, want at least %d in %d to %d", words, order, firstWord, lowestOrder, highestOrder)
	}
	text := r.bytes(size)
	g := &ngram{words: words, check: crc32.ChecksumIEEE(text)}
	for line := range bytes.Lines(text) {
		g.vocabulary = append(g.vocabulary, strings.TrimSuffix(string(line), "\n"))
	}
	if r.err == nil && len(g.vocabulary) != words-firstWord {
		return nil, fmt.Errorf("%d words are announced, %d are there", words-firstWord, len(g.vocabulary))
	}
	g.p1, g.b1 = r.float32s(words), r.float32s(words)
	contexts := words
	for k := lowestOrder; k <= order && r.err == nil; k++ {
		l := layer{first: offsets(r.uvarints(contexts))}
		contexts = r.count()
		l.word = r.uvarints(contexts)
		if r.err == nil {
			undoDifferences(l.first, l.word)
		}
		l.p.level, l.p.code = r.float32s(256), r.bytes(contexts)
		if k < order {
			l.back.level, l.back.code = r.float32s(256), r.bytes(contexts)
		}
		g.layers = append(g.layers, l)
	}
	return g, r.end()
}

// undoDifferences sums the words of each context up. Sums that overflow are out
// of order, which link finds.
func undoDifferences(first, word []uint32) {
	for i := range len(first) - 1 {
		for at := first[i] + 1; at < min(first[i+1], uint32(len(word))); at++ {
			word[at] += word[at-1]
		}
	}
}

// CompileARPA reads an n-gram model of two to five words in ARPA's format and
// writes it as a file that models load at once: log-probabilities and back-offs
// of two words and more rounded to 256 levels each, about a tenth of the text's
// size.
func CompileARPA(arpa io.Reader, out io.Writer) error {
	g, err := readARPA(arpa)
	if err != nil {
		return fmt.Errorf("asr: compile an n-gram model: %w", err)
	}
	if _, err := out.Write(g.compiled()); err != nil {
		return fmt.Errorf("asr: compile an n-gram model: %w", err)
	}
	return nil
}

func (g *ngram) compiled() []byte {
	b := []byte(grammarMagic)
	text := ""
	if len(g.vocabulary) > 0 {
		text = strings.Join(g.vocabulary, "\n") + "\n"
	}
	for _, n := range []int{len(g.layers) + 1, g.words, len(text)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, text...)
	b = appendFloat32s(appendFloat32s(b, g.p1), g.b1)
	for k := range g.layers {
		l := &g.layers[k]
		for i := range len(l.first) - 1 {
			b = binary.AppendUvarint(b, uint64(l.first[i+1]-l.first[i]))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(len(l.word)))
		for i := range len(l.first) - 1 {
			before := uint32(0)
			for _, w := range l.word[l.first[i]:l.first[i+1]] {
				b = binary.AppendUvarint(b, uint64(w-before))
				before = w
			}
		}
		b = l.p.append(b, len(l.word))
		if k+1 < len(g.layers) {
			b = l.back.append(b, len(l.word))
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func appendFloat32s(b []byte, list []float32) []byte {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// append writes n values as 256 levels and their codes.
func (l *levels) append(b []byte, n int) []byte {
	values := make([]float32, n)
	for i := range values {
		values[i] = l.at(uint32(i))
	}
	table := quantised(values)
	b = appendFloat32s(b, table)
	distinct := slices.Compact(slices.Clone(table))
	for _, v := range values {
		i, found := slices.BinarySearch(distinct, v)
		if !found && (i == len(distinct) || i > 0 && v-distinct[i-1] < distinct[i]-v) {
			i--
		}
		b = append(b, uint8(i))
	}
	return b
}

// quantised are 256 levels, ascending, with equal shares of the values; zero is
// one of them, since a back-off of nothing must stay nothing.
func quantised(values []float32) []float32 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	levels := slices.Compact(slices.Clone(sorted))
	if len(levels) > 255 {
		levels = levels[:0]
		for i := range 255 {
			levels = append(levels, sorted[(2*i+1)*len(sorted)/510])
		}
	}
	levels = append(levels, 0)
	slices.Sort(levels)
	levels = slices.Compact(levels)
	for len(levels) < 256 {
		levels = append(levels, levels[len(levels)-1])
	}
	return levels
}
