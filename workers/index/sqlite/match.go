package sqlite

import (
	"strings"

	"github.com/earshot-fm/earshot/workers/index"
)

// term is a clause in tokens: they must follow one another, and the last may
// be the beginning of a token when prefix is set.
type term struct {
	tokens  []string
	prefix  bool
	exclude bool
}

// terms turns clauses into what the tables can be asked. A run of spaceless
// characters ends in a token of its last character alone, which in a longer
// run would be a pair: at the end of a clause it is left to the pair before it,
// which holds it, or, when there is none, matched as the beginning of a pair.
func terms(clauses []index.Clause) (all []term) {
	for _, c := range clauses {
		tokens := tokenize(c.Text)
		n := len(tokens)
		if n == 0 {
			continue
		}
		t := term{prefix: c.Prefix, exclude: c.Exclude}
		last := tokens[n-1]
		if first := nextUnit(c.Text, last.start); first.spaceless && first.end == last.end {
			t.prefix = true
			if n > 1 && tokens[n-2].end == last.end {
				t.prefix = false
				tokens = tokens[:n-1]
			}
		}
		for _, tok := range tokens {
			t.tokens = append(t.tokens, tok.text)
		}
		all = append(all, t)
	}
	return all
}

// expression is the term in FTS5's language. Tokens hold letters, digits and
// marks only, so that nothing in them can be an operator.
func (t term) expression() string {
	e := `"` + strings.Join(t.tokens, " ") + `"`
	if t.prefix {
		e += " *"
	}
	return e
}

// match is the FTS5 expression that all episodes sought match, and none that
// is excluded.
func match(all []term) string {
	var want, not []string
	for _, t := range all {
		if t.exclude {
			not = append(not, t.expression())
		} else {
			want = append(want, t.expression())
		}
	}
	if len(want) == 0 {
		return ""
	}
	e := strings.Join(want, " AND ")
	if len(not) > 0 {
		e = "(" + e + ") NOT (" + strings.Join(not, " OR ") + ")"
	}
	return e
}

// anyOf is the FTS5 expression that a segment matches when it has any of what
// is sought.
func anyOf(all []term) string {
	var want []string
	for _, t := range all {
		if !t.exclude {
			want = append(want, t.expression())
		}
	}
	return strings.Join(want, " OR ")
}

// span is a range of bytes.
type span struct{ start, end int }

// matches are the ranges of a text that the sought terms match, in order,
// without overlap.
func matches(text string, all []term) []span {
	tokens := tokenize(text)
	marked := make([]bool, len(tokens))
	for _, t := range all {
		if t.exclude {
			continue
		}
		for i := 0; i+len(t.tokens) <= len(tokens); i++ {
			if t.matchesAt(tokens[i:]) {
				for j := range t.tokens {
					marked[i+j] = true
				}
			}
		}
	}
	var spans []span
	for i, tok := range tokens {
		if !marked[i] {
			continue
		}
		if n := len(spans); n > 0 && tok.start < spans[n-1].end {
			spans[n-1].end = max(spans[n-1].end, tok.end)
			continue
		}
		spans = append(spans, span{tok.start, tok.end})
	}
	return spans
}

func (t term) matchesAt(tokens []token) bool {
	for j, want := range t.tokens {
		got := tokens[j].text
		if got != want && !(t.prefix && j == len(t.tokens)-1 && strings.HasPrefix(got, want)) {
			return false
		}
	}
	return true
}

// mark puts open and close around what matches.
func mark(text string, all []term, open, close string) string {
	if open == "" && close == "" {
		return text
	}
	var b strings.Builder
	at := 0
	for _, s := range matches(text, all) {
		b.WriteString(text[at:s.start])
		b.WriteString(open)
		b.WriteString(text[s.start:s.end])
		b.WriteString(close)
		at = s.end
	}
	b.WriteString(text[at:])
	return b.String()
}

// excerptBytes is about how much of a description a hit shows.
const excerptBytes = 240

// excerpt cuts a text to what surrounds the first match, at spaces where it
// has some, and returns what it cut as an ellipsis.
func excerpt(text string, all []term) string {
	if len(text) <= excerptBytes {
		return text
	}
	start := 0
	if spans := matches(text, all); len(spans) > 0 {
		start = max(0, spans[0].start-excerptBytes/3)
	}
	end := min(len(text), start+excerptBytes)
	start, end = boundary(text, start), boundary(text, end)
	cut := text[start:end]
	if start > 0 {
		if i := strings.IndexByte(cut, ' '); i >= 0 && i < excerptBytes/6 {
			cut = cut[i+1:]
		}
		cut = "…" + cut
	}
	if end < len(text) {
		if i := strings.LastIndexByte(cut, ' '); i > len(cut)-excerptBytes/6 {
			cut = cut[:i]
		}
		cut += "…"
	}
	return cut
}

// boundary moves an offset back to where a character begins.
func boundary(text string, at int) int {
	for at > 0 && at < len(text) && text[at]&0xC0 == 0x80 {
		at--
	}
	return at
}
