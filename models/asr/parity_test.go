package asr

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// The golden data of these tests are written by models/train/parity/decoding.py.

func unzipped(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readOrder(t testing.TB, order int) *ngram {
	t.Helper()
	g, err := readARPA(bytes.NewReader(unzipped(t, fmt.Sprintf("order%d.arpa.gz", order))))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// numberOf is a word's number in a grammar that has its own vocabulary.
func (g *ngram) numberOf(word string) int32 {
	if i, ok := slices.BinarySearch(g.vocabulary, word); ok {
		return int32(i) + firstWord
	}
	return wordUnknown
}

// kenlm gives sentences and what KenLM says of each of their words and of the
// end.
func kenlm(t testing.TB, order int) (sentences []string, scores []float32) {
	t.Helper()
	b := unzipped(t, fmt.Sprintf("order%d.scores.gz", order))
	words := 0
	for range 1300 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		sentences = append(sentences, string(line))
		words += len(strings.Fields(string(line))) + 1
		b = rest
	}
	if len(b) != 4*words {
		t.Fatalf("%d bytes of scores for %d words", len(b), words)
	}
	for i := range words {
		scores = append(scores, math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return sentences, scores
}

func TestARPAScoresAreKenlms(t *testing.T) {
	for order := 2; order <= 5; order++ {
		g := readOrder(t, order)
		var packed bytes.Buffer
		if err := CompileARPA(bytes.NewReader(unzipped(t, fmt.Sprintf("order%d.arpa.gz", order))), &packed); err != nil {
			t.Fatal(err)
		}
		compiled, err := readNgram(packed.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(compiled.vocabulary, g.vocabulary) || compiled.check != g.check {
			t.Errorf("order %d: the compiled model has another vocabulary", order)
		}
		sentences, scores := kenlm(t, order)
		worst, off, n := 0.0, 0.0, 0
		for _, sentence := range sentences {
			exact, rounded := int32(wordStart), int32(wordStart)
			for _, w := range append(strings.Fields(sentence), "</s>") {
				number := g.numberOf(w)
				if w == "</s>" {
					number = wordEnd
				}
				var a, b float32
				a, exact = g.score(exact, number)
				b, rounded = compiled.score(rounded, number)
				worst = max(worst, math.Abs(float64(a-scores[n])))
				off += math.Abs(float64(b - scores[n]))
				n++
			}
		}
		if worst > 1e-4 {
			t.Errorf("order %d: a word is %.2g from what KenLM says", order, worst)
		}
		if off /= float64(n); off > .02 {
			t.Errorf("order %d: compiled, words are %.2g from what KenLM says, in the mean", order, off)
		}
	}
}

// splitMix is decoding.py's generator (Steele, Lea, Flood 2014).
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (s *splitMix) below(n int) int { return int(s.next() >> 33 % uint64(n)) }

func (s *splitMix) unit() float64 { return float64(s.next()>>40) / (1 << 24) }

// posteriors are decoding.py's: log-probabilities that follow tokens, more or
// less clearly.
func (s *splitMix) posteriors(tokens []int, classes, blank int) []float32 {
	clear := 1 + 6*s.unit()
	var path []int
	for i, t := range tokens {
		if i > 0 && tokens[i-1] == t || s.below(2) > 0 {
			path = append(path, blank)
		}
		for range 1 + s.below(2) {
			path = append(path, t)
		}
	}
	var out []float32
	row := make([]float64, classes)
	for _, t := range path {
		sum := 0.0
		for c := range row {
			if row[c] = 3 * s.unit(); c == t {
				row[c] += clear
			}
			sum += math.Exp(row[c])
		}
		for _, v := range row {
			out = append(out, float32(v-math.Log(sum)))
		}
	}
	return out
}

var letters = append([]string{"<pad>", "<s>", "</s>", "<unk>", "|"}, strings.Split("ETAONIHSRDLUMWCFGYPBVK'XJQZ", "")...)

func vocabularyOf(t testing.TB, tokens []string, blank string) *Vocabulary {
	t.Helper()
	classes := map[string]int{}
	for i, token := range tokens {
		classes[token] = i
	}
	v, err := newVocabulary(classes, blank)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBeamSearchFindsWhatFlashlightFinds(t *testing.T) {
	var golden struct {
		Words []string
		Cases []struct {
			Seed      int
			Free, Sum bool
			Order     int
			Words     []string
			Score     float64
		}
	}
	if err := json.Unmarshal(unzipped(t, "decoded.json.gz"), &golden); err != nil {
		t.Fatal(err)
	}
	grammars := map[int]*ngram{}
	for order := 2; order <= 5; order++ {
		grammars[order] = readOrder(t, order)
	}
	var dictionary strings.Builder
	for _, w := range golden.Words {
		fmt.Fprintln(&dictionary, w, strings.Join(strings.Split(strings.ToUpper(w), ""), " "), "|")
	}
	found := 0
	for _, c := range golden.Cases {
		random := splitMix(c.Seed)
		p := CTCParams{Beam: 4000, Threshold: 100, Merge: "max", GrammarOf: "words"}
		p.LMWeight, p.WordScore, p.Silence = float32(.25+random.unit()), float32(2*random.unit()-1), float32(random.unit()-.5)
		if c.Sum {
			p.Merge, p.Beam = "sum", 1000
		}
		if order := 2 + random.below(4); order != c.Order {
			t.Fatalf("utterance %d: order %d, want %d", c.Seed, order, c.Order)
		}
		var said []int
		v, classes, spellings := vocabularyOf(t, letters, ""), len(letters), []byte(dictionary.String())
		if c.Free {
			p.GrammarOf, p.WordScore = "tokens", 0
			v, classes, spellings = vocabularyOf(t, append([]string{"<blank>"}, golden.Words[:20]...), ""), 21, nil
			for range 1 + random.below(8) {
				said = append(said, 1+random.below(20))
			}
		} else {
			for range 1 + random.below(5) {
				for _, letter := range strings.ToUpper(golden.Words[random.below(len(golden.Words))]) {
					said = append(said, slices.Index(letters, string(letter)))
				}
				said = append(said, 4)
			}
		}
		logp := random.posteriors(said, classes, 0)
		s, l, err := v.newSearch(grammars[c.Order], spellings, p)
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder()
		d.run(s, logp, classes)
		words, score := d.bestOf(s)
		texts := []string{}
		for _, w := range words {
			texts = append(texts, l.words[w.word])
		}
		found += len(texts)
		if !slices.Equal(texts, c.Words) || math.Abs(float64(score)-c.Score) > 1e-3 {
			t.Errorf("utterance %d (free %v, sum %v): %q with %.4f, flashlight has %q with %.4f", c.Seed, c.Free, c.Sum, texts, score, c.Words, c.Score)
		}
	}
	if len(golden.Cases) < 200 || found < 500 {
		t.Errorf("%d utterances with %d words show too little", len(golden.Cases), found)
	}
}
