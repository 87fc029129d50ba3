package tokenizer

import (
	"encoding/json"
	"fmt"
)

// vocabulary is the tokens of a model, by name and by id.
type vocabulary struct {
	ids   map[string]int
	names []string
	bytes [256]int // the ids of <0x00> to <0xFF>, -1 where there is none
}

func newVocabulary(ids map[string]int, path string) (vocabulary, error) {
	v := vocabulary{ids: ids}
	most := -1
	for token, id := range ids {
		if id < 0 || id >= maxVocabulary {
			return v, fmt.Errorf("tokenizer: %s: id %d of %q: want 0 to %d", path, id, token, maxVocabulary-1)
		}
		most = max(most, id)
	}
	if most >= 4*len(ids)+1024 {
		return v, fmt.Errorf("tokenizer: %s: %d tokens with ids up to %d", path, len(ids), most)
	}
	v.names = make([]string, most+1)
	for token, id := range ids {
		v.names[id] = token
	}
	for b := range v.bytes {
		v.bytes[b] = -1
		if id, ok := ids[fmt.Sprintf("<0x%02X>", b)]; ok {
			v.bytes[b] = id
		}
	}
	return v, nil
}

func (v *vocabulary) id(token string) (int, bool) {
	id, ok := v.ids[token]
	return id, ok
}

func (v *vocabulary) token(id int) (string, bool) {
	if id < 0 || id >= len(v.names) {
		return "", false
	}
	name := v.names[id]
	at, ok := v.ids[name]
	return name, ok && at == id
}

func (v *vocabulary) size() int { return len(v.ids) }

// spelled appends the byte tokens of a text; false where one is missing.
func (v *vocabulary) spelled(ids []int, s string) ([]int, bool) {
	n := len(ids)
	for i := range len(s) {
		id := v.bytes[s[i]]
		if id < 0 {
			return ids[:n], false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// needed is the id of a token that the model cannot do without.
func (v *vocabulary) needed(token, path string) (int, error) {
	id, ok := v.ids[token]
	if !ok {
		return 0, fmt.Errorf("tokenizer: %s: %q is not in the vocabulary", path, token)
	}
	return id, nil
}

func readModel(b json.RawMessage, path string) (model, error) {
	if absent(b) {
		return nil, fmt.Errorf("tokenizer: %s: it is missing", path)
	}
	name, err := kind(b, path)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = guess(b)
	}
	switch name {
	case "WordPiece":
		return readWordPiece(b, path)
	case "BPE":
		return readBPE(b, path)
	case "Unigram":
		return readUnigram(b, path)
	case "WordLevel":
		return readWordLevel(b, path)
	}
	return nil, unknown(path, "model", name, "WordPiece", "BPE", "Unigram", "WordLevel")
}

// guess is the type of a model whose file, as the library's first versions
// wrote it, does not say it.
func guess(b json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil {
		return ""
	}
	switch {
	case fields["merges"] != nil:
		return "BPE"
	case fields["unk_id"] != nil:
		return "Unigram"
	case fields["max_input_chars_per_word"] != nil:
		return "WordPiece"
	case fields["vocab"] != nil:
		return "WordLevel"
	}
	return ""
}

// wordLevel knows whole pieces only.
type wordLevel struct {
	vocabulary
	unknown int
}

func readWordLevel(b json.RawMessage, path string) (model, error) {
	c, err := component[struct {
		Vocab    map[string]int `json:"vocab"`
		UnkToken string         `json:"unk_token"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	m := &wordLevel{}
	if m.vocabulary, err = newVocabulary(c.Vocab, path+".vocab"); err != nil {
		return nil, err
	}
	m.unknown, err = m.needed(c.UnkToken, path+".unk_token")
	return m, err
}

func (m *wordLevel) tokens(ids []int, piece string) []int {
	if id, ok := m.ids[piece]; ok {
		return append(ids, id)
	}
	return append(ids, m.unknown)
}
