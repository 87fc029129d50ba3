package asr

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// The fixture is written by `models/train/asr/ngram.py --fixture`: a small
// 3-gram, and what kenlm says of sentences under the same model as ARPA.
func readToy(t testing.TB) (*ngram, []string, map[string][]float64) {
	t.Helper()
	b, err := os.ReadFile("testdata/toy.lm.bin")
	if err != nil {
		t.Fatal(err)
	}
	g, err := readNgram(b)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Words  []string
		Scores []struct {
			Sentence string
			Log      []float64
		}
	}
	if b, err = os.ReadFile("testdata/toy.scores.json"); err == nil {
		err = json.Unmarshal(b, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	scores := map[string][]float64{}
	for _, s := range want.Scores {
		scores[s.Sentence] = s.Log
	}
	return g, want.Words, scores
}

func TestNgramSaysWhatKenlmSays(t *testing.T) {
	g, words, scores := readToy(t)
	number := map[string]int32{}
	for i, w := range words {
		number[w] = int32(i) + firstWord
	}
	for sentence, want := range scores {
		state := int32(wordStart)
		for i, w := range append(strings.Fields(sentence), "</s>") {
			n, ok := number[w]
			switch {
			case w == "</s>":
				n = wordEnd
			case !ok:
				n = wordUnknown
			}
			var got float32
			got, state = g.score(state, n)
			// Probabilities and up to two back-offs, each rounded to one of 256
			// levels, of which this small model uses fewer than there are.
			if math.Abs(float64(got)-want[i]) > .02 {
				t.Errorf("%q, word %d (%s): %.4f, kenlm says %.4f", sentence, i, w, got, want[i])
			}
		}
	}
}

func TestNgramProbabilitiesSumToOne(t *testing.T) {
	g, _, _ := readToy(t)
	for state := range int32(g.states()) {
		if k, i := g.place(state); k == 0 && i == wordEnd || k > 0 && g.layers[k-1].word[i] == wordEnd {
			continue // nothing follows the end
		}
		var sum float64
		for w := int32(1); int(w) < g.words; w++ {
			p, _ := g.score(state, w)
			sum += math.Exp(float64(p))
		}
		if math.Abs(sum-1) > .02 {
			t.Errorf("after state %d the probabilities sum to %.4f", state, sum)
		}
	}
}

// sealed gives b the checksum that readers ask for, so that fuzzing reaches
// what is behind it.
func sealed(b []byte) []byte {
	if len(b) < 4 {
		return b
	}
	b = append([]byte(nil), b...)
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
	return b
}

func FuzzReadNgram(f *testing.F) {
	b, err := os.ReadFile("testdata/toy.lm.bin")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:40])
	f.Add([]byte(ngramMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := readNgram(b); err == nil && crc32.ChecksumIEEE(b[:len(b)-4]) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
			t.Fatal("a damaged file was read")
		}
		g, err := readNgram(sealed(b))
		if err != nil {
			return
		}
		for _, state := range []int{0, g.words - 1, g.states() - 1} {
			for w := range min(g.words, 50) {
				if _, next := g.score(int32(state), int32(w)); int(next) >= g.states() {
					t.Fatalf("state %d does not exist", next)
				}
			}
		}
	})
}

func lexiconBytes(words string, body []byte) []byte {
	b := []byte(lexiconMagic)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(words)))
	b = binary.LittleEndian.AppendUint32(b, uint32(strings.Count(words, "\n")))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(words)))
	b = append(append(b, words...), body...)
	return sealed(append(b, 0, 0, 0, 0))
}

func TestReadLexicon(t *testing.T) {
	l, err := readLexicon(lexiconBytes("eye\ni\n", []byte{1, 1, 7, 2, 1, 7, 2, 3, 4}), 41)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.words) != 2 || l.words[1] != "i" || len(l.pronunciations) != 3 || !slices.Equal(l.pronunciations[2].phones, []int32{3, 4}) {
		t.Errorf("read %+v", l)
	}
	for name, bad := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":        {nil, "not this kind of file"},
		"phone 41":     {lexiconBytes("i\n", []byte{1, 1, 41}), "phone 41, want 1 to 40"},
		"blank":        {lexiconBytes("i\n", []byte{1, 1, 0}), "phone 0"},
		"no phones":    {lexiconBytes("i\n", []byte{1, 0}), "without phones"},
		"cut":          {lexiconBytes("i\n", []byte{1, 3, 4}), "too early"},
		"more":         {lexiconBytes("i\n", []byte{1, 1, 4, 9}), "1 bytes too many"},
		"unended word": {lexiconBytes("i\nyou", []byte{1, 1, 4}), "word 1 is empty or not ended"},
		"damaged":      {append(lexiconBytes("i\n", []byte{1, 1, 4}), 1), "damaged"},
	} {
		if _, err := readLexicon(bad.b, 41); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, bad.want)
		}
	}
}

func FuzzReadLexicon(f *testing.F) {
	f.Add(lexiconBytes("eye\ni\n", []byte{1, 1, 7, 2, 1, 7, 2, 3, 4}))
	f.Add([]byte(lexiconMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := readLexicon(sealed(b), 41)
		if err != nil {
			return
		}
		tree := newTree(l, make([]float32, len(l.words)+firstWord), nil)
		if len(tree.words) != len(l.pronunciations) {
			t.Fatalf("%d pronunciations became %d words in the tree", len(l.pronunciations), len(tree.words))
		}
	})
}
