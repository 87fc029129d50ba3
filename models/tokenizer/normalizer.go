package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text, step by step.
type normalizer []func(string) string

func (n normalizer) apply(s string) string {
	for _, step := range n {
		s = step(s)
	}
	return s
}

// piece rewrites a piece. Where its first character is dropped, what is left
// does not begin where the text does: the library goes by the places of the
// text as it was given.
func (n normalizer) piece(p *piece) {
	before := p.text
	p.text = n.apply(before)
	first, size := utf8.DecodeRuneInString(before)
	if now, _ := utf8.DecodeRuneInString(p.text); p.start && now != first {
		p.start = n.apply(before[size:]) != p.text
	}
}

func one(step func(string) string) (normalizer, error) { return normalizer{step}, nil }

func readNormalizer(b json.RawMessage, path string) (normalizer, error) {
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
			Normalizers []json.RawMessage `json:"normalizers"`
		}](b, path)
		var all normalizer
		for i, inner := range c.Normalizers {
			n, err := readNormalizer(inner, fmt.Sprintf("%s.normalizers[%d]", path, i))
			if err != nil {
				return nil, err
			}
			all = append(all, n...)
		}
		return all, err
	case "BertNormalizer":
		c, err := component[bert](b, path)
		if err != nil {
			return nil, err
		}
		return one(c.apply)
	case "NFC":
		return one(func(s string) string { return form(norm.NFC, s) })
	case "NFD":
		return one(func(s string) string { return form(norm.NFD, s) })
	case "NFKC":
		return one(func(s string) string { return form(norm.NFKC, s) })
	case "NFKD":
		return one(func(s string) string { return form(norm.NFKD, s) })
	case "Lowercase":
		return one(lower)
	case "StripAccents":
		return one(func(s string) string { return without(s, isMark) })
	case "Nmt":
		return one(func(s string) string { return strings.Map(nmt, s) })
	case "ByteLevel":
		return one(spellBytes)
	case "Strip":
		c, err := component[struct {
			Left  bool `json:"strip_left"`
			Right bool `json:"strip_right"`
		}](b, path)
		if err != nil {
			return nil, err
		}
		return one(func(s string) string {
			if c.Left {
				s = strings.TrimLeftFunc(s, isSpace)
			}
			if c.Right {
				s = strings.TrimRightFunc(s, isSpace)
			}
			return s
		})
	case "Replace":
		replace, err := readReplace(b, path)
		if err != nil {
			return nil, err
		}
		return one(replace)
	case "Prepend":
		c, err := component[struct {
			Prepend string `json:"prepend"`
		}](b, path)
		if err != nil {
			return nil, err
		}
		return one(func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		})
	case "Precompiled":
		c, err := component[struct {
			Charsmap []byte `json:"precompiled_charsmap"`
		}](b, path)
		if err != nil {
			return nil, err
		}
		m, err := readCharsmap(c.Charsmap)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %s.precompiled_charsmap: %w", path, err)
		}
		return one(m.apply)
	}
	return nil, unknown(path, "normalizer", name, "Sequence", "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase",
		"StripAccents", "Strip", "Replace", "Prepend", "Precompiled", "Nmt", "ByteLevel")
}

// bert is the normaliser of BERT (google-research/bert, tokenization.py,
// BasicTokenizer).
type bert struct {
	CleanText          bool  `json:"clean_text"`
	HandleChineseChars bool  `json:"handle_chinese_chars"`
	StripAccents       *bool `json:"strip_accents"` // nil: as Lowercase
	Lowercase          bool  `json:"lowercase"`
}

func (c *bert) apply(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	ascii := true
	for _, r := range s {
		if c.CleanText {
			if r == 0 || r == utf8.RuneError || isControl(r) {
				continue
			}
			if isSpace(r) {
				r = ' '
			}
		}
		if r < utf8.RuneSelf {
			if c.Lowercase && 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			b.WriteByte(byte(r))
			continue
		}
		ascii = false
		if c.HandleChineseChars && isIdeograph(r) {
			b.WriteByte(' ')
			b.WriteRune(r)
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(r)
	}
	s = b.String()
	if ascii {
		return s
	}
	if c.StripAccents == nil && c.Lowercase || c.StripAccents != nil && *c.StripAccents {
		s = without(form(norm.NFD, s), isNonspacing)
	}
	if c.Lowercase {
		s = lower(s)
	}
	return s
}

// lower lowers each character by itself: no final sigma, and İ becomes two
// (Unicode's SpecialCasing, the one unconditional case).
func lower(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == 'İ' {
			return r
		}
		return unicode.ToLower(r)
	}, s)
	return strings.ReplaceAll(s, "İ", "i\u0307")
}

func without(s string, drop func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if drop(r) {
			return -1
		}
		return r
	}, s)
}

// nmt drops controls and makes spaces of the rest of what is not seen
// (sentencepiece's nmt_nfkc).
func nmt(r rune) rune {
	switch {
	case 0x01 <= r && r <= 0x08, r == 0x0B, 0x0E <= r && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return -1
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, 0x200B <= r && r <= 0x200F,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return ' '
	}
	return r
}
