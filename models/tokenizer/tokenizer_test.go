package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unicode/utf8"
)

// What a file has that is not known is an error that names the place.
func TestUnknownComponents(t *testing.T) {
	const model = `"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}`
	for _, test := range []struct{ file, want string }{
		{`{}`, `version`},
		{`{"version": "1.0"}`, `model: it is missing`},
		{`{"version": "1.0", "model": {"type": "Guess"}}`, `model: model "Guess" is not known`},
		{`{"version": "1.0", "normaliser": null, ` + model + `}`, `unknown field "normaliser"`},
		{`{"version": "1.0", "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Rot13"}]}, ` + model + `}`, `normalizer.normalizers[1]: normalizer "Rot13" is not known`},
		{`{"version": "1.0", "normalizer": {"type": "Prepend", "prefix": "a"}, ` + model + `}`, `normalizer (Prepend): json: unknown field "prefix"`},
		{`{"version": "1.0", "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, ` + model + `}`, `normalizer.precompiled_charsmap: it ends`},
		{`{"version": "1.0", "pre_tokenizer": {"type": "FixedLength"}, ` + model + `}`, `pre_tokenizer: pre-tokenizer "FixedLength"`},
		{`{"version": "1.0", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a++"}, "behavior": "Isolated", "invert": false}, ` + model + `}`, `pre_tokenizer.pattern.Regex: "a++": possessive`},
		{`{"version": "1.0", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Torn", "invert": false}, ` + model + `}`, `"Torn" (has Isolated`},
		{`{"version": "1.0", "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [], "special_tokens": {}}, ` + model + `}`, `post_processor.single[0]: "x" is not in`},
		{`{"version": "1.0", "decoder": {"type": "Sequence", "decoders": [{"type": "Sing"}]}, ` + model + `}`, `decoder.decoders[0]: decoder "Sing"`},
		{`{"version": "1.0", "model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}}`, `model.dropout: 0.1`},
		{`{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}`, `model.merges[0]: "ab" is not in the vocabulary`},
		{`{"version": "1.0", "model": {"type": "Unigram", "vocab": [["a", 0]]}}`, `model.unk_id`},
	} {
		if _, err := Read([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.file, err, test.want)
		}
	}
}

func TestTokensByName(t *testing.T) {
	tok := open(t, "bytelevel-gpt2")
	if id, ok := tok.ID("<|endoftext|>"); !ok || id != 0 {
		t.Errorf("<|endoftext|> is %d, %t", id, ok)
	}
	if token, ok := tok.Token(tok.Size() - 1); !ok || token == "" {
		t.Errorf("the last token is %q, %t", token, ok)
	}
	if _, ok := tok.Token(tok.Size()); ok {
		t.Error("there is a token after the last")
	}
	if got := tok.Decode([]int{-1, 1 << 40}, false); got != "" {
		t.Errorf("ids of nothing say %q", got)
	}
}

func TestTruncated(t *testing.T) {
	tok := open(t, "wordpiece-uncased").Truncated(5)
	ids := tok.Encode(strings.Repeat("the car ", 20), true)
	first, _ := tok.ID("[CLS]")
	last, _ := tok.ID("[SEP]")
	if len(ids) != 5 || ids[0] != first || ids[4] != last {
		t.Errorf("ids %v", ids)
	}
}

// One tokenizer serves many goroutines.
func TestConcurrent(t *testing.T) {
	tok := open(t, "bytelevel-roberta")
	want := tok.Encode("knead the dough until it is smooth", true)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got := tok.Encode("knead the dough until it is smooth", true); !slices.Equal(got, want) {
					t.Errorf("ids %v, want %v", got, want)
				}
			}
		})
	}
	all.Wait()
}

// Text comes back whole from a byte-level vocabulary, whatever it is.
func FuzzEncodeDecode(f *testing.F) {
	toks := map[string]*Tokenizer{}
	for _, name := range []string{"wordpiece-uncased", "bytelevel-gpt2", "bytelevel-cl100k", "metaspace-bpe", "unigram-charsmap", "bpe-suffix"} {
		toks[name] = open(f, name)
	}
	for _, s := range []string{"", " a  b\n", "don't", "\xff\xfe", "\u0301\u0301", "<|endoftext|>", "A\u030a", strings.Repeat("\u0338", 40)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, tok := range toks {
			ids := tok.Encode(s, true)
			for _, id := range ids {
				if _, ok := tok.Token(id); !ok {
					t.Fatalf("%s: %q gives the id %d, which is none", name, s, id)
				}
			}
			said := tok.Decode(ids, false)
			if !utf8.ValidString(said) {
				t.Fatalf("%s: %q is decoded to %q", name, s, said)
			}
		}
		plain := toks["bytelevel-gpt2"]
		if want := strings.ToValidUTF8(s, "\uFFFD"); !strings.Contains(s, "earshot") && plain.Decode(plain.Encode(s, false), false) != want {
			t.Fatalf("%q comes back as %q", s, plain.Decode(plain.Encode(s, false), false))
		}
	})
}

// No file, however broken, does more than fail.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"wordlevel", "bpe-suffix"} {
		f.Add(unzip(f, "testdata/"+name+".json.gz"))
	}
	f.Add([]byte(`{"version": "1.0", "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1]]}}`))
	f.Add([]byte(`{"version": "1.0", "normalizer": {"type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA="}, "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return
		}
		tok, err := Read(b)
		if err == nil {
			tok.Decode(tok.Encode("A b, c\u0301 <|x|>", true), true)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	texts := everyScript(b)[500:2500]
	size := 0
	for _, s := range texts {
		size += len(s)
	}
	for _, name := range []string{"wordpiece-uncased", "bytelevel-gpt2", "bytelevel-cl100k", "metaspace-bpe", "unigram-charsmap"} {
		b.Run(name, func(b *testing.B) {
			tok := open(b, name)
			began := busy(b)
			for b.Loop() {
				for _, s := range texts {
					tok.Encode(s, true)
				}
			}
			b.ReportMetric(float64(size*b.N)/1e6/(busy(b)-began), "MB/cpu-s")
		})
	}
}

// busy is the seconds of the processor that this process has had.
func busy(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
