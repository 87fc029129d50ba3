package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// stretch is a part of a text that a pattern matches, or that lies between
// matches.
type stretch struct {
	from, to int // bytes
	match    bool
}

// pattern cuts a text into stretches, which together are the text.
type pattern interface {
	stretches(s string) []stretch
}

// readPattern reads {"String": …} or {"Regex": …}.
func readPattern(b json.RawMessage, path string) (pattern, error) {
	var c struct {
		String *string
		Regex  *string
	}
	err := strict(b, &c)
	if err == nil && (c.String == nil) == (c.Regex == nil) {
		err = errors.New("want either String or Regex")
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", path, err)
	}
	if c.String != nil {
		return literal(*c.String), nil
	}
	if *c.Regex == gpt2Pattern {
		return gpt2{}, nil
	}
	source, err := translated(*c.Regex)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s.Regex: %q: %w", path, *c.Regex, err)
	}
	// To Oniguruma, ^ and $ are the ends of lines, always.
	re, err := regexp2.Compile(source, regexp2.Multiline)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s.Regex: %w", path, err)
	}
	return expression{re}, nil
}

func readReplace(b json.RawMessage, path string) (func(string) string, error) {
	c, err := component[struct {
		Pattern json.RawMessage `json:"pattern"`
		Content string          `json:"content"`
	}](b, path)
	if err != nil {
		return nil, err
	}
	p, err := readPattern(c.Pattern, path+".pattern")
	if err != nil {
		return nil, err
	}
	return func(s string) string {
		var out strings.Builder
		for _, st := range p.stretches(s) {
			if st.match {
				out.WriteString(c.Content)
			} else {
				out.WriteString(s[st.from:st.to])
			}
		}
		return out.String()
	}, nil
}

// cover fills the gaps between matches.
type cover struct {
	all []stretch
	at  int
}

func (c *cover) match(from, to int) {
	if c.at < from {
		c.all = append(c.all, stretch{c.at, from, false})
	}
	c.all = append(c.all, stretch{from, to, true})
	c.at = to
}

func (c *cover) end(length int) []stretch {
	if c.at < length {
		c.all = append(c.all, stretch{c.at, length, false})
	}
	return c.all
}

type literal string

func (l literal) stretches(s string) []stretch {
	var c cover
	for at := 0; l != ""; {
		i := strings.Index(s[at:], string(l))
		if i < 0 {
			break
		}
		c.match(at+i, at+i+len(l))
		at += i + len(l)
	}
	return c.end(len(s))
}

// each matches every character of a class by itself.
type each func(rune) bool

func (e each) stretches(s string) []stretch {
	var c cover
	for i, r := range s {
		if e(r) {
			c.match(i, i+utf8.RuneLen(r))
		}
	}
	return c.end(len(s))
}

type expression struct{ re *regexp2.Regexp }

func (e expression) stretches(s string) []stretch {
	var c cover
	runes := []rune(s)
	bytes := make([]int, len(runes)+1)
	for i, r := range runes {
		bytes[i+1] = bytes[i] + utf8.RuneLen(r)
	}
	// Without a MatchTimeout a match cannot fail.
	for m, err := e.re.FindRunesMatch(runes); m != nil && err == nil; m, err = e.re.FindNextMatch(m) {
		// The library takes no empty match right behind another.
		if from := bytes[m.Index]; m.Length > 0 || len(c.all) == 0 || from > c.at {
			c.match(from, bytes[m.Index+m.Length])
		}
	}
	return c.end(len(s))
}

// words matches \w+|[^\w\s]+.
type words struct{}

func (words) stretches(s string) []stretch {
	var c cover
	class := func(r rune) int {
		switch {
		case isWord(r):
			return 1
		case isSpace(r):
			return 0
		}
		return 2
	}
	from, current := 0, 0
	for i, r := range s {
		if k := class(r); k != current {
			if current != 0 {
				c.match(from, i)
			}
			from, current = i, k
		}
	}
	if current != 0 {
		c.match(from, len(s))
	}
	return c.end(len(s))
}

// gpt2Pattern is the expression that GPT-2 (openai/gpt-2, src/encoder.py) and
// all after it that are ByteLevel cut texts by.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// gpt2 is gpt2Pattern, by hand: it is run on every text of such a model.
type gpt2 struct{}

func (gpt2) stretches(s string) []stretch {
	var c cover
	for at := 0; at < len(s); {
		to := at + gpt2Match(s[at:])
		c.match(at, to)
		at = to
	}
	return c.end(len(s))
}

const (
	space = iota
	letter
	number
	other
)

func gpt2Class(r rune) int {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case isSpace(r):
		return space
	}
	return other
}

// gpt2Match is the length of the match at the start of s, which is not empty.
func gpt2Match(s string) int {
	if s[0] == '\'' {
		for _, end := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
			if strings.HasPrefix(s, end) {
				return len(end)
			}
		}
	}
	from := 0
	if s[0] == ' ' {
		from = 1
	}
	if from < len(s) {
		first, _ := utf8.DecodeRuneInString(s[from:])
		if class := gpt2Class(first); class != space {
			for i, r := range s[from:] {
				if gpt2Class(r) != class {
					return from + i
				}
			}
			return len(s)
		}
	}
	// White space: all of it at the end, else all but its last character,
	// which belongs to what follows; a lone one stands by itself.
	last := 0
	for i, r := range s {
		if !isSpace(r) {
			if last > 0 {
				return last
			}
			return i
		}
		last = i
	}
	return len(s)
}
