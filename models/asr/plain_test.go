package asr

import "testing"

func TestAVocabularyTellsWhetherItsTextsAreBareWords(t *testing.T) {
	for name, c := range map[string]struct {
		tokens    []string
		lowercase bool
		want      bool
	}{
		"small letters":            {[]string{"<pad>", "|", "a", "b", "'"}, false, true},
		"pieces":                   {[]string{"<unk>", "▁the", "ing", "▁i'm"}, false, true},
		"capitals":                 {[]string{"<pad>", "|", "A", "B"}, false, false},
		"capitals made small":      {[]string{"<pad>", "|", "A", "B"}, true, true},
		"names in capitals":        {[]string{"<unk>", "▁Paris", "▁in"}, false, false},
		"marks":                    {[]string{"<unk>", "▁the", "."}, false, false},
		"marks, though made small": {[]string{"<unk>", "▁The", "?"}, true, false},
	} {
		classes := map[string]int{}
		for i, token := range c.tokens {
			classes[token] = i
		}
		v, err := newVocabulary(classes, "first")
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Plain(c.lowercase); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
