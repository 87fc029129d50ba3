package asr

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

const smallARPA = `
\data\
ngram 1=4
ngram 2=2

\1-grams:
-99	<s>	-0.5
-1	</s>
-0.6	cat	-0.2
-0.5	the	-0.3

\2-grams:
-0.2	<s> the
-0.1	the cat

\end\
`

func TestMistakesInAnARPAFileAreNamed(t *testing.T) {
	if _, err := readARPA(strings.NewReader(smallARPA)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]struct{ old, new, want string }{
		"empty":         {smallARPA, "", "ends before"},
		"one order":     {"ngram 2=2", "", "up to 1 words"},
		"six orders":    {"ngram 2=2", "ngram 2=2\nngram 3=0\nngram 4=0\nngram 5=0\nngram 6=0", "up to 6 words"},
		"count":         {"ngram 1=4", "ngram 1=5", "5 words are announced, 4 are there"},
		"bigram count":  {"ngram 2=2", "ngram 2=3", "3 2-grams are announced, 2 are there"},
		"probability":   {"-0.6", "0.6", "line 9: a logarithm of 0.6"},
		"no number":     {"-0.6", "x", `"x" is no logarithm`},
		"not a number":  {"-0.6", "NaN", `"NaN" is no logarithm`},
		"fields":        {"the cat", "the cat sat on", "fields"},
		"unknown word":  {"the cat", "the dog", `"dog" is not among the 1-grams`},
		"twice":         {"cat	-0.2", "the	-0.2", `"the" is there twice`},
		"bigram twice":  {"<s> the", "the cat", "out of order"},
		"cut":           {"\\end\\", "", "ends within"},
		"wrong section": {"\\2-grams:", "\\3-grams:", "want the section of 2-grams"},
		"long line":     {"-0.6", strings.Repeat("x", 1<<17), "longer than"},
	} {
		text := strings.Replace(smallARPA, bad.old, bad.new, 1)
		if _, err := readARPA(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, bad.want)
		}
	}
}

func FuzzReadARPA(f *testing.F) {
	f.Add([]byte(smallARPA))
	f.Add([]byte("\\data\\\nngram 1=1\nngram 2=0\n\\1-grams:\n-1 <unk>\n\\2-grams:\n\\end\\"))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := readARPA(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := readNgram(g.compiled())
		if err != nil {
			t.Fatalf("what was compiled cannot be read: %v", err)
		}
		for state := range int32(min(g.states(), 50)) {
			for word := range int32(min(g.words, 50)) {
				_, next := g.score(state, word)
				if _, same := again.score(state, word); int(next) >= g.states() || int(same) >= again.states() {
					t.Fatalf("state %d does not exist", next)
				}
			}
		}
	})
}

func FuzzReadVocabulary(f *testing.F) {
	for i, text := range []string{`{"<pad>": 0, "|": 1, "a": 2}`, "<blk> 0\n▁a 1\n<0x41> 2", "a\nb\nc", `{"model": {"vocab": [["▁a", -1], ["b", -2]]}, "added_tokens": [{"id": 2, "content": "<pad>"}]}`} {
		f.Add(i, []byte(text), "")
	}
	f.Fuzz(func(t *testing.T, kind int, b []byte, blank string) {
		if len(b) > 1<<12 {
			return
		}
		v, err := readVocabulary(vocabularyFiles[uint(kind)%4], b, blank)
		if err != nil || v.Classes() > 1000 {
			return
		}
		var tokens []Token
		for class := range v.Classes() {
			tokens = append(tokens, Token{Class: class, Start: class, End: class + 1})
		}
		for _, w := range v.Words(tokens) {
			if w.Text == "" || w.End <= w.Start {
				t.Fatalf("word %+v", w)
			}
		}
	})
}

func TestVocabulariesSpellWords(t *testing.T) {
	for name, c := range map[string]struct {
		file, text, blank string
		classes           []int
		blankClass, size  int
		want              string
	}{
		"wav2vec 2.0":       {"vocab.json", `{"<pad>":0,"|":1,"H":2,"I":3,"<unk>":4}`, "", []int{1, 2, 3, 1, 1, 3, 4}, 0, 5, "HI I"},
		"NeMo":              {"vocab.txt", "<unk> 0\n▁he 1\nl 2\nlo 3\n▁ 4\n<blk> 5\n", "last", []int{1, 2, 3, 4, 1}, 5, 6, "hello he"},
		"blank unlisted":    {"vocab.txt", "▁a 0\nb 1\n", "last", []int{0, 1}, 2, 3, "ab"},
		"sherpa":            {"tokens.txt", "<blk> 0\n<sos/eos> 1\n▁a 2\nb 3\n", "", []int{2, 3, 1, 2}, 0, 4, "ab a"},
		"one a line":        {"vocab.txt", "a\nb\n<space>\n", "", []int{0, 1, 2, 1}, 3, 4, "ab b"},
		"a space as token":  {"tokens.txt", "a 0\n  1\nb 2\n", "", []int{0, 1, 2}, 3, 4, "a b"},
		"Unigram":           {"tokenizer.json", `{"model":{"vocab":[["<unk>",0],["▁so",-1],["me",-2]]}}`, "", []int{1, 2, 1}, 3, 4, "some so"},
		"BPE":               {"tokenizer.json", `{"model":{"vocab":{"▁so":0,"me":1}},"added_tokens":[{"id":2,"content":"<pad>"}]}`, "", []int{0, 1}, 2, 3, "some"},
		"bytes":             {"tokens.txt", "▁ 0\n<0xC3> 1\n<0xA9> 2\nt 3\n", "last", []int{0, 3, 1, 2}, 4, 5, "té"},
		"a blank by name":   {"vocab.json", `{"_":2,"▁a":0,"b":1}`, "_", []int{0, 2, 1}, 2, 3, "ab"},
		"the first, a lone": {"vocab.json", `{"x":0,"▁a":1,"b":2}`, "first", []int{0, 1, 2}, 0, 3, "ab"},
	} {
		v, err := readVocabulary(c.file, []byte(c.text), c.blank)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var tokens []Token
		for i, class := range c.classes {
			tokens = append(tokens, Token{Class: class, Start: i, End: i + 1, LogP: -.1})
		}
		var texts []string
		for _, w := range v.Words(tokens) {
			texts = append(texts, w.Text)
		}
		if got := strings.Join(texts, " "); got != c.want || v.Blank() != c.blankClass || v.Classes() != c.size {
			t.Errorf("%s: %q with blank %d of %d, want %q with %d of %d", name, got, v.Blank(), v.Classes(), c.want, c.blankClass, c.size)
		}
	}
	for text, want := range map[string]string{"a 0\nb": "has no class", "a 0\na 1": "there twice", "a 0\nb 0": "one class", "a 9999999": "has class", "": "no tokens"} {
		if _, err := readVocabulary("tokens.txt", []byte(text), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

// changed is the parity model with files and parameters added.
func changed(t *testing.T, parameters string, files map[string][]byte) (*models.Model, error) {
	t.Helper()
	all := fstest.MapFS{}
	manifest := ""
	for _, name := range []string{"model.yaml", "model.onnx", "vocab.json"} {
		b, err := os.ReadFile("../parity/tiny-wav2vec2/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if all[name] = (&fstest.MapFile{Data: b}); name == "model.yaml" {
			manifest = string(b)
		}
	}
	for name, b := range files {
		all[name] = &fstest.MapFile{Data: b}
		sum := sha256.Sum256(b)
		manifest = strings.Replace(manifest, "files:\n", fmt.Sprintf("files:\n  %s: %s\n", name, hex.EncodeToString(sum[:])), 1)
	}
	all["model.yaml"].Data = []byte(strings.Replace(manifest, "  lowercase: true\n", parameters, 1))
	return models.Load(all)
}

func TestACTCModelWithAGrammarSaysWordsOfIt(t *testing.T) {
	arpa := unzipped(t, "order3.arpa.gz")
	var compiled bytes.Buffer
	if err := CompileARPA(bytes.NewReader(arpa), &compiled); err != nil {
		t.Fatal(err)
	}
	grammar := readOrder(t, 3)
	for name, c := range map[string]struct {
		parameters string
		files      map[string][]byte
	}{
		"ARPA":      {"  grammar: lm.arpa\n  lm_weight: 0.5\n", map[string][]byte{"lm.arpa": arpa}},
		"compiled":  {"  grammar: lm.bin\n  lm_weight: 0.5\n  merge: sum\n  beam_tokens: 20\n", map[string][]byte{"lm.bin": compiled.Bytes()}},
		"a lexicon": {"  grammar: lm.arpa\n  lm_weight: 0.5\n  lexicon: lexicon.txt\n", map[string][]byte{"lm.arpa": arpa, "lexicon.txt": []byte("i I |\ni I I |\nneed N E E D |\n")}},
	} {
		m, err := changed(t, c.parameters, c.files)
		if err != nil {
			t.Fatal(err)
		}
		q := modelstest.Direct(t, m, NewCTCRunner)
		r, err := NewCTC(m, q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		speech := modelstest.PCM16(t, "testdata/heldout.pcm16")
		a, err := q.Do(t.Context(), Piece{Samples: speech[8000:42560]})
		if err != nil {
			t.Fatal(err)
		}
		words := r.Words(0, a.Value)
		for _, w := range words {
			if _, ok := slices.BinarySearch(grammar.vocabulary, w.Text); !ok && c.files["lexicon.txt"] == nil {
				t.Errorf("%s: %q is no word of the grammar", name, w.Text)
			}
			if w.End <= w.Start || !(w.Confidence > 0 && w.Confidence <= 1) {
				t.Errorf("%s: word %+v", name, w)
			}
		}
		if len(words) == 0 {
			t.Errorf("%s: nothing was heard", name)
		}
	}
}

func TestMistakesInACTCManifestAreNamed(t *testing.T) {
	arpa := map[string][]byte{"lm.arpa": []byte(smallARPA), "lexicon.txt": []byte("the T H Q9\n"), "lm.bin": []byte("EARLM")}
	for parameters, want := range map[string]string{
		"  blank: \"<none>\"\n":                        "parameters.blank",
		"  merge: min\n":                               "parameters.merge",
		"  grammar_of: letters\n":                      "parameters.grammar_of",
		"  lm_weight: 1\n":                             "parameters.grammar: missing",
		"  beam: -1\n":                                 "parameters.beam",
		"  conv_stride: [5]\n":                         "parameters.conv_kernel",
		"  gap_seconds: -1\n":                          "parameters.gap_seconds",
		"  grammar: lm.arpa\n  lexicon: lexicon.txt\n": `line 1: there is no token "Q9"`,
		"  grammar: lm.bin\n":                          "not this kind of file",
		"  grammar: absent.arpa\n":                     "absent.arpa",
		"  colour: red\n":                              "colour",
	} {
		m, err := changed(t, parameters, arpa)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewCTC(m, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %s", parameters, err, want)
		}
	}
}
