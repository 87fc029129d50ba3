package index

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Query asks for episodes. Every condition that is set must hold. The zero
// value asks for all episodes, newest first.
type Query struct {
	// Text is in the query language of Parse. Episodes are ranked by it; with
	// no text, newest first.
	Text string

	// Like ranks by likeness to an episode: the inner product of embeddings that
	// one model made. The episode itself, and those without such an embedding,
	// are left out; Text then only filters.
	Like episode.ID

	Podcast  string // its guid
	Language string // BCP 47; "en" finds "en-GB" too
	Topic    string // name, any case, or id
	Event    string // sound event: name, any case, or AudioSet id

	PublishedFrom   time.Time // inclusive; zero: no bound
	PublishedBefore time.Time // exclusive; zero: no bound

	Offset  int // episodes to skip
	Limit   int // episodes to return; zero: 10, at most MaxLimit
	Moments int // moments to return for each; zero: 3, at most MaxMoments

	// Open and Close are put around what matched in Moment.Text, Hit.Title and
	// Hit.Description. Both empty: no marks.
	Open, Close string
}

// Bounds of a query.
const (
	MaxLimit   = 100
	MaxMoments = 50
	MaxOffset  = 10_000
	maxText    = 1_000 // bytes
	maxClauses = 32
)

// Page is one page of results.
type Page struct {
	Total  int    `json:"total"` // episodes that match, on all pages
	Hits   []Hit  `json:"hits"`
	Facets Facets `json:"facets"`
}

// Hit is one episode that matches.
type Hit struct {
	ID          episode.ID      `json:"id"`
	Podcast     string          `json:"podcast"`
	Title       string          `json:"title"`                 // marked
	Description string          `json:"description,omitempty"` // marked, and cut to what surrounds the first match
	Language    string          `json:"language,omitempty"`
	PublishedAt time.Time       `json:"published_at,omitzero"`
	Duration    episode.Seconds `json:"duration"`
	Preview     string          `json:"preview,omitempty"` // its manifest at the origin
	Score       float64         `json:"score"`             // greater is better; only comparable within one page; 0 without Text and Like
	Moments     []Moment        `json:"moments"`           // best first
}

// Moment is where in the episode the query was said.
type Moment struct {
	Segment int `json:"segment"` // index into the transcript's segments
	episode.Span
	Text string `json:"text"` // the segment's, marked
}

// Facets count the episodes that match, on all pages, most first.
type Facets struct {
	Language []Facet `json:"language"`
	Topic    []Facet `json:"topic"`
	Event    []Facet `json:"event"`
}

// Facet is one value and how many of the matching episodes have it.
type Facet struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// QueryError says what about a query cannot be understood.
type QueryError struct {
	Field  string // of Query
	Reason string
}

func (e *QueryError) Error() string { return fmt.Sprintf("index: query: %s: %s", e.Field, e.Reason) }

// Check reports what about the query cannot be understood, and returns it with
// the defaults filled in.
func (q Query) Check() (Query, error) {
	if q.Limit == 0 {
		q.Limit = 10
	}
	if q.Moments == 0 {
		q.Moments = 3
	}
	bounds := []struct {
		field           string
		value, min, max int
	}{{"Limit", q.Limit, 1, MaxLimit}, {"Moments", q.Moments, 1, MaxMoments}, {"Offset", q.Offset, 0, MaxOffset}}
	for _, b := range bounds {
		if b.value < b.min || b.value > b.max {
			return q, &QueryError{b.field, fmt.Sprintf("%d is not within %d and %d", b.value, b.min, b.max)}
		}
	}
	if !q.PublishedFrom.IsZero() && !q.PublishedBefore.IsZero() && !q.PublishedFrom.Before(q.PublishedBefore) {
		return q, &QueryError{"PublishedBefore", "is not later than PublishedFrom"}
	}
	return q, nil
}

// Clause is one condition on an episode's text.
type Clause struct {
	Text    string // one word, or the words of a phrase
	Phrase  bool   // the words must follow one another
	Prefix  bool   // the last word may go on
	Exclude bool   // no such text anywhere in the episode
}

// Parse reads the query language. Words that are separated by spaces must all
// occur in the episode, in any order; "quotes" make a phrase, a star at the end
// of a word or phrase lets it go on (goal* finds goalkeeper), and a minus before
// a word or phrase excludes episodes that contain it. Nothing else has a
// meaning. Case and accents are for the driver to fold. Parse returns a
// *QueryError for a query that is too long, has too many clauses, is not UTF-8
// or only excludes.
func Parse(text string) ([]Clause, error) {
	if len(text) > maxText {
		return nil, &QueryError{"Text", fmt.Sprintf("%d bytes; at most %d", len(text), maxText)}
	}
	if !utf8.ValidString(text) {
		return nil, &QueryError{"Text", "not UTF-8"}
	}
	var (
		clauses  []Clause
		positive bool
	)
	for rest := strings.TrimLeftFunc(text, unicode.IsSpace); rest != ""; rest = strings.TrimLeftFunc(rest, unicode.IsSpace) {
		var c Clause
		c, rest = parseClause(rest)
		if strings.IndexFunc(c.Text, wordRune) < 0 {
			continue // punctuation alone finds nothing and excludes nothing
		}
		positive = positive || !c.Exclude
		if clauses = append(clauses, c); len(clauses) > maxClauses {
			return nil, &QueryError{"Text", fmt.Sprintf("more than %d words and phrases", maxClauses)}
		}
	}
	if len(clauses) > 0 && !positive {
		return nil, &QueryError{"Text", "only excludes; say what to find as well"}
	}
	return clauses, nil
}

func parseClause(text string) (c Clause, rest string) {
	if after, minus := strings.CutPrefix(text, "-"); minus && after != "" {
		c.Exclude, text = true, after
	}
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		c.Phrase = true
		c.Text, rest, _ = strings.Cut(quoted, `"`) // an open quote lasts to the end
		rest, c.Prefix = strings.CutPrefix(rest, "*")
		return c, rest
	}
	end := strings.IndexFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '"' })
	if end < 0 {
		end = len(text)
	}
	c.Text, rest = text[:end], text[end:]
	c.Text, c.Prefix = strings.CutSuffix(c.Text, "*")
	return c, rest
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }
