package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// template is what stands around one text, and around two.
type template struct{ single, pair sequence }

// sequence is a row of texts and special tokens.
type sequence []part

type part struct {
	text int   // 0 or 1; -1: ids
	ids  []int // of special tokens
	kind int   // their token type
}

func (s sequence) specials() int {
	n := 0
	for _, p := range s {
		n += len(p.ids)
	}
	return n
}

func (s sequence) apply(a, b []int, special bool) (ids, types []int) {
	for _, p := range s {
		from := len(ids)
		switch {
		case p.text == 0:
			ids = append(ids, a...)
		case p.text == 1:
			ids = append(ids, b...)
		case special:
			ids = append(ids, p.ids...)
		}
		for range len(ids) - from {
			types = append(types, p.kind)
		}
	}
	return ids, types
}

var plain = template{sequence{{text: 0}}, sequence{{text: 0}, {text: 1, kind: 1}}}

func readTemplate(b json.RawMessage, path string) (template, error) {
	if absent(b) {
		return plain, nil
	}
	name, err := kind(b, path)
	if err != nil {
		return template{}, err
	}
	switch name {
	case "ByteLevel": // sets offsets, which are not given here
		_, err := component[byteLevel](b, path)
		return plain, err
	case "BertProcessing":
		c, err := component[ends](b, path)
		cls, sep := c.CLS.part(0), c.SEP.part(0)
		return template{
			sequence{cls, {text: 0}, sep},
			sequence{cls, {text: 0}, sep, {text: 1, kind: 1}, c.SEP.part(1)},
		}, err
	case "RobertaProcessing":
		c, err := component[ends](b, path)
		cls, sep := c.CLS.part(0), c.SEP.part(0)
		return template{
			sequence{cls, {text: 0}, sep},
			sequence{cls, {text: 0}, sep, sep, {text: 1}, sep},
		}, err
	case "TemplateProcessing":
		return readTemplateProcessing(b, path)
	case "Sequence":
		c, err := component[struct {
			Processors []json.RawMessage `json:"processors"`
		}](b, path)
		if err != nil {
			return template{}, err
		}
		t, given := plain, false
		for i, inner := range c.Processors {
			at := fmt.Sprintf("%s.processors[%d]", path, i)
			if k, err := kind(inner, at); err == nil && k == "ByteLevel" {
				if _, err := readTemplate(inner, at); err != nil {
					return template{}, err
				}
				continue
			}
			if given {
				return template{}, fmt.Errorf("tokenizer: %s: a second processor that adds tokens; write them as one TemplateProcessing", at)
			}
			if t, err = readTemplate(inner, at); err != nil {
				return template{}, err
			}
			given = true
		}
		return t, nil
	}
	return template{}, unknown(path, "post-processor", name, "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence")
}

// ends are the tokens that BERT and RoBERTa put around texts.
type ends struct {
	SEP            named `json:"sep"`
	CLS            named `json:"cls"`
	TrimOffsets    bool  `json:"trim_offsets"`
	AddPrefixSpace bool  `json:"add_prefix_space"`
}

// named is [token, id].
type named struct {
	token string
	id    int
}

func (n *named) UnmarshalJSON(j []byte) error {
	var both []json.RawMessage
	if err := json.Unmarshal(j, &both); err != nil {
		return err
	}
	if len(both) != 2 {
		return errors.New("want a token and its id")
	}
	return errors.Join(json.Unmarshal(both[0], &n.token), json.Unmarshal(both[1], &n.id))
}

func (n named) part(kind int) part { return part{text: -1, ids: []int{n.id}, kind: kind} }

type templatePart struct {
	SpecialToken *struct {
		ID   string `json:"id"`
		Type int    `json:"type_id"`
	}
	Sequence *struct {
		ID   string `json:"id"`
		Type int    `json:"type_id"`
	}
}

func readTemplateProcessing(b json.RawMessage, path string) (template, error) {
	c, err := component[struct {
		Single  []templatePart `json:"single"`
		Pair    []templatePart `json:"pair"`
		Special map[string]struct {
			ID     string   `json:"id"`
			IDs    []int    `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}](b, path)
	if err != nil {
		return template{}, err
	}
	read := func(parts []templatePart, field string, texts ...string) (sequence, error) {
		var s sequence
		for i, p := range parts {
			at := fmt.Sprintf("%s.%s[%d]", path, field, i)
			switch {
			case p.SpecialToken != nil && p.Sequence == nil:
				token, ok := c.Special[p.SpecialToken.ID]
				if !ok {
					return nil, fmt.Errorf("tokenizer: %s: %q is not in %s.special_tokens", at, p.SpecialToken.ID, path)
				}
				s = append(s, part{text: -1, ids: token.IDs, kind: p.SpecialToken.Type})
			case p.Sequence != nil && p.SpecialToken == nil:
				text := slices.Index(texts, p.Sequence.ID)
				if text < 0 {
					return nil, fmt.Errorf("tokenizer: %s: sequence %q (has %q)", at, p.Sequence.ID, texts)
				}
				s = append(s, part{text: text, kind: p.Sequence.Type})
			default:
				return nil, fmt.Errorf("tokenizer: %s: want either SpecialToken or Sequence", at)
			}
		}
		return s, nil
	}
	single, err := read(c.Single, "single", "A")
	if err != nil {
		return template{}, err
	}
	pair, err := read(c.Pair, "pair", "A", "B")
	return template{single, pair}, err
}

// truncation is how texts are cut that are too long.
type truncation struct {
	Direction string `json:"direction"` // the side that is cut off: "Right" or "Left"
	MaxLength int    `json:"max_length"`
	Strategy  string `json:"strategy"`
	Stride    int    `json:"stride"` // of the overflowing rest, which is not given here
}

func (t *truncation) check() error {
	if t == nil {
		return nil
	}
	if t.MaxLength < 0 || t.Direction != "" && t.Direction != "Right" && t.Direction != "Left" ||
		!slices.Contains([]string{"LongestFirst", "OnlyFirst", "OnlySecond"}, t.Strategy) {
		return fmt.Errorf("tokenizer: truncation: max_length %d, direction %q, strategy %q: want 0 or more, Right or Left, and LongestFirst, OnlyFirst or OnlySecond", t.MaxLength, t.Direction, t.Strategy)
	}
	return nil
}

func (t *truncation) single(ids []int, room int) []int {
	switch {
	case len(ids) <= room || t.Strategy == "OnlySecond":
		return ids
	case t.Direction == "Left":
		return ids[len(ids)-room:]
	}
	return ids[:room]
}

// pair cuts two texts to fit together: from the longer one first, or from one
// of them only (which stays whole where it is too short for that, as the
// library then fails).
func (t *truncation) pair(a, b []int, room int) ([]int, []int) {
	over := len(a) + len(b) - room
	if over <= 0 {
		return a, b
	}
	first := &truncation{Direction: t.Direction}
	switch t.Strategy {
	case "OnlyFirst":
		return first.single(a, max(0, len(a)-over)), b
	case "OnlySecond":
		return a, first.single(b, max(0, len(b)-over))
	}
	short := min(len(a), len(b))
	long := max(short, room-short)
	if short+long > room {
		short = room / 2
		long = short + room%2
	}
	if len(a) > len(b) {
		return first.single(a, long), first.single(b, short)
	}
	return first.single(a, short), first.single(b, long)
}
