package elastic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// moments finds the segments of the hits that say what is sought. A phrase
// that goes over the end of a segment is in none; the words of it then serve.
// Its error is errStale when a hit's edition is no more.
func (x *Index) moments(ctx context.Context, q index.Query, s sought, hits []*found) error {
	spoken := slices.DeleteFunc(slices.Clone(hits), func(f *found) bool { return f.segments == 0 })
	stale, err := x.momentsOf(ctx, q, s, spoken)
	if err != nil {
		return err
	}
	each := tokens.Each(s.terms)
	if len(each) > len(s.terms) { // a phrase
		silent := slices.DeleteFunc(spoken, func(f *found) bool { return len(f.hit.Moments) > 0 })
		again, err := x.momentsOf(ctx, q, sought{each, s.language}, silent)
		if err != nil {
			return err
		}
		stale = stale || again
	}
	if stale {
		return errStale
	}
	return nil
}

func (x *Index) momentsOf(ctx context.Context, q index.Query, s sought, hits []*found) (stale bool, err error) {
	clauses := s.segments()
	if len(clauses) == 0 || len(hits) == 0 {
		return false, nil
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
		return false, err
	}
	for i, f := range hits {
		r := answer.Responses[i]
		if int(r.Hits.TotalHits.Value) != f.segments {
			gone, err := x.momentsFromDocument(ctx, q, s, f)
			if err != nil {
				return false, err
			}
			stale = stale || gone
			continue
		}
		for _, h := range r.Hits.Hits {
			if h.Score == nil || *h.Score <= 0 {
				break // the rest says nothing of it
			}
			m, err := moment(h, q, s)
			if err != nil {
				return false, err
			}
			f.hit.Moments = append(f.hit.Moments, m)
		}
	}
	return stale, nil
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

// momentsFromDocument finds the moments in the episode's own document: its
// segments are not all to be seen yet, or are being removed because it is
// replaced; gone reports the latter.
func (x *Index) momentsFromDocument(ctx context.Context, q index.Query, s sought, f *found) (gone bool, err error) {
	there, err := x.get(ctx, x.options.Episodes, f.hit.ID, "edition", "document.segments")
	if err != nil {
		return false, err
	}
	if !there.found || there.Edition != f.edition {
		return true, nil
	}
	var d index.Document
	if err := json.Unmarshal(there.Document, &d); err != nil {
		return false, errors.Join(errors.New("its answer cannot be read"), err)
	}
	type place struct{ n, terms int }
	var all []place
	for n, segment := range d.Segments {
		at := place{n: n}
		for _, t := range s.terms {
			if len(tokens.Matches(segment.Text, []tokens.Term{t})) > 0 {
				at.terms++
			}
		}
		if at.terms > 0 {
			all = append(all, at)
		}
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(b.terms, a.terms) })
	for _, at := range all[:min(len(all), q.Moments)] {
		segment := d.Segments[at.n]
		f.hit.Moments = append(f.hit.Moments, index.Moment{
			Segment: at.n, Span: segment.Span,
			Text: tokens.Mark(segment.Text, tokens.Matches(segment.Text, s.terms), q.Open, q.Close),
		})
	}
	return false, nil
}
