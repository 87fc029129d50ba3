package asr

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// longestLine bounds a line of an ARPA file, in bytes.
const longestLine = 1 << 16

// readARPA reads an n-gram model in ARPA's format (as SRILM's ngram-format(5)
// describes it), of two to five words, line by line. Logarithms become natural.
// A word that the model does not know has the probability of <unk>, or of
// 10^-100 as KenLM has it where there is no <unk>. The context of every n-gram
// must be an n-gram too.
func readARPA(r io.Reader) (*ngram, error) {
	a := arpaReader{lines: bufio.NewReaderSize(r, longestLine)}
	g, err := a.read()
	if err == nil {
		err = g.link()
	}
	if err != nil {
		return nil, fmt.Errorf("read ARPA, line %d: %w", a.line, err)
	}
	return g, nil
}

type arpaReader struct {
	lines  *bufio.Reader
	line   int
	counts []int
	number map[string]uint32
}

// next gives the next line that is not empty, without the white space around
// it; nil at the end.
func (a *arpaReader) next() ([]byte, error) {
	for {
		b, err := a.lines.ReadSlice('\n')
		if len(b) > 0 {
			a.line++
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("longer than %d bytes", longestLine)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		}
		if b = bytes.TrimSpace(b); len(b) > 0 {
			return b, nil
		}
		if err != nil {
			return nil, nil
		}
	}
}

func (a *arpaReader) read() (*ngram, error) {
	section, err := a.header()
	if err != nil {
		return nil, err
	}
	if section != 1 {
		return nil, fmt.Errorf("the first section has %d-grams, want 1-grams", section)
	}
	g, section, err := a.unigrams()
	for k := 2; err == nil && k <= len(a.counts); k++ {
		if section != k {
			return nil, fmt.Errorf("want the section of %d-grams", k)
		}
		section, err = a.higher(g, k)
	}
	if err != nil {
		return nil, err
	}
	if section != 0 {
		return nil, errors.New("want its end, \\end\\, after the last section")
	}
	return g, nil
}

// header reads up to the first section, and gives its order.
func (a *arpaReader) header() (int, error) {
	for {
		line, err := a.next()
		if err != nil {
			return 0, err
		}
		if line == nil {
			return 0, errors.New("the file ends before its 1-grams")
		}
		if order, ok := sectionOf(line); ok {
			if len(a.counts) < lowestOrder || len(a.counts) > highestOrder {
				return 0, fmt.Errorf("the model has n-grams of up to %d words, want %d to %d", len(a.counts), lowestOrder, highestOrder)
			}
			return order, nil
		}
		var order, count int
		if n, _ := fmt.Sscanf(string(line), "ngram %d=%d", &order, &count); n == 2 {
			if order != len(a.counts)+1 || count < 0 {
				return 0, fmt.Errorf("%q, want the count of %d-grams", line, len(a.counts)+1)
			}
			a.counts = append(a.counts, count)
		}
	}
}

// sectionOf tells the order of a section's head; of \end\ it is 0.
func sectionOf(line []byte) (int, bool) {
	if line[0] != '\\' {
		return 0, false
	}
	if string(line) == "\\end\\" {
		return 0, true
	}
	order, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(string(line), "\\"), "-grams:"))
	return order, err == nil
}

// entry splits a line "log10 word … [log10]" into natural logarithms and words.
func entry(line []byte, order int) (p, back float32, words [][]byte, err error) {
	fields := bytes.Fields(line)
	if len(fields) != order+1 && len(fields) != order+2 {
		return 0, 0, nil, fmt.Errorf("%d fields, want a logarithm, %d words and perhaps a back-off", len(fields), order)
	}
	if p, err = natural(fields[0]); err != nil {
		return 0, 0, nil, err
	}
	if p > 0 {
		return 0, 0, nil, fmt.Errorf("a logarithm of %s is no probability", fields[0])
	}
	if len(fields) == order+2 {
		if back, err = natural(fields[order+1]); err != nil {
			return 0, 0, nil, err
		}
	}
	return p, back, fields[1 : order+1], nil
}

func natural(field []byte) (float32, error) {
	v, err := strconv.ParseFloat(string(field), 64)
	if err != nil || math.IsNaN(v) || v > 1000 {
		return 0, fmt.Errorf("%q is no logarithm", field)
	}
	return float32(max(v, -1000) * math.Ln10), nil
}

// The three words under which every grammar has its own numbers.
var (
	startNames   = []string{"<s>"}
	endNames     = []string{"</s>"}
	unknownNames = []string{"<unk>", "<UNK>"}
)

func (a *arpaReader) unigrams() (*ngram, int, error) {
	type unigram struct {
		word    string
		p, back float32
	}
	g := &ngram{p1: make([]float32, firstWord), b1: make([]float32, firstWord)}
	none := float32(-100 * math.Ln10)
	g.p1[wordStart], g.p1[wordEnd], g.p1[wordUnknown] = none, none, none
	a.number = map[string]uint32{}
	var list []unigram
	for {
		line, err := a.next()
		if err != nil {
			return nil, 0, err
		}
		if line == nil {
			return nil, 0, errors.New("the file ends within its 1-grams")
		}
		if order, ok := sectionOf(line); ok {
			// A word that begins with a backslash is in a field of its own.
			if len(a.number) != a.counts[0] {
				return nil, 0, fmt.Errorf("%d words are announced, %d are there", a.counts[0], len(a.number))
			}
			slices.SortFunc(list, func(x, y unigram) int { return cmp.Compare(x.word, y.word) })
			for i, u := range list {
				a.number[u.word] = uint32(i + firstWord)
				g.vocabulary = append(g.vocabulary, u.word)
				g.p1, g.b1 = append(g.p1, u.p), append(g.b1, u.back)
			}
			g.words = len(g.p1)
			g.check = crc32.ChecksumIEEE([]byte(strings.Join(g.vocabulary, "\n") + "\n"))
			return g, order, nil
		}
		p, back, words, err := entry(line, 1)
		if err != nil {
			return nil, 0, err
		}
		word := string(words[0])
		if _, twice := a.number[word]; twice {
			return nil, 0, fmt.Errorf("word %q is there twice", word)
		}
		a.number[word] = 0
		number := -1
		switch {
		case slices.Contains(startNames, word):
			number = wordStart
		case slices.Contains(endNames, word):
			number = wordEnd
		case slices.Contains(unknownNames, word):
			number = wordUnknown
		default:
			list = append(list, unigram{word, p, back})
			continue
		}
		a.number[word] = uint32(number)
		g.p1[number], g.b1[number] = p, back
	}
}

// higher reads the n-grams of k words into a new layer, and gives the order of
// the section that follows.
func (a *arpaReader) higher(g *ngram, k int) (int, error) {
	type gram struct {
		context, word uint32
		p, back       float32
	}
	var list []gram
	contexts := g.words
	if k > 2 {
		contexts = len(g.layers[k-3].word)
	}
	section := -1
	for section < 0 {
		line, err := a.next()
		if err != nil {
			return 0, err
		}
		if line == nil {
			return 0, fmt.Errorf("the file ends within its %d-grams", k)
		}
		if order, ok := sectionOf(line); ok {
			section = order
			break
		}
		p, back, words, err := entry(line, k)
		if err != nil {
			return 0, err
		}
		var context uint32
		for i, w := range words[:k-1] {
			number, ok := a.number[string(w)]
			if !ok {
				return 0, fmt.Errorf("%q is not among the 1-grams", w)
			}
			if i == 0 {
				context = number
				continue
			}
			at := g.layers[i-1].successor(context, number)
			if at < 0 {
				return 0, fmt.Errorf("its context %q is no n-gram of the model", bytes.Join(words[:i+1], []byte(" ")))
			}
			context = uint32(at)
		}
		number, ok := a.number[string(words[k-1])]
		if !ok {
			return 0, fmt.Errorf("%q is not among the 1-grams", words[k-1])
		}
		list = append(list, gram{context, number, p, back})
	}
	if len(list) != a.counts[k-1] {
		return 0, fmt.Errorf("%d %d-grams are announced, %d are there", a.counts[k-1], k, len(list))
	}
	slices.SortFunc(list, func(x, y gram) int {
		return cmp.Or(cmp.Compare(x.context, y.context), cmp.Compare(x.word, y.word))
	})
	counts := make([]uint32, contexts)
	l := layer{word: make([]uint32, len(list))}
	l.p.exact = make([]float32, len(list))
	if k < len(a.counts) {
		l.back.exact = make([]float32, len(list))
	}
	for i, n := range list {
		counts[n.context]++
		l.word[i], l.p.exact[i] = n.word, n.p
		if l.back.exact != nil {
			l.back.exact[i] = n.back
		}
	}
	l.first = offsets(counts)
	g.layers = append(g.layers, l)
	return section, nil
}
