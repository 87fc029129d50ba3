package tokenizer

import (
	"encoding/json"
	"unicode/utf8"
)

// wordPiece takes the longest token that a word begins with, and so on to its
// end; a word that cannot be finished is unknown as a whole (google-research/
// bert, tokenization.py, WordpieceTokenizer).
type wordPiece struct {
	vocabulary
	unknown int
	longest int // characters of a word that is looked at
	begin   int // bytes of the longest token that begins a word
	goOn    int // … that continues one, without prefix
	inside  map[string]int
}

func readWordPiece(b json.RawMessage, path string) (model, error) {
	c, err := component[struct {
		UnkToken string         `json:"unk_token"`
		Prefix   string         `json:"continuing_subword_prefix"`
		Longest  int            `json:"max_input_chars_per_word"`
		Vocab    map[string]int `json:"vocab"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	m := &wordPiece{longest: c.Longest, inside: map[string]int{}}
	if m.vocabulary, err = newVocabulary(c.Vocab, path+".vocab"); err != nil {
		return nil, err
	}
	if m.unknown, err = m.needed(c.UnkToken, path+".unk_token"); err != nil {
		return nil, err
	}
	for token, id := range m.ids {
		m.begin = max(m.begin, len(token))
		if len(token) >= len(c.Prefix) && token[:len(c.Prefix)] == c.Prefix {
			rest := token[len(c.Prefix):]
			m.inside[rest] = id
			m.goOn = max(m.goOn, len(rest))
		}
	}
	return m, nil
}

func (m *wordPiece) tokens(ids []int, word string) []int {
	if utf8.RuneCountInString(word) > m.longest {
		return append(ids, m.unknown)
	}
	n := len(ids)
	table, most := m.ids, m.begin
	for at := 0; at < len(word); {
		end := min(len(word), at+most)
		for {
			if end > at && (end == len(word) || utf8.RuneStart(word[end])) {
				if id, ok := table[word[at:end]]; ok {
					ids = append(ids, id)
					break
				}
			}
			if end--; end <= at {
				return append(ids[:n], m.unknown)
			}
		}
		at = end
		table, most = m.inside, m.goOn
	}
	return ids
}
