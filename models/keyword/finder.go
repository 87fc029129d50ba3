// Package keyword finds the words that tell what a text is about: those it
// says often and others seldom (tf-idf, Sparck Jones 1972), and pairs of them
// that it says together.
package keyword

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

const (
	// inFlight bounds the questions of one episode that wait in the queue.
	inFlight = 16
	// chunk is how many words one item asks the model about.
	chunk = 1024
	// telling is the weight from which a word may be a keyword at all.
	telling = 0.25
	// longText is in words: of a longer text, a word must be said twice. In what
	// a recogniser wrote, rare words that are said once are mostly misheard.
	longText = 100
	// shortestWord is in runes: shorter ones are particles and letters.
	shortestWord = 3
)

// Finder finds keywords. It is safe for concurrent use.
type Finder struct {
	model *models.Model
	queue models.Queue[[]int64, []float32]
	rows  int // of the model's table
}

// New makes a finder of a model of family hashed-words and the queue that runs
// it.
func New(m *models.Model, q models.Queue[[]int64, []float32]) (*Finder, error) {
	rows, err := words.TableRows(m, "keywords")
	if err != nil {
		return nil, err
	}
	return &Finder{m, q, rows}, nil
}

// Find gives the keywords of each part of a text, at most n each, best first,
// with scores in [0, 1]. A part is a list of sentences or segments; pairs of
// words never reach from one into the next. Words that all parts say tell
// less about each. Errors are the queue's.
func (f *Finder) Find(ctx context.Context, parts [][]string, n int) ([][]episode.Keyword, models.Usage, error) {
	read := make([]part, len(parts))
	var rows []int64
	place := map[string]int{}
	for i, texts := range parts {
		read[i] = readPart(texts)
		for _, w := range read[i].order {
			if _, ok := place[w]; !ok {
				place[w] = len(rows)
				rows = append(rows, words.Row(w, f.rows))
			}
		}
	}
	answers, usage, err := models.Map(ctx, f.queue, inFlight, slices.Collect(slices.Chunk(rows, chunk)))
	usage.Model = f.model.Manifest.Ref()
	if err != nil {
		return nil, usage, fmt.Errorf("keyword: %s: %w", usage.Model, err)
	}
	weights := slices.Concat(answers...)
	in := map[string]int{} // stem -> parts that say it
	for _, p := range read {
		for _, w := range p.order {
			in[w]++
		}
	}
	found := make([][]episode.Keyword, len(parts))
	for i, p := range read {
		found[i] = p.best(n, func(stem string) float64 {
			w := float64(weights[place[stem]])
			if len(parts) > 1 {
				w *= math.Log(1+float64(len(parts))/float64(in[stem])) / math.Log(1+float64(len(parts)))
			}
			return w
		})
	}
	return found, usage, nil
}

// part is a text's words, counted.
type part struct {
	size  int                       // words
	order []string                  // stems, in the order of their first mention
	count map[string]int            // stem -> mentions
	forms map[string]map[string]int // stem -> how it is written -> mentions
	pairs []pair
	seen  map[[2]string]int // place in pairs
}

type pair struct {
	stems [2]string
	text  string
	count int
}

func readPart(texts []string) part {
	p := part{count: map[string]int{}, forms: map[string]map[string]int{}, seen: map[[2]string]int{}}
	for _, text := range texts {
		before, beforeStem := "", ""
		for _, w := range words.Split(text) {
			stem := words.Stem(w)
			p.size++
			if p.count[stem]++; p.count[stem] == 1 {
				p.order = append(p.order, stem)
				p.forms[stem] = map[string]int{}
			}
			p.forms[stem][w]++
			if before != "" {
				key := [2]string{beforeStem, stem}
				at, ok := p.seen[key]
				if !ok {
					at = len(p.pairs)
					p.seen[key] = at
					p.pairs = append(p.pairs, pair{stems: key, text: before + " " + w})
				}
				p.pairs[at].count++
			}
			before, beforeStem = w, stem
		}
	}
	return p
}

// best ranks the part's words, and its pairs that are said at least twice,
// by log2(1 + mentions) · weight. A word of a better pair is left out.
func (p part) best(n int, weight func(stem string) float64) []episode.Keyword {
	type candidate struct {
		text  string
		stems []string
		score float64
	}
	var all []candidate
	least := 1
	if p.size > longText {
		least = 2
	}
	for _, stem := range p.order {
		if w := weight(stem); w >= telling && p.count[stem] >= least && utf8.RuneCountInString(stem) >= shortestWord {
			all = append(all, candidate{p.written(stem), []string{stem}, math.Log2(1+float64(p.count[stem])) * w})
		}
	}
	for _, pair := range p.pairs {
		a, b := weight(pair.stems[0]), weight(pair.stems[1])
		if pair.count >= 2 && min(a, b) >= telling && pair.stems[0] != pair.stems[1] {
			all = append(all, candidate{pair.text, pair.stems[:], math.Log2(1+float64(pair.count)) * (a + b) * .75})
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	found := []episode.Keyword{}
	said := map[string]bool{}
	for _, c := range all {
		if len(found) == n {
			break
		}
		if slices.ContainsFunc(c.stems, func(s string) bool { return said[s] }) {
			continue
		}
		for _, s := range c.stems {
			said[s] = true
		}
		// A word of full weight said fifteen times has score 4.
		found = append(found, episode.Keyword{Text: c.text, Score: episode.Score(1 - math.Exp(-c.score/2))})
	}
	return found
}

// written is the form in which a stem is written most often.
func (p part) written(stem string) string {
	best, most := "", 0
	for form, n := range p.forms[stem] {
		if n > most || n == most && form < best {
			best, most = form, n
		}
	}
	return best
}
