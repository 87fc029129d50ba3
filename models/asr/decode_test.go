package asr

import (
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// toy is a small language: words over four phones, with homophones, a word
// that begins another and one with two pronunciations.
func toy(t interface{ Fatal(...any) }, scores []float32) (*lexicon, *ngram) {
	words := []string{"a", "ab", "aba", "bee", "be", "c", "cab"}
	l := &lexicon{words: words, check: crc32.ChecksumIEEE([]byte(strings.Join(words, "\n") + "\n"))}
	for i, said := range [][]string{{"\x01"}, {"\x01\x02"}, {"\x01\x02\x01"}, {"\x02\x04"}, {"\x02\x04"}, {"\x03", "\x03\x04"}, {"\x03\x01\x02"}} {
		for _, phones := range said {
			l.pronunciations = append(l.pronunciations, pronunciation{int32(i), labels(phones)})
		}
	}
	n := len(words) + firstWord
	two, three := layer{}, layer{}
	two.p.level, two.back.level, three.p.level = scores[:256], make([]float32, 256), scores[256:512]
	two.back.level[1] = -.7
	g := &ngram{check: l.check, words: n, p1: scores[512 : 512+n], b1: scores[600 : 600+n]}
	counts1, counts2 := make([]uint32, n), []uint32(nil)
	for w := range n {
		for next := w % 2; next < n; next += 2 {
			counts1[w]++
			two.word = append(two.word, uint32(next))
			two.p.code = append(two.p.code, uint8(len(two.word)))
			two.back.code = append(two.back.code, uint8(next%2))
			if counts2 = append(counts2, 0); next%3 == 0 {
				for third := 1; third < n; third += 3 {
					counts2[len(counts2)-1]++
					three.word = append(three.word, uint32(third))
					three.p.code = append(three.p.code, uint8(len(three.word)))
				}
			}
		}
	}
	two.first, three.first = offsets(counts1), offsets(counts2)
	g.layers = []layer{two, three}
	if err := g.link(); err != nil {
		t.Fatal(err)
	}
	return l, g
}

func labels(phones string) []int32 {
	out := make([]int32, len(phones))
	for i := range out {
		out[i] = int32(phones[i])
	}
	return out
}

// ctc is the log-probability of the best alignment of phones to all of logp.
func ctc(logp []float32, classes int, phones []int32) float64 {
	labels := []int32{0}
	for _, p := range phones {
		labels = append(labels, p, 0)
	}
	now := make([]float64, len(labels))
	for i := range now {
		now[i] = math.Inf(-1)
	}
	for t := range len(logp) / classes {
		next := make([]float64, len(labels))
		for i, l := range labels {
			from := now[i]
			if t == 0 {
				from = math.Inf(-1)
				if i < 2 {
					from = 0
				}
			} else {
				if i > 0 {
					from = max(from, now[i-1])
				}
				if i > 1 && l != 0 && l != labels[i-2] {
					from = max(from, now[i-2])
				}
			}
			next[i] = from + float64(logp[t*classes+int(l)])
		}
		now = next
	}
	if len(phones) == 0 {
		return now[0]
	}
	return max(now[len(now)-1], now[len(now)-2])
}

// bruteForce is the score of the best word sequence of at most most words.
func bruteForce(s *search, l *lexicon, logp []float32, classes, most int) float64 {
	o := s.options
	best := math.Inf(-1)
	var try func(phones []int32, lm int32, score float64, words int)
	try = func(phones []int32, lm int32, score float64, words int) {
		total := score + ctc(logp, classes, phones)
		end, _ := s.grammar.score(lm, wordEnd)
		total += float64(o.lmWeight * end)
		best = max(best, total)
		if words == most {
			return
		}
		for _, p := range l.pronunciations {
			says, next := s.grammar.score(lm, p.word+firstWord)
			try(append(phones[:len(phones):len(phones)], p.phones...), next, score+float64(o.lmWeight*says+o.wordScore), words+1)
		}
	}
	try(nil, wordStart, 0, 0)
	return best
}

func TestBeamSearchFindsTheBestOfAllPaths(t *testing.T) {
	const classes = 5
	rapid.Check(t, func(t *rapid.T) {
		scores := rapid.SliceOfN(rapid.Float32Range(-4, -.1), 700, 700).Draw(t, "scores")
		l, g := toy(t, scores)
		options := searchOptions{
			beam: 100000, threshold: 1e6, silence: noLabel,
			lmWeight:  rapid.Float32Range(0, 3).Draw(t, "weight"),
			wordScore: rapid.Float32Range(-1, 2).Draw(t, "word score"),
		}
		s := &search{tree: newTree(l, g.p1, nil), grammar: g, options: options}
		steps := rapid.IntRange(1, 4).Draw(t, "steps")
		logp := rapid.SliceOfN(rapid.Float32Range(-6, 0), steps*classes, steps*classes).Draw(t, "logp")

		found := newDecoder().decode(s, logp, classes)

		// The score of what was found, over its pronunciations, is the best one.
		want := bruteForce(s, l, logp, classes, steps)
		got := math.Inf(-1)
		var try func(i int, phones []int32, lm int32, score float64)
		try = func(i int, phones []int32, lm int32, score float64) {
			if i == len(found) {
				score += ctc(logp, classes, phones)
				end, _ := g.score(lm, wordEnd)
				score += float64(options.lmWeight * end)
				got = max(got, score)
				return
			}
			for _, p := range l.pronunciations {
				if p.word == found[i].word {
					says, next := g.score(lm, p.word+firstWord)
					try(i+1, append(phones[:len(phones):len(phones)], p.phones...), next, score+float64(options.lmWeight*says+options.wordScore))
				}
			}
		}
		try(0, nil, wordStart, 0)
		if math.Abs(got-want) > 1e-3 {
			t.Fatalf("found %v with score %v, the best is %v", found, got, want)
		}
		last := int32(0)
		for _, w := range found {
			if w.start < last || w.end <= w.start || int(w.end) > steps || !(w.confidence > 0) {
				t.Fatalf("word %+v after step %d of %d", w, last, steps)
			}
			last = w.end
		}
	})
}

func TestASmallBeamStillEndsBetweenWords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, g := toy(t, rapid.SliceOfN(rapid.Float32Range(-4, -.1), 700, 700).Draw(t, "scores"))
		s := &search{tree: newTree(l, g.p1, nil), grammar: g, options: searchOptions{
			beam: rapid.IntRange(1, 5).Draw(t, "beam"), threshold: 20, lmWeight: 1, pauseSteps: 2, silence: noLabel,
		}}
		logp := rapid.SliceOfN(rapid.Float32Range(-9, 0), 100, 100).Draw(t, "logp")
		d := newDecoder()
		first := d.decode(s, logp, 5)
		if again := d.decode(s, logp, 5); len(again) != len(first) {
			t.Fatalf("a decoder that is used again finds %v after %v", again, first)
		}
	})
}

func TestNthLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Float32Range(-3, 3), 1, 200).Draw(t, "a")
		n := rapid.IntRange(0, len(a)-1).Draw(t, "n")
		v := nthLargest(a, n)
		above, equal := 0, 0
		for _, x := range a {
			if x > v {
				above++
			} else if x == v {
				equal++
			}
		}
		if above > n || above+equal <= n {
			t.Fatalf("%d values are above %v and %d equal it, asked for number %d", above, v, equal, n)
		}
	})
}
