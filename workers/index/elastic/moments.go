package elastic

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// moments finds the segments of the hits that say what is sought. A phrase
// that goes over the end of a segment is in none; the words of it then serve.
// missing reports that some hits' segments are not all to be seen.
func (x *Index) moments(ctx context.Context, q index.Query, s sought, hits []*found) (missing bool, err error) {
	spoken := slices.DeleteFunc(slices.Clone(hits), func(f *found) bool { return f.segments == 0 })
	if err := x.momentsOf(ctx, q, s, spoken); err != nil {
		return false, err
	}
	if each := tokens.Each(s.terms); len(each) > len(s.terms) { // a phrase
		silent := slices.DeleteFunc(slices.Clone(spoken), func(f *found) bool { return f.missing || len(f.hit.Moments) > 0 })
		if err := x.momentsOf(ctx, q, sought{each, s.language}, silent); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(spoken, func(f *found) bool { return f.missing }), nil
}

func (x *Index) momentsOf(ctx context.Context, q index.Query, s sought, hits []*found) (err error) {
	clauses := s.segments()
	if len(clauses) == 0 || len(hits) == 0 {
		return nil
	}
	var answer *es.MultiSearchResult
	err = x.call(ctx, func(ctx context.Context) (err error) {
		request := x.client.MultiSearch()
		for _, f := range hits {
			request.Add(x.momentsRequest(q, s, clauses, f))
		}
		if answer, err = request.Do(ctx); err != nil {
			return err
		}
		if len(answer.Responses) != len(hits) {
			return fmt.Errorf("%d searches were asked for, and %d answered", len(hits), len(answer.Responses))
		}
		for _, r := range answer.Responses {
			if err := whole(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, f := range hits {
		r := answer.Responses[i]
		if f.missing = int(r.Hits.TotalHits.Value) != f.segments; f.missing {
			continue
		}
		for _, h := range r.Hits.Hits {
			if h.Score == nil || *h.Score <= 0 {
				break // the rest says nothing of it
			}
			m, err := moment(h, q, s)
			if err != nil {
				return err
			}
			f.hit.Moments = append(f.hit.Moments, m)
		}
	}
	return nil
}

// momentsRequest asks for all segments of an edition, those that say what is
// sought first: so that their number says whether all are there.
func (x *Index) momentsRequest(q index.Query, s sought, clauses []es.Query, f *found) *es.SearchRequest {
	query := es.NewBoolQuery().Filter(es.NewTermQuery("episode", string(f.hit.ID)), es.NewTermQuery("edition", string(f.edition))).
		Should(clauses...).MinimumNumberShouldMatch(0)
	source := es.NewSearchSource().Query(query).Size(q.Moments).TrackTotalHits(true).
		FetchSourceIncludeExclude([]string{"n", "start", "end", "text"}, nil).
		SortBy(es.NewScoreSort(), es.NewFieldSort("n"))
	if h := s.highlight("text"); h != nil && q.Open+q.Close != "" {
		source.Highlight(h)
	}
	return es.NewSearchRequest().Index(x.options.Segments).Routing(string(f.hit.ID)).SearchSource(source)
}

func moment(h *es.SearchHit, q index.Query, s sought) (m index.Moment, err error) {
	var source segmentSource
	if err := json.Unmarshal(h.Source, &source); err != nil {
		return m, fmt.Errorf("its answer cannot be read: %w", err)
	}
	for _, text := range source.Text {
		m.Text = tokens.Mark(text, marks(text, s.terms, anyHighlight(h.Highlight, "text")), q.Open, q.Close)
	}
	m.Segment = source.N
	m.Span = episode.Span{Start: episode.Seconds(source.Start), End: episode.Seconds(source.End)}
	return m, nil
}

// momentsIn finds the moments among the segments of an episode, those that say
// most of what is sought first.
func momentsIn(segments []index.Segment, q index.Query, s sought) []index.Moment {
	type place struct{ n, terms int }
	find := func(terms []tokens.Term) (all []place) {
		for n, segment := range segments {
			at := place{n: n}
			for _, t := range terms {
				if len(tokens.Matches(segment.Text, []tokens.Term{t})) > 0 {
					at.terms++
				}
			}
			if at.terms > 0 {
				all = append(all, at)
			}
		}
		return all
	}
	terms := s.terms
	all := find(terms)
	if len(all) == 0 {
		terms = tokens.Each(terms)
		all = find(terms)
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(b.terms, a.terms) })
	moments := []index.Moment{}
	for _, at := range all[:min(len(all), q.Moments)] {
		segment := segments[at.n]
		moments = append(moments, index.Moment{
			Segment: at.n, Span: segment.Span,
			Text: tokens.Mark(segment.Text, tokens.Matches(segment.Text, terms), q.Open, q.Close),
		})
	}
	return moments
}
