package tokenizer

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// bpe begins with characters and merges neighbours, the pair that stands
// first in the list of merges first (Sennrich et al. 2016).
type bpe struct {
	vocabulary
	merges       map[[2]int]merge
	prefix       string // of what continues a word
	suffix       string // of what ends one
	unknown      int    // -1: characters that are not known are left out
	fuse         bool   // neighbouring unknown characters are one token
	byteFallback bool
	whole        bool // a piece that is a token is not taken apart (ignore_merges)

	mu    sync.RWMutex
	cache map[string][]int
}

// merge makes a token of a pair.
type merge struct{ rank, id int }

// Pieces of up to cachedBytes are remembered, cachedPieces of them: most of a
// text are words seen before.
const (
	cachedPieces = 10_000
	cachedBytes  = 64
)

func readBPE(b json.RawMessage, path string) (model, error) {
	c, err := component[struct {
		Dropout      *float64       `json:"dropout"`
		UnkToken     *string        `json:"unk_token"`
		Prefix       string         `json:"continuing_subword_prefix"`
		Suffix       string         `json:"end_of_word_suffix"`
		Fuse         bool           `json:"fuse_unk"`
		ByteFallback bool           `json:"byte_fallback"`
		Whole        bool           `json:"ignore_merges"`
		Vocab        map[string]int `json:"vocab"`
		Merges       []pair         `json:"merges"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	if c.Dropout != nil && *c.Dropout != 0 {
		return nil, fmt.Errorf("tokenizer: %s.dropout: %g: merges would be left out by chance, which is for training: set it to null", path, *c.Dropout)
	}
	m := &bpe{
		merges: make(map[[2]int]merge, len(c.Merges)), prefix: c.Prefix, suffix: c.Suffix, unknown: -1,
		fuse: c.Fuse, byteFallback: c.ByteFallback, whole: c.Whole, cache: map[string][]int{},
	}
	if m.vocabulary, err = newVocabulary(c.Vocab, path+".vocab"); err != nil {
		return nil, err
	}
	if c.UnkToken != nil {
		id, err := m.needed(*c.UnkToken, path+".unk_token")
		switch {
		case err == nil:
			m.unknown = id
		case !m.spellsEveryByte():
			return nil, err
		}
	}
	for rank, p := range c.Merges {
		at := fmt.Sprintf("%s.merges[%d]", path, rank)
		a, err := m.needed(p[0], at)
		if err != nil {
			return nil, err
		}
		b, err := m.needed(p[1], at)
		if err != nil {
			return nil, err
		}
		if len(p[1]) < len(m.prefix) {
			return nil, fmt.Errorf("tokenizer: %s: %q is shorter than continuing_subword_prefix %q", at, p[1], m.prefix)
		}
		id, err := m.needed(p[0]+p[1][len(m.prefix):], at)
		if err != nil {
			return nil, err
		}
		m.merges[[2]int{a, b}] = merge{rank, id}
	}
	return m, nil
}

// spellsEveryByte tells whether the vocabulary has all characters that stand
// for bytes. Then no text has anything unknown, and files name as unk_token
// what they have among the added tokens alone.
func (m *bpe) spellsEveryByte() bool {
	return !slices.ContainsFunc(byteRunes[:], func(r rune) bool {
		_, ok := m.ids[string(r)]
		return !ok
	})
}

// pair is "a b" or ["a", "b"].
type pair [2]string

func (p *pair) UnmarshalJSON(j []byte) error {
	var both []string
	if json.Unmarshal(j, &both) != nil {
		var line string
		if err := json.Unmarshal(j, &line); err != nil {
			return err
		}
		both = strings.Split(line, " ")
	}
	if len(both) != 2 {
		return fmt.Errorf("merges: %q: want two tokens", both)
	}
	*p = pair(both)
	return nil
}

func (m *bpe) tokens(ids []int, piece string) []int {
	if m.whole {
		if id, ok := m.ids[piece]; ok {
			return append(ids, id)
		}
	}
	if len(piece) > cachedBytes {
		return append(ids, m.merged(m.characters(piece))...)
	}
	m.mu.RLock()
	found, ok := m.cache[piece]
	m.mu.RUnlock()
	if !ok {
		found = m.merged(m.characters(piece))
		m.mu.Lock()
		if len(m.cache) < cachedPieces {
			m.cache[strings.Clone(piece)] = found
		}
		m.mu.Unlock()
	}
	return append(ids, found...)
}

// characters are the tokens that merging starts from.
func (m *bpe) characters(piece string) []int {
	ids := make([]int, 0, len(piece))
	pending := false // an unknown token waits to be joined by more
	flush := func() {
		if pending {
			ids = append(ids, m.unknown)
			pending = false
		}
	}
	for i, r := range piece {
		end := i + utf8.RuneLen(r)
		token := piece[i:end]
		if i > 0 && m.prefix != "" {
			token = m.prefix + token
		}
		if end == len(piece) && m.suffix != "" {
			token += m.suffix
		}
		if id, ok := m.ids[token]; ok {
			flush()
			ids = append(ids, id)
			continue
		}
		if m.byteFallback {
			if spelled, ok := m.spelled(ids, token); ok {
				ids = spelled
				continue
			}
		}
		if m.unknown < 0 {
			continue
		}
		if !m.fuse {
			flush()
		}
		pending = true
	}
	flush()
	return ids
}

// symbol is a token in the course of merging; they are a list by index.
type symbol struct{ id, before, after int }

// candidate is a pair that could be merged, if it is still there.
type candidate struct {
	merge
	at   int
	pair [2]int
}

type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	return c[i].rank < c[j].rank || c[i].rank == c[j].rank && c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// merged applies the merges: always the first in the list, and of equal ones
// the leftmost.
func (m *bpe) merged(ids []int) []int {
	symbols := make([]symbol, len(ids))
	for i, id := range ids {
		symbols[i] = symbol{id, i - 1, i + 1}
	}
	var open candidates
	at := func(i int) (candidate, bool) {
		if i < 0 || symbols[i].after >= len(symbols) {
			return candidate{}, false
		}
		pair := [2]int{symbols[i].id, symbols[symbols[i].after].id}
		found, ok := m.merges[pair]
		return candidate{found, i, pair}, ok
	}
	for i := range symbols {
		if c, ok := at(i); ok {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return ids
	}
	heap.Init(&open)
	for len(open) > 0 {
		c := heap.Pop(&open).(candidate)
		if now, ok := at(c.at); !ok || now.pair != c.pair {
			continue
		}
		gone := symbols[c.at].after
		symbols[c.at].id = c.id
		symbols[c.at].after = symbols[gone].after
		symbols[gone].id = -1
		if next := symbols[c.at].after; next < len(symbols) {
			symbols[next].before = c.at
		}
		for _, i := range []int{symbols[c.at].before, c.at} {
			if c, ok := at(i); ok {
				heap.Push(&open, c)
			}
		}
	}
	ids = ids[:0]
	for i := 0; i < len(symbols); i = symbols[i].after {
		ids = append(ids, symbols[i].id)
	}
	return ids
}
