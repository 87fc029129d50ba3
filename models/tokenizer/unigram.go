package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// unigram takes the most likely way to cut a piece into tokens, by dynamic
// programming (Kudo 2018; sentencepiece's unigram_model.cc, EncodeOptimized).
type unigram struct {
	vocabulary
	scores       []float64
	unknown      int // -1: an unknown character would be an error of the file
	unknownScore float64
	byteFallback bool
	trie         trie
}

// unknownPenalty is how far below the least likely token an unknown
// character's score lies.
const unknownPenalty = 10

func readUnigram(b json.RawMessage, path string) (model, error) {
	c, err := component[struct {
		UnkID        *int     `json:"unk_id"`
		Vocab        []scored `json:"vocab"`
		ByteFallback bool     `json:"byte_fallback"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	if c.UnkID == nil || *c.UnkID < 0 || *c.UnkID >= len(c.Vocab) {
		return nil, fmt.Errorf("tokenizer: %s.unk_id: want the id of one of the %d tokens", path, len(c.Vocab))
	}
	m := &unigram{unknown: *c.UnkID, byteFallback: c.ByteFallback}
	ids := make(map[string]int, len(c.Vocab))
	least := c.Vocab[0].score
	for id, s := range c.Vocab {
		ids[s.token] = id
		m.scores = append(m.scores, s.score)
		least = min(least, s.score)
	}
	m.unknownScore = least - unknownPenalty
	if m.vocabulary, err = newVocabulary(ids, path+".vocab"); err != nil {
		return nil, err
	}
	m.trie = newTrie(ids)
	return m, nil
}

// scored is [token, log probability].
type scored struct {
	token string
	score float64
}

func (s *scored) UnmarshalJSON(j []byte) error {
	var both []json.RawMessage
	if err := json.Unmarshal(j, &both); err != nil {
		return err
	}
	if len(both) != 2 {
		return errors.New("vocab: want pairs of a token and its score")
	}
	return errors.Join(json.Unmarshal(both[0], &s.token), json.Unmarshal(both[1], &s.score))
}

func (m *unigram) tokens(ids []int, piece string) []int {
	type end struct {
		score    float64
		from, id int
	}
	best := make([]end, len(piece)+1)
	for i := range best {
		best[i].from = -1
	}
	reach := func(to int, e end) {
		if best[to].from < 0 || e.score > best[to].score {
			best[to] = e
		}
	}
	for at := 0; at < len(piece); {
		_, width := utf8.DecodeRuneInString(piece[at:])
		so, single := best[at].score, false
		m.trie.prefixes(piece[at:], func(length, id int) {
			reach(at+length, end{so + m.scores[id], at, id})
			single = single || length == width
		})
		if !single {
			reach(at+width, end{so + m.unknownScore, at, m.unknown})
		}
		at += width
	}
	n := len(ids)
	// From the end to the start; neighbouring unknown characters are one.
	for to := len(piece); to > 0; {
		from, id := best[to].from, best[to].id
		if id == m.unknown {
			for from > 0 && best[from].id == m.unknown {
				from = best[from].from
			}
		}
		first := len(ids)
		ids = m.named(ids, piece[from:to])
		slices.Reverse(ids[first:])
		to = from
	}
	slices.Reverse(ids[n:])
	return ids
}

// named appends the ids of a stretch: its token, else its bytes, else unknown.
func (m *unigram) named(ids []int, s string) []int {
	if id, ok := m.ids[s]; ok {
		return append(ids, id)
	}
	if m.byteFallback {
		if spelled, ok := m.spelled(ids, s); ok {
			return spelled
		}
	}
	return append(ids, m.unknown)
}

// trie finds the tokens that a text begins with. A branch's ways on lie side
// by side, sorted.
type trie struct{ branches []branch }

type branch struct {
	by          byte
	id          int32 // -1: no token ends here
	first, many int32
}

func newTrie(ids map[string]int) trie {
	tokens := make([]string, 0, len(ids))
	for token := range ids {
		if token != "" {
			tokens = append(tokens, token)
		}
	}
	slices.Sort(tokens)
	type span struct{ branch, from, to, depth int }
	t := trie{[]branch{{id: -1}}}
	for queue := []span{{0, 0, len(tokens), 0}}; len(queue) > 0; queue = queue[1:] {
		s := queue[0]
		t.branches[s.branch].first = int32(len(t.branches))
		for i := s.from; i < s.to; {
			if len(tokens[i]) == s.depth {
				t.branches[s.branch].id = int32(ids[tokens[i]])
				i++
				continue
			}
			by, to := tokens[i][s.depth], i+1
			for to < s.to && tokens[to][s.depth] == by {
				to++
			}
			queue = append(queue, span{len(t.branches), i, to, s.depth + 1})
			t.branches = append(t.branches, branch{by: by, id: -1})
			t.branches[s.branch].many++
			i = to
		}
	}
	return t
}

// prefixes calls f for every token that s begins with, shortest first.
func (t trie) prefixes(s string, f func(length, id int)) {
	at := t.branches[0]
	for i := range len(s) {
		ways := t.branches[at.first : at.first+at.many]
		k, ok := slices.BinarySearchFunc(ways, s[i], func(b branch, by byte) int { return int(b.by) - int(by) })
		if !ok {
			return
		}
		if at = ways[k]; at.id >= 0 {
			f(i+1, int(at.id))
		}
	}
}
