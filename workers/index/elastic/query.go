package elastic

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// weighted is a field with its weight in an episode's score.
type weighted struct {
	name   string
	weight float64
}

// A word in the title says more about an episode than one of ten thousand that
// were spoken; another form of the word says less than the word itself.
var (
	episodeFields = []weighted{{"words.title", 8}, {"words.description", 3}, {"words.speech", 1}}
	segmentFields = []weighted{{"words", 1}}
)

const stemWeight = 0.5

// Bounds of what one query may cost.
const (
	// maxStemmed is for how many of its words the other forms are looked for:
	// each is a clause in each language, in highlights two, and 1,024 are allowed.
	maxStemmed = 12
	// maxExpansions is how many words may end a phrase that goes on ("ran for"*),
	// in each shard. A single word that goes on (for*) has no bound.
	maxExpansions = 2_048
)

// phrase asks one field for a term. The queries here are trees and not texts,
// so that nothing sought can be an operator.
func phrase(f weighted, t tokens.Term) es.Query {
	text := strings.Join(t.Tokens, " ")
	switch {
	case !t.Prefix:
		return es.NewMatchPhraseQuery(f.name, text).Analyzer("whitespace").Boost(f.weight)
	case len(t.Tokens) == 1:
		return es.NewPrefixQuery(f.name, text).Boost(f.weight)
	default:
		return es.NewMatchPhrasePrefixQuery(f.name, text).Analyzer("whitespace").MaxExpansions(maxExpansions).Boost(f.weight)
	}
}

// said matches what has a term in any of the fields, or its word in another
// form in one of the inflected ones.
func said(t tokens.Term, fields []weighted, inflected []string) es.Query {
	any := es.NewBoolQuery().MinimumNumberShouldMatch(1)
	for _, f := range fields {
		any.Should(phrase(f, t))
	}
	if t.Word != "" && len(inflected) > 0 {
		any.Should(forms(t.Word, inflected))
	}
	return any
}

func forms(word string, inflected []string) es.Query {
	return es.NewMultiMatchQuery(word, inflected...).Type("best_fields").Operator("and").Boost(stemWeight)
}

// sought is a query's text as what is asked.
type sought struct {
	terms    []tokens.Term
	language string // analyzers of others are not asked
}

// inflected are the fields of an object in which a term's other forms are
// looked for.
func (s sought) inflected(object string, place int) (fields []string) {
	if place >= maxStemmed {
		return nil
	}
	if a := analyzer(s.language); a != "" {
		return []string{object + "." + a}
	}
	if s.language != "" {
		return nil
	}
	for _, a := range analyzerNames() {
		fields = append(fields, object+"."+a)
	}
	return fields
}

// episodes is the query that the episodes sought match.
func (s sought) episodes() *es.BoolQuery {
	all := es.NewBoolQuery()
	for i, t := range s.terms {
		if t.Exclude {
			all.MustNot(said(t, episodeFields, nil))
		} else {
			all.Must(said(t, episodeFields, s.inflected("stems", i)))
		}
	}
	return all
}

// segments has a clause for each term that a segment may say.
func (s sought) segments() (any []es.Query) {
	for i, t := range s.terms {
		if !t.Exclude {
			any = append(any, said(t, segmentFields, s.inflected("text", i)))
		}
	}
	return any
}

// highlight asks for other forms of words in the fields of objects, between
// marks of ours. It is nil where there are none to be looked for.
func (s sought) highlight(objects ...string) *es.Highlight {
	words := es.NewBoolQuery()
	h := es.NewHighlight().PreTags(markOpen).PostTags(markClose).NumOfFragments(0).RequireFieldMatch(true)
	n := 0
	for i, t := range s.terms {
		for _, o := range objects {
			if fields := s.inflected(o, i); t.Word != "" && len(fields) > 0 {
				words.Should(forms(t.Word, fields))
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	for _, o := range objects {
		h.Fields(es.NewHighlighterField(o + ".*"))
	}
	return h.HighlightQuery(words)
}

// Marks that no text has but by chance, from Unicode's area for private use.
const (
	markOpen  = "\ue0e0"
	markClose = "\ue0e1"
)

// highlighted reads the marks of a highlighted text as ranges of the text. A
// highlight of another text, or of one that has the marks itself, has none.
func highlighted(text, marked string) (ranges []tokens.Range) {
	at := 0
	var plain strings.Builder
	for rest := marked; rest != ""; {
		before, after, found := strings.Cut(rest, markOpen)
		plain.WriteString(before)
		at += len(before)
		if !found {
			break
		}
		inside, after, found := strings.Cut(after, markClose)
		if !found {
			return nil
		}
		plain.WriteString(inside)
		ranges = append(ranges, tokens.Range{Start: at, End: at + len(inside)})
		at += len(inside)
		rest = after
	}
	if !strings.HasPrefix(text, plain.String()) {
		return nil
	}
	return ranges
}

// anyHighlight is the highlight of the one field of an object that has one.
func anyHighlight(h es.SearchHitHighlight, object string) string {
	for name, fragments := range h {
		if strings.HasPrefix(name, object+".") && len(fragments) > 0 {
			return fragments[0]
		}
	}
	return ""
}

// filters narrow the episodes down by all but text.
func filters(all *es.BoolQuery, q index.Query) {
	all.Filter(es.NewTermQuery("removed", false))
	if q.Podcast != "" {
		all.Filter(es.NewTermQuery("podcast", q.Podcast))
	}
	if q.Language != "" {
		all.Filter(es.NewTermQuery("languages", strings.ToLower(q.Language)))
	}
	labels := []struct{ field, value string }{{"topics", q.Topic}, {"events", q.Event}}
	for _, l := range labels {
		if l.value == "" {
			continue
		}
		either := es.NewBoolQuery().MinimumNumberShouldMatch(1)
		for _, key := range labelKeys(l.value, l.value) {
			either.Should(es.NewTermQuery(l.field, key))
		}
		all.Filter(either)
	}
	if !q.PublishedFrom.IsZero() {
		all.Filter(es.NewRangeQuery("published").Gte(q.PublishedFrom.UnixMilli()))
	}
	if !q.PublishedBefore.IsZero() {
		all.Filter(es.NewRangeQuery("published").Lt(q.PublishedBefore.UnixMilli()))
	}
}

// maxFacets is how many values of a facet are returned.
const maxFacets = 50

// shardFacets is how many values each shard counts, so that the most frequent
// are right over several shards too.
const shardFacets = 1_000

// likeness is the inner product of a vector and one that pack has made.
func likeness(to []float32, packed string) (float64, error) {
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil || len(b) != 4*len(to) {
		return 0, fmt.Errorf("a vector of %d bytes where %d were expected", len(b), 4*len(to))
	}
	sum := 0.0
	for i, v := range to {
		sum += float64(v) * float64(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])))
	}
	return sum, nil
}
