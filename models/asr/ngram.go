package asr

import (
	"fmt"
	"math"
)

// The words that every grammar has; the vocabulary's word i is number
// i + firstWord.
const (
	wordStart   = 0 // <s>
	wordEnd     = 1 // </s>
	wordUnknown = 2 // <unk>
	firstWord   = 3
)

// ngram is a word n-gram model with back-off (Katz 1987). Its states are
// integers: a state below words is the one word that matters as context; those
// that follow are the bigrams, then the trigrams, up to the last order but one.
type ngram struct {
	check      uint32   // CRC-32 of the words' text
	words      int      // with the three that every grammar has
	vocabulary []string // the words from firstWord on; nil where the lexicon has them
	p1, b1     []float32
	layers     []layer
	base       []int32 // the state of each layer's first n-gram
}

// layer is the n-grams of one order from two words up, sorted by context and
// then by word.
type layer struct {
	first  []uint32 // by n-gram of the order below, and one more: where those that it begins begin
	word   []uint32
	p      levels
	back   levels  // none in the highest order
	suffix []int32 // the state of what is left without the first word; none in the highest order
}

// levels are natural logarithms: as they are, or as one of 256.
type levels struct {
	exact []float32
	code  []uint8
	level []float32
}

func (l *levels) at(i uint32) float32 {
	if l.exact != nil {
		return l.exact[i]
	}
	return l.level[l.code[i]]
}

const ngramMagic = "EARLM\x00\x00\x01"

// readNgram reads a compiled grammar: of three words, as
// models/train/asr/ngram.py describes and writes it, or as CompileARPA does.
func readNgram(b []byte) (*ngram, error) {
	read, magic := readTrigrams, ngramMagic
	if len(b) >= len(grammarMagic) && string(b[:len(grammarMagic)]) == grammarMagic {
		read, magic = readGrammar, grammarMagic
	}
	r, err := newReader(b, magic)
	if err == nil {
		var g *ngram
		if g, err = read(r); err == nil {
			if err = g.link(); err == nil {
				return g, nil
			}
		}
	}
	return nil, fmt.Errorf("asr: read the n-gram model: %w", err)
}

func readTrigrams(r *reader) (*ngram, error) {
	g := &ngram{check: r.uint32()}
	words, bigrams, trigrams := r.count(), r.count(), r.count()
	g.words = words
	if words < firstWord || words > math.MaxUint16+1 {
		return nil, fmt.Errorf("%d words, want %d to %d", words, firstWord, math.MaxUint16+1)
	}
	two, three := layer{}, layer{}
	two.p.level, two.back.level, three.p.level = r.float32s(256), r.float32s(256), r.float32s(256)
	g.p1, g.b1 = r.float32s(words), r.float32s(words)
	two.first = offsets(r.uint32s(words))
	two.word, two.p.code, two.back.code = widened(r.uint16s(bigrams)), r.bytes(bigrams), r.bytes(bigrams)
	three.first = offsets(widened(r.uint16s(bigrams)))
	three.word, three.p.code = widened(r.uint16s(trigrams)), r.bytes(trigrams)
	g.layers = []layer{two, three}
	return g, r.end()
}

func widened(list []uint16) []uint32 {
	out := make([]uint32, len(list))
	for i, v := range list {
		out[i] = uint32(v)
	}
	return out
}

// offsets turns how many successors each context has into where they begin.
// A sum that does not fit stays in range, and link finds it.
func offsets(counts []uint32) []uint32 {
	out := make([]uint32, len(counts)+1)
	var sum uint64
	for i, n := range counts {
		sum = min(sum+uint64(n), math.MaxUint32)
		out[i+1] = uint32(sum)
	}
	return out
}

// link checks what was read, so that every search is safe, numbers the states
// and finds what each leads to when it has no successor.
func (g *ngram) link() error {
	contexts := g.words
	states := int64(g.words)
	g.base = nil
	for k := range g.layers {
		l := &g.layers[k]
		if err := l.checkSuccessors(k+2, contexts, g.words); err != nil {
			return err
		}
		contexts = len(l.word)
		if k+1 < len(g.layers) {
			g.base = append(g.base, int32(states))
			if states += int64(contexts); states > math.MaxInt32 {
				return fmt.Errorf("more than %d n-grams below the highest order", math.MaxInt32)
			}
		}
	}
	finite := [][]float32{g.p1, g.b1}
	for _, l := range g.layers {
		finite = append(finite, l.p.exact, l.p.level, l.back.exact, l.back.level)
	}
	for _, list := range finite {
		for _, v := range list {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("%v is no log-probability", v)
			}
		}
	}
	for k := range g.base {
		l := &g.layers[k]
		l.suffix = make([]int32, len(l.word))
		for context := range len(l.first) - 1 {
			for i := l.first[context]; i < l.first[context+1]; i++ {
				if l.suffix[i] = int32(l.word[i]); k > 0 {
					l.suffix[i] = g.follow(g.layers[k-1].suffix[context], int32(l.word[i]))
				}
			}
		}
	}
	return nil
}

// checkSuccessors makes sure that binary search over the successors is safe.
func (l *layer) checkSuccessors(order, contexts, words int) error {
	n := len(l.word)
	if len(l.first) != contexts+1 || uint64(l.first[contexts]) != uint64(n) {
		return fmt.Errorf("%d-grams: %d are there, another number is counted", order, n)
	}
	for i := range contexts {
		list := l.word[l.first[i]:l.first[i+1]]
		for k, w := range list {
			if int(w) >= words || k > 0 && list[k-1] >= w {
				return fmt.Errorf("%d-grams of context %d: word %d is out of order or out of range", order, i, w)
			}
		}
	}
	return nil
}

// successor returns which n-gram continues context i with w, or -1.
func (l *layer) successor(i uint32, w uint32) int64 {
	low, high := l.first[i], l.first[i+1]
	end := high
	for low < high {
		middle := low + (high-low)/2
		if l.word[middle] < w {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < end && l.word[low] == w {
		return int64(low)
	}
	return -1
}

// states is how many states there are.
func (g *ngram) states() int {
	if len(g.base) == 0 {
		return g.words
	}
	return int(g.base[len(g.base)-1]) + len(g.layers[len(g.base)-1].word)
}

// place is the layer whose contexts a state is among (0: the words), and which
// of them it is.
func (g *ngram) place(state int32) (k int, i uint32) {
	for k = len(g.base); k > 0; k-- {
		if state >= g.base[k-1] {
			return k, uint32(state - g.base[k-1])
		}
	}
	return 0, uint32(state)
}

// follow is the longest n-gram that ends with word after state, or after what
// is left of state.
func (g *ngram) follow(state, word int32) int32 {
	for {
		k, i := g.place(state)
		if k < len(g.base) {
			if n := g.layers[k].successor(i, uint32(word)); n >= 0 {
				return g.base[k] + int32(n)
			}
		}
		if k == 0 {
			return word
		}
		state = g.layers[k-1].suffix[i]
	}
}

// settle is what of a state can matter: an n-gram that nothing follows and
// that backs off for nothing says no more than what is left of it.
func (g *ngram) settle(state int32) int32 {
	for {
		k, i := g.place(state)
		if k == 0 {
			return state
		}
		l, next := &g.layers[k-1], &g.layers[k]
		if next.first[i] < next.first[i+1] || l.back.at(i) != 0 {
			return state
		}
		state = l.suffix[i]
	}
}

// score gives the natural log-probability of word after state, and the state
// that follows.
func (g *ngram) score(state, word int32) (logp float32, next int32) {
	var back float32
	for {
		k, i := g.place(state)
		if k < len(g.layers) {
			if n := g.layers[k].successor(i, uint32(word)); n >= 0 {
				logp = back + g.layers[k].p.at(uint32(n))
				switch {
				case k < len(g.base):
					next = g.base[k] + int32(n)
				case k == 0:
					next = word
				default:
					next = g.follow(g.layers[k-1].suffix[i], word)
				}
				return logp, g.settle(next)
			}
		}
		if k == 0 {
			return back + g.b1[i] + g.p1[word], word
		}
		back += g.layers[k-1].back.at(i)
		state = g.layers[k-1].suffix[i]
	}
}
