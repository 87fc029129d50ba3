package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What the library (tokenizers 0.23.3) makes of texts at the corners: empty
// ones, texts whose start is dropped, lines, empty matches, numbers that are
// letters. The vocabulary has every character, with # before it inside a piece.
func TestCorners(t *testing.T) {
	vocab := map[string]int{}
	for _, c := range "abxyQ²°¼1_.\n\r ▁Ġ¶🅗" {
		vocab[string(c)], vocab["#"+string(c)] = len(vocab), len(vocab)+1
	}
	model, err := json.Marshal(vocab)
	if err != nil {
		t.Fatal(err)
	}
	metaspace := func(prepend string) string {
		return fmt.Sprintf(`{"type": "Metaspace", "replacement": "▁", "prepend_scheme": %q, "split": true}`, prepend)
	}
	replace := func(pattern, content string) string {
		return fmt.Sprintf(`{"type": "Replace", "pattern": {"Regex": %q}, "content": %q}`, pattern, content)
	}
	split := func(pattern string) string {
		return fmt.Sprintf(`{"type": "Split", "pattern": {"Regex": %q}, "behavior": "Isolated", "invert": false}`, pattern)
	}
	const (
		none      = "null"
		strip     = `{"type": "Strip", "strip_left": true, "strip_right": true}`
		byteLevel = `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}`
		clean     = `{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": false, "strip_accents": null, "lowercase": false}`
	)
	for _, c := range []struct{ normalizer, split, text, want string }{
		{none, metaspace("always"), "", ""},
		{none, metaspace("always"), "a", "▁ #a"},
		{none, metaspace("always"), " ", "▁"},
		{none, byteLevel, "", ""},
		{none, byteLevel, "a", "Ġ #a"},
		{`{"type": "Prepend", "prepend": "▁"}`, none, "", ""},
		{`{"type": "Prepend", "prepend": "▁"}`, none, "a", "▁ #a"},
		{replace(`x*`, "Q"), none, "", ""},
		{replace(`x*`, "Q"), none, "xab", "Q #a #Q #b #Q"},
		{replace(`x*`, "Q"), none, "axb", "Q #a #Q #b #Q"},
		{strip, metaspace("always"), " ", ""},
		{strip, metaspace("always"), "  a ", "▁ #a"},
		{strip, metaspace("first"), "a", "▁ #a"},
		{strip, metaspace("first"), " a ", "a"},
		{strip, metaspace("first"), "  a b", "a ▁ #b"},
		{replace(`a`, "b"), metaspace("first"), "ax", "▁ #b #x"},
		{replace(`a`, "b"), metaspace("first"), "a a", "▁ #b ▁ #b"},
		{replace(`a`, "bb"), metaspace("first"), "ax", "▁ #b #b #x"},
		{`{"type": "Prepend", "prepend": "x"}`, metaspace("first"), "a", "▁ #x #a"},
		{`{"type": "Sequence", "normalizers": [` + strip + `, {"type": "Prepend", "prepend": "x"}]}`, metaspace("first"), "a", "▁ #x #a"},
		{`{"type": "Sequence", "normalizers": [` + strip + `, {"type": "Prepend", "prepend": "x"}]}`, metaspace("first"), " a", "x #a"},
		{clean, metaspace("first"), "\x00a", "a"},
		{clean, metaspace("first"), "a\x00b", "▁ #a #b"},
		{replace(`^[ab]`, "Q"), none, "ab\nab\n\nb", "Q #b #\n #Q #b #\n #\n #Q"},
		{replace(`^[ab]`, "Q"), none, "a\r\nb", "Q #\r #\n #Q"},
		{replace(`[ab]$`, "Q"), none, "ab\nab\n", "a #Q #\n #a #Q #\n"},
		{replace(`[ab]$`, "Q"), none, "a\r\nb", "a #\r #\n #Q"},
		{replace(`[ab]$`, "Q"), none, "ab", "a #Q"},
		{replace(`a.b`, "Q"), none, "a\nb", "a #\n #b"},
		{replace(`a.b`, "Q"), none, "a\rb", "Q"},
		{replace(`a.b`, "Q"), none, "axb", "Q"},
		{none, split(`\w+|[^\w\s]+`), "°²a", "° #² a"},
		{none, split(`\w+|[^\w\s]+`), "²°", "² °"},
		{none, split(`\w+|[^\w\s]+`), "a²b_1.", "a #² #b #_ #1 ."},
		{none, split(`\w+|[^\w\s]+`), "¼.²", "¼ . #²"},
		{none, split(`\W+`), "°²a", "° ² #a"},
		{none, split(`[\w]+`), "a🅗°", "a #🅗 °"},
		{none, split(`\W+`), "²°¶a", "² ° #¶ a"},
		{none, split(`(?m)a.b`), "xa\nbx", "x a #\n #b x"},
		{none, split(`(?i)A`), "xax", "x a x"},
		{none, split(`x*`), "axxb", "a x #x b"},
		{none, split(`x*`), "x", "x"},
	} {
		tok, err := Read([]byte(fmt.Sprintf(`{"version": "1.0", "normalizer": %s, "pre_tokenizer": %s,
			"model": {"type": "BPE", "continuing_subword_prefix": "#", "vocab": %s, "merges": []}}`, c.normalizer, c.split, model)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range tok.Encode(c.text, false) {
			token, _ := tok.Token(id)
			got = append(got, token)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s, %s: %q gives %q, want %q", c.normalizer, c.split, c.text, got, c.want)
		}
	}
}
