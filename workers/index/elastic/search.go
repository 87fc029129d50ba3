package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// Search implements index.Index. Which episodes are found, how many, in what
// order and with which facets, one search over one document an episode says;
// the moments come from the segments of just those editions. Where these are
// not all to be seen, since the episode was put or replaced only now, it is
// asked again with the documents whole, which say their moments themselves.
func (x *Index) Search(ctx context.Context, q index.Query) (index.Page, error) {
	q, err := q.Check()
	if err != nil {
		return index.Page{}, err
	}
	clauses, err := index.Parse(q.Text)
	if err != nil {
		return index.Page{}, err
	}
	page, err := x.search(ctx, q, sought{tokens.Terms(clauses), q.Language})
	if err != nil {
		return index.Page{}, failed("search "+x.options.Episodes, err)
	}
	return page, nil
}

func (x *Index) search(ctx context.Context, q index.Query, s sought) (index.Page, error) {
	hits, page, err := x.find(ctx, q, s, shown)
	if err != nil {
		return page, err
	}
	missing, err := x.moments(ctx, q, s, hits)
	if err != nil {
		return page, err
	}
	if missing {
		before := map[edition]*found{}
		for _, f := range hits {
			if !f.missing {
				before[f.edition] = f
			}
		}
		if hits, page, err = x.find(ctx, q, s, append([]string{"document.segments"}, shown...)); err != nil {
			return page, err
		}
		for _, f := range hits {
			if b := before[f.edition]; b != nil && b.hit.ID == f.hit.ID {
				f.hit.Moments = b.hit.Moments
			} else {
				f.hit.Moments = momentsIn(f.said, q, s)
			}
		}
	}
	for _, f := range hits {
		page.Hits = append(page.Hits, f.hit)
	}
	return page, nil
}

// find finds the episodes of a page, with the named parts of their documents.
func (x *Index) find(ctx context.Context, q index.Query, s sought, parts []string) ([]*found, index.Page, error) {
	if q.Like != "" {
		return x.alike(ctx, q, s, parts)
	}
	all := s.episodes()
	filters(all, q)
	source := hitSource(q, s, all, parts).From(q.Offset).Size(q.Limit).TrackTotalHits(true)
	counted(source)
	if len(s.terms) > 0 {
		source.SortBy(es.NewScoreSort(), es.NewFieldSort("id"))
	} else {
		source.SortBy(es.NewFieldSort("published").Desc().Missing("_last"), es.NewFieldSort("id"))
	}
	answer, err := x.ask(ctx, x.options.Episodes, source)
	if err != nil {
		return nil, index.Page{}, err
	}
	page, err := pageOf(answer)
	if err != nil {
		return nil, page, err
	}
	hits, err := hitsOf(answer, q, s)
	for i, f := range hits {
		if score := answer.Hits.Hits[i].Score; score != nil && len(s.terms) > 0 {
			f.hit.Score = *score
		}
	}
	return hits, page, err
}

// shown are the parts of a document that a hit is made of.
var shown = []string{
	"edition", "segments", "document.id", "document.podcast", "document.title", "document.description",
	"document.language", "document.published_at", "document.duration", "document.preview.manifest",
}

func hitSource(q index.Query, s sought, query es.Query, parts []string) *es.SearchSource {
	source := es.NewSearchSource().Query(query).FetchSourceIncludeExclude(parts, nil)
	if h := s.highlight("titles", "descriptions"); h != nil && q.Open+q.Close != "" {
		source.Highlight(h)
	}
	return source
}

func counted(source *es.SearchSource) {
	for _, field := range []string{"language", "topic", "event"} {
		source.Aggregation(field, es.NewTermsAggregation().Field(field).Size(maxFacets).ShardSize(shardFacets).OrderByCountDesc().OrderByKeyAsc())
	}
}

// ask makes a search that is answered in whole or not at all.
func (x *Index) ask(ctx context.Context, name string, source *es.SearchSource) (answer *es.SearchResult, err error) {
	err = x.call(ctx, func(ctx context.Context) (err error) {
		answer, err = x.client.Search(name).AllowPartialSearchResults(false).SearchSource(source).Do(ctx)
		if err != nil {
			return err
		}
		return whole(answer)
	})
	return answer, err
}

func whole(answer *es.SearchResult) error {
	switch {
	case answer.Error != nil:
		return &fault{status: answer.Status, kind: answer.Error.Type, reason: reason(answer.Error)}
	case answer.Hits == nil || answer.Hits.TotalHits == nil:
		return errors.New("it does not say what was found")
	case answer.TimedOut || answer.Shards != nil && answer.Shards.Failed > 0:
		return errors.New("not all of its shards answered")
	}
	return nil
}

func pageOf(answer *es.SearchResult) (page index.Page, err error) {
	page = index.Page{Total: int(answer.Hits.TotalHits.Value), Hits: []index.Hit{}}
	facets := []struct {
		field string
		to    *[]index.Facet
	}{{"language", &page.Facets.Language}, {"topic", &page.Facets.Topic}, {"event", &page.Facets.Event}}
	for _, f := range facets {
		*f.to = []index.Facet{}
		terms, ok := answer.Aggregations.Terms(f.field)
		if !ok {
			return page, fmt.Errorf("its answer has no facet %q", f.field)
		}
		for _, b := range terms.Buckets {
			value, _ := b.Key.(string)
			*f.to = append(*f.to, index.Facet{Value: value, Count: int(b.DocCount)})
		}
	}
	return page, nil
}

// found is a hit, and of which edition.
type found struct {
	hit      index.Hit
	edition  edition
	segments int             // that it has
	said     []index.Segment // these, when they were asked for
	missing  bool            // not all of them are to be seen
}

func hitsOf(answer *es.SearchResult, q index.Query, s sought) (all []*found, err error) {
	for _, h := range answer.Hits.Hits {
		var source struct {
			Edition  edition
			Segments int
			Document struct {
				ID          episode.ID
				Podcast     string
				Title       string
				Description string
				Language    string
				PublishedAt time.Time `json:"published_at"`
				Duration    episode.Seconds
				Preview     struct{ Manifest string }
				Segments    []index.Segment
			}
		}
		if err := json.Unmarshal(h.Source, &source); err != nil {
			return nil, fmt.Errorf("its answer cannot be read: %w", err)
		}
		d := source.Document
		title := marks(d.Title, s.terms, anyHighlight(h.Highlight, "titles"))
		excerpt, left := tokens.Excerpt(d.Description, marks(d.Description, s.terms, anyHighlight(h.Highlight, "descriptions")))
		all = append(all, &found{edition: source.Edition, segments: source.Segments, said: d.Segments, hit: index.Hit{
			ID: d.ID, Podcast: d.Podcast, Language: d.Language, PublishedAt: d.PublishedAt, Duration: d.Duration, Preview: d.Preview.Manifest,
			Title:       tokens.Mark(d.Title, title, q.Open, q.Close),
			Description: tokens.Mark(excerpt, left, q.Open, q.Close),
			Moments:     []index.Moment{},
		}})
	}
	return all, nil
}

// marks are where a text says what is sought, in these words or, where the
// cluster says so, in other forms of them.
func marks(text string, terms []tokens.Term, marked string) []tokens.Range {
	return tokens.Beside(tokens.Matches(text, terms), highlighted(text, marked))
}
