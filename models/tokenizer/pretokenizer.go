package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// preTokenizer cuts a text into the pieces that the model sees one by one.
type preTokenizer interface {
	split(pieces []piece) []piece
}

func readPreTokenizer(b json.RawMessage, path string) (preTokenizer, error) {
	if absent(b) {
		return nil, nil
	}
	name, err := kind(b, path)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Sequence":
		c, err := component[struct {
			Inner []json.RawMessage `json:"pretokenizers"`
		}](b, path)
		var all chain
		for i, inner := range c.Inner {
			p, err := readPreTokenizer(inner, fmt.Sprintf("%s.pretokenizers[%d]", path, i))
			if err != nil {
				return nil, err
			}
			if p != nil {
				all = append(all, p)
			}
		}
		return all, err
	case "BertPreTokenizer":
		return chain{cutter{each(isSpace), removed}, cutter{each(isPunctuation), isolated}}, nil
	case "Whitespace":
		return cutter{inverse{words{}}, removed}, nil
	case "WhitespaceSplit":
		return cutter{each(isSpace), removed}, nil
	case "ByteLevel":
		c, err := component[byteLevel](b, path)
		return &c, err
	case "Metaspace":
		c, err := readMetaspace(b, path)
		return c, err
	case "Punctuation":
		c, err := component[struct {
			Behavior behavior `json:"behavior"`
		}](b, path)
		return cutter{each(isPunctuation), c.Behavior}, err
	case "Digits":
		c, err := component[struct {
			Individual bool `json:"individual_digits"`
		}](b, path)
		if c.Individual {
			return cutter{each(unicode.IsNumber), isolated}, err
		}
		return cutter{each(unicode.IsNumber), contiguous}, err
	case "UnicodeScripts":
		return scripts{}, nil
	case "CharDelimiterSplit":
		c, err := component[struct {
			Delimiter character `json:"delimiter"`
		}](b, path)
		return cutter{each(func(r rune) bool { return r == rune(c.Delimiter) }), removed}, err
	case "Split":
		c, err := component[struct {
			Pattern  json.RawMessage `json:"pattern"`
			Behavior behavior        `json:"behavior"`
			Invert   bool            `json:"invert"`
		}](b, path)
		if err != nil {
			return nil, err
		}
		p, err := readPattern(c.Pattern, path+".pattern")
		if err != nil {
			return nil, err
		}
		if c.Invert {
			p = inverse{p}
		}
		return cutter{p, c.Behavior}, nil
	}
	return nil, unknown(path, "pre-tokenizer", name, "Sequence", "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel",
		"Metaspace", "Punctuation", "Digits", "UnicodeScripts", "CharDelimiterSplit", "Split")
}

type chain []preTokenizer

func (c chain) split(pieces []piece) []piece {
	for _, p := range c {
		pieces = p.split(pieces)
	}
	return pieces
}

// inverse matches what its pattern does not.
type inverse struct{ pattern }

func (i inverse) stretches(s string) []stretch {
	all := i.pattern.stretches(s)
	for k := range all {
		all[k].match = !all[k].match
	}
	return all
}

// behavior is what becomes of the matches of a pattern that cuts.
type behavior int

const (
	isolated behavior = iota
	removed
	contiguous
	mergedWithPrevious
	mergedWithNext
)

func (b *behavior) UnmarshalJSON(j []byte) error {
	names := []string{"Isolated", "Removed", "Contiguous", "MergedWithPrevious", "MergedWithNext"}
	var name string
	if err := json.Unmarshal(j, &name); err != nil {
		return err
	}
	i := slices.Index(names, name)
	if i < 0 {
		return fmt.Errorf("behavior: %q (has %s)", name, strings.Join(names, ", "))
	}
	*b = behavior(i)
	return nil
}

// cutter cuts at the matches of a pattern.
type cutter struct {
	pattern  pattern
	behavior behavior
}

func (c cutter) split(pieces []piece) []piece {
	found := make([]piece, 0, 2*len(pieces))
	for _, p := range pieces {
		for _, st := range c.behavior.arrange(c.pattern.stretches(p.text)) {
			if st.from < st.to {
				found = append(found, piece{text: p.text[st.from:st.to], start: p.start && st.from == 0})
			}
		}
	}
	return found
}

func (b behavior) arrange(all []stretch) []stretch {
	kept := all[:0]
	before := false // whether the stretch before was a match
	switch b {
	case removed:
		return slices.DeleteFunc(all, func(s stretch) bool { return s.match })
	case contiguous, mergedWithPrevious:
		for _, s := range all {
			join := s.match == before
			if b == mergedWithPrevious {
				join = s.match && !before
			}
			before = s.match
			if join && len(kept) > 0 {
				kept[len(kept)-1].to = s.to
			} else {
				kept = append(kept, s)
			}
		}
		return kept
	case mergedWithNext:
		slices.Reverse(all)
		for _, s := range all {
			join := s.match && !before
			before = s.match
			if join && len(kept) > 0 {
				kept[len(kept)-1].from = s.from
			} else {
				kept = append(kept, s)
			}
		}
		slices.Reverse(kept)
		return kept
	}
	return all
}

// byteLevel spells every byte as a character that can be seen.
type byteLevel struct {
	AddPrefixSpace bool  `json:"add_prefix_space"`
	TrimOffsets    bool  `json:"trim_offsets"` // offsets are not given here
	UseRegex       *bool `json:"use_regex"`    // absent: true
}

func (c *byteLevel) split(pieces []piece) []piece {
	found := make([]piece, 0, 2*len(pieces))
	for _, p := range pieces {
		if c.AddPrefixSpace && !strings.HasPrefix(p.text, " ") {
			p.text = " " + p.text
		}
		if c.UseRegex != nil && !*c.UseRegex {
			found = append(found, piece{text: spellBytes(p.text), start: p.start})
			continue
		}
		for at := 0; at < len(p.text); {
			to := at + gpt2Match(p.text[at:])
			found = append(found, piece{text: spellBytes(p.text[at:to]), start: p.start && at == 0})
			at = to
		}
	}
	return found
}

// metaspace spells spaces as ▁.
type metaspace struct {
	replacement string
	prepend     string // "always", "first", "never"
	cut         bool
}

func readMetaspace(b json.RawMessage, path string) (*metaspace, error) {
	c, err := component[struct {
		Replacement    character `json:"replacement"`
		AddPrefixSpace *bool     `json:"add_prefix_space"` // of older files
		StrRep         string    `json:"str_rep"`
		PrependScheme  string    `json:"prepend_scheme"`
		Split          *bool     `json:"split"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	m := &metaspace{string(rune(c.Replacement)), c.PrependScheme, c.Split == nil || *c.Split}
	switch {
	case c.AddPrefixSpace != nil && !*c.AddPrefixSpace:
		m.prepend = "never"
	case m.prepend == "":
		m.prepend = "always"
	}
	if !slices.Contains([]string{"always", "first", "never"}, m.prepend) {
		return nil, fmt.Errorf("tokenizer: %s.prepend_scheme: %q (has always, first, never)", path, m.prepend)
	}
	return m, nil
}

func (m *metaspace) split(pieces []piece) []piece {
	found := make([]piece, 0, len(pieces))
	for _, p := range pieces {
		p.text = strings.ReplaceAll(p.text, " ", m.replacement)
		if !strings.HasPrefix(p.text, m.replacement) && (m.prepend == "always" || m.prepend == "first" && p.start) {
			p.text = m.replacement + p.text
		}
		found = append(found, p)
	}
	if !m.cut {
		return found
	}
	return cutter{literal(m.replacement), mergedWithNext}.split(found)
}

// character is a string of one character.
type character rune

func (c *character) UnmarshalJSON(j []byte) error {
	var s string
	if err := json.Unmarshal(j, &s); err != nil {
		return err
	}
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || n != len(s) {
		return fmt.Errorf("%q: want one character", s)
	}
	*c = character(r)
	return nil
}
