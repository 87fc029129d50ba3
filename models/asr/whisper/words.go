package whisper

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Punctuation that belongs to the word after it or before it (transcribe.py).
const (
	opening     = "\"'“¿([{-"
	closing     = "\"'.。,，!！?？:：”)]}、"
	sentenceEnd = ".。!！?？"
	asciiMarks  = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// unspaced are the languages written without spaces between words.
var unspaced = []string{"zh", "ja", "th", "lo", "my", "yue"}

// splitWords groups text tokens into words (tokenizer.py,
// split_to_word_tokens): at spaces, or in languages without them at each
// character.
func splitWords(v *vocabulary, lang string, text []int) []timedWord {
	parts := splitCharacters(v, text)
	if slices.Contains(unspaced, lang) {
		return parts
	}
	var words []timedWord
	for _, p := range parts {
		mark := strings.Contains(asciiMarks, strings.TrimSpace(p.text))
		if len(words) == 0 || strings.HasPrefix(p.text, " ") || mark {
			words = append(words, p)
			continue
		}
		w := &words[len(words)-1]
		w.text += p.text
		w.tokens = slices.Concat(w.tokens, p.tokens)
	}
	return words
}

// splitCharacters groups tokens into the fewest that are whole characters.
func splitCharacters(v *vocabulary, text []int) []timedWord {
	full := []rune(v.text(text))
	var parts []timedWord
	var current []int
	offset := 0
	for _, t := range text {
		current = append(current, t)
		decoded := v.text(current)
		if i := strings.IndexRune(decoded, utf8.RuneError); i >= 0 {
			at := offset + utf8.RuneCountInString(decoded[:i])
			if at >= len(full) || full[at] != utf8.RuneError {
				continue // the rest of the character is to come
			}
		}
		parts = append(parts, timedWord{text: decoded, tokens: current})
		offset += utf8.RuneCountInString(decoded)
		current = nil
	}
	if len(current) > 0 {
		// Bytes that never become a character stay with the last one.
		parts = append(parts, timedWord{text: v.text(current), tokens: current})
	}
	return parts
}

// mergePunctuation joins marks to the words that they belong to; a word that
// was joined to another is left empty (timing.py, merge_punctuations).
func mergePunctuation(words []timedWord) {
	for i, j := len(words)-2, len(words)-1; i >= 0; i-- {
		before, after := &words[i], &words[j]
		if strings.HasPrefix(before.text, " ") && strings.Contains(opening, strings.TrimSpace(before.text)) {
			after.text, after.tokens = before.text+after.text, slices.Concat(before.tokens, after.tokens)
			before.text, before.tokens = "", nil
		} else {
			j = i
		}
	}
	for i, j := 0, 1; j < len(words); j++ {
		before, after := &words[i], &words[j]
		if !strings.HasSuffix(before.text, " ") && strings.Contains(closing, after.text) {
			before.text, before.tokens = before.text+after.text, slices.Concat(before.tokens, after.tokens)
			after.text, after.tokens = "", nil
		} else {
			i = j
		}
	}
}

// placeWords gives segments of one window their words, in the episode's time,
// and the segments the words' edges (timing.py, add_word_timestamps). Words
// far longer than the median are cut at the edges of sentences and segments.
// lastSpeech is where the segment before the first ended.
func placeWords(segments []segment, words []timedWord, offset, lastSpeech float64, eot int) {
	median, longest := wordLengths(words)
	words = slices.Clone(words)
	if longest > 0 {
		for i := 1; i < len(words); i++ {
			if words[i].end-words[i].start <= longest {
				continue
			}
			if strings.Contains(sentenceEnd, words[i].text) {
				words[i].end = words[i].start + longest
			} else if strings.Contains(sentenceEnd, words[i-1].text) {
				words[i].start = words[i].end - longest
			}
		}
	}
	mergePunctuation(words)
	next := 0
	for i := range segments {
		s := &segments[i]
		tokens := 0
		for _, t := range s.tokens {
			if t < eot {
				tokens++
			}
		}
		s.words = nil
		for saved := 0; next < len(words) && saved < tokens; next++ {
			w := words[next]
			saved += len(w.tokens)
			if w.text == "" {
				continue
			}
			w.start, w.end = hundredths(offset+w.start), hundredths(offset+w.end)
			s.words = append(s.words, w)
		}
		if len(s.words) > 0 {
			s.fitWords(median, longest, lastSpeech)
			lastSpeech = s.end
		}
	}
}

// wordLengths gives the median length of the words that have one, at most
// 0.7 s, and the length from which a word is suspicious.
func wordLengths(words []timedWord) (median, longest float64) {
	var lengths []float64
	for _, w := range words {
		if d := w.end - w.start; d != 0 {
			lengths = append(lengths, d)
		}
	}
	if len(lengths) == 0 {
		return 0, 0
	}
	slices.Sort(lengths)
	n := len(lengths)
	median = min(0.7, (lengths[(n-1)/2]+lengths[n/2])/2)
	return median, 2 * median
}

func (s *segment) fitWords(median, longest, lastSpeech float64) {
	w := s.words
	first, last := &w[0], &w[len(w)-1]
	if first.end-lastSpeech > 4*median && (first.end-first.start > longest || len(w) > 1 && w[1].end-first.start > 2*longest) {
		if len(w) > 1 && w[1].end-w[1].start > longest {
			boundary := max(w[1].end/2, w[1].end-longest)
			first.end, w[1].start = boundary, boundary
		}
		first.start = max(0, first.end-longest)
	}
	if s.start < first.end && s.start-0.5 > first.start {
		first.start = max(0, min(first.end-median, s.start))
	} else {
		s.start = first.start
	}
	if s.end > last.start && s.end+0.5 < last.end {
		last.end = max(last.start+median, s.end)
	} else {
		s.end = last.end
	}
}

// timeWords gives segments their words where the graph's attention gave none,
// and says where a transcript's times come from; "" for one without words.
func timeWords(v *vocabulary, lang string, segments []segment) string {
	if slices.ContainsFunc(segments, func(s segment) bool { return s.words != nil }) {
		return timesAttention
	}
	from := ""
	for i := range segments {
		if len(segments[i].tokens) > 0 {
			interpolate(v, lang, &segments[i])
			from = timesInterpolated
		}
	}
	return from
}

// interpolate lays words over a segment by their numbers of characters.
func interpolate(v *vocabulary, lang string, s *segment) {
	var text []int
	for _, t := range s.tokens {
		if t < v.eot {
			text = append(text, t)
		}
	}
	words := splitWords(v, lang, text)
	mergePunctuation(words)
	words = slices.DeleteFunc(words, func(w timedWord) bool { return strings.TrimSpace(w.text) == "" })
	total := 0
	for _, w := range words {
		total += utf8.RuneCountInString(w.text)
	}
	at := 0
	for i := range words {
		words[i].start = s.start + (s.end-s.start)*float64(at)/float64(total)
		at += utf8.RuneCountInString(words[i].text)
		words[i].end = s.start + (s.end-s.start)*float64(at)/float64(total)
		words[i].probability = math.Exp(s.logP)
	}
	s.words = words
}

func hundredths(x float64) float64 { return math.RoundToEven(x*100) / 100 }
