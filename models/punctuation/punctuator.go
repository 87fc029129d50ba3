// Package punctuation writes a recogniser's bare words as people read them: it
// says which mark stands after each word and which letters are capitals, by
// the words around it and the pauses between them.
package punctuation

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// inFlight bounds the windows of one episode that wait in the queue.
const inFlight = 64

// mark is what stands after a word, in the order of the model's output.
type mark int

const (
	noMark mark = iota
	comma
	fullStop
	questionMark
	marksEnd
)

var marks = [marksEnd]string{"", ",", ".", "?"}

// ends tells whether a mark ends a sentence.
func (m mark) ends() bool { return m >= fullStop }

// letters is how a word is written, in the order of the model's output.
type letters int

const (
	asItIs letters = iota
	capitalised
	upperCase
	casesEnd
)

// Punctuator reads words. It is safe for concurrent use.
type Punctuator struct {
	model  string
	params params
	queue  models.Queue[Window, Reading]
}

// New makes a punctuator of a model of family hashed-sequence and the queue
// that runs it.
func New(m *models.Model, q models.Queue[Window, Reading]) (*Punctuator, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return &Punctuator{m.Manifest.Ref(), p, q}, nil
}

// Punctuate gives each segment's words as they are written: capitals, and the
// mark after the word. The segments are one transcript, in order; a segment
// without words is taken as its text's, without pauses. Errors are the queue's.
func (p *Punctuator) Punctuate(ctx context.Context, segments []episode.Segment) ([][]string, models.Usage, error) {
	said, pauses := p.said(segments)
	readings, usage, err := models.Map(ctx, p.queue, inFlight, p.windows(said, pauses))
	usage.Model = p.model
	if err != nil {
		return nil, usage, fmt.Errorf("punctuation: %s: %w", p.model, err)
	}
	written := p.write(said, readings)
	out := make([][]string, len(segments))
	for i, s := range segments {
		n := len(wordsOf(s))
		out[i], written = written[:n:n], written[n:]
	}
	return out, usage, nil
}

// wordsOf are a segment's words; without times where it has none.
func wordsOf(s episode.Segment) []episode.Word {
	if len(s.Words) > 0 {
		return s.Words
	}
	texts := strings.Fields(s.Text)
	found := make([]episode.Word, len(texts))
	for i, text := range texts {
		found[i] = episode.Word{Span: episode.Span{Start: s.Start, End: s.Start}, Text: text}
	}
	if n := len(found); n > 0 {
		found[n-1].End = s.End
	}
	return found
}

// said are all words and the seconds of silence after each; after the last it
// is silent for ever.
func (p *Punctuator) said(segments []episode.Segment) (texts []string, pauses []float32) {
	var end episode.Seconds
	for _, s := range segments {
		for _, w := range wordsOf(s) {
			if n := len(pauses); n > 0 {
				pauses[n-1] = min(p.params.LongestPause, max(0, float32(w.Start-end)))
			}
			texts, pauses, end = append(texts, w.Text), append(pauses, p.params.LongestPause), w.End
		}
	}
	return texts, pauses
}

// windows cuts words into the model's windows: each is answered for all words
// but the context on either side of them.
func (p *Punctuator) windows(said []string, pauses []float32) []Window {
	var out []Window
	step := p.params.Words - 2*p.params.ContextWords
	for at := 0; at < len(said); at += step {
		w := Window{IDs: make([]int64, p.params.Words*features), Pauses: make([]float32, p.params.Words)}
		for place := range p.params.Words {
			if i := at - p.params.ContextWords + place; i >= 0 && i < len(said) {
				w.Words++
				copy(w.IDs[place*features:], p.rows(said[i]))
				w.Pauses[place] = pauses[i]
			}
		}
		out = append(out, w)
	}
	return out
}

// rows are the rows of the model's table that stand for a word: itself by two
// hashes, its first four letters, its last three and its last two
// (models/train/punctuation/network.py).
func (p *Punctuator) rows(word string) []int64 {
	word = strings.ToLower(word)
	r := []rune(word)
	ids := make([]int64, 0, features)
	for _, feature := range [features]string{
		"w" + word, "v" + word, "p" + string(r[:min(4, len(r))]), "s" + string(r[max(0, len(r)-3):]), "t" + string(r[max(0, len(r)-2):]),
	} {
		ids = append(ids, words.Row(feature, p.params.Rows))
	}
	return ids
}

// write puts marks and capitals to the words, by what the model holds for
// likeliest. What begins a sentence has a capital, and the last word ends one.
func (p *Punctuator) write(said []string, readings []Reading) []string {
	step := p.params.Words - 2*p.params.ContextWords
	out := make([]string, len(said))
	begins := true
	for i, word := range said {
		reading, place := readings[i/step], p.params.ContextWords+i%step
		m := mark(likeliest(reading.Marks, place, int(marksEnd)))
		c := letters(likeliest(reading.Cases, place, int(casesEnd)))
		if i+1 == len(said) {
			m = max(m, fullStop)
		}
		if begins && c == asItIs {
			c = capitalised
		}
		out[i] = spell(word, c) + marks[m]
		begins = m.ends()
	}
	return out
}

// likeliest is the class with the highest logit of a word.
func likeliest(logits []float32, place, classes int) int {
	row := logits[place*classes : (place+1)*classes]
	best := 0
	for i, x := range row {
		if x > row[best] {
			best = i
		}
	}
	return best
}

// spell writes a word with capitals; a possessive of letters keeps its small s.
func spell(word string, c letters) string {
	switch c {
	case capitalised:
		first, n := utf8.DecodeRuneInString(word)
		if n == 0 || first == utf8.RuneError {
			return word
		}
		return string(unicode.ToTitle(first)) + word[n:]
	case upperCase:
		stem, possessive := strings.CutSuffix(word, "'s")
		word = strings.ToUpper(stem)
		if possessive {
			word += "'s"
		}
	}
	return word
}
