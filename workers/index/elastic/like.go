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
)

// maxCompared is how many episodes, the newest, one is compared with: their
// vectors come over the network, 1.5 KB each for 384 components. Scripts and
// vector fields that could rank them in place are not in every Elasticsearch.
const (
	maxCompared  = 20_000
	comparedPage = 2_000
)

// candidate is an episode with how alike it is.
type candidate struct {
	id    string
	score float64
}

// alike finds the page of episodes that are most like one.
func (x *Index) alike(ctx context.Context, q index.Query, s sought, parts []string) ([]*found, index.Page, error) {
	there, err := x.get(ctx, x.options.Episodes, q.Like, "removed", "space", "document.embedding")
	if err == nil && (!there.found || there.Removed) {
		err = index.ErrNotFound
	}
	if err == nil && there.Space == "" {
		err = &index.QueryError{Field: "Like", Reason: fmt.Sprintf("episode %s has no embedding", q.Like)}
	}
	var d index.Document
	if err == nil {
		err = json.Unmarshal(there.Document, &d)
	}
	if err != nil {
		return nil, index.Page{}, err
	}
	to := make([]float32, len(d.Embedding.Values))
	for i, v := range d.Embedding.Values {
		to[i] = float32(v)
	}
	filter := s.episodes()
	filters(filter, q)
	filter.Filter(es.NewTermQuery("space", there.Space)).MustNot(es.NewTermQuery("id", string(q.Like)))
	page, all, err := x.compare(ctx, es.NewBoolQuery().Filter(filter), to)
	if err != nil {
		return nil, page, err
	}
	all = all[min(q.Offset, len(all)):min(q.Offset+q.Limit, len(all))]
	if len(all) == 0 {
		return nil, page, nil
	}
	place := map[episode.ID]int{}
	ids := es.NewIdsQuery()
	for i, c := range all {
		place[episode.ID(c.id)] = i
		ids.Ids(c.id)
	}
	answer, err := x.ask(ctx, x.options.Episodes, hitSource(q, s, es.NewBoolQuery().Filter(ids, es.NewTermQuery("removed", false)), parts).Size(len(all)))
	if err != nil {
		return nil, page, err
	}
	hits, err := hitsOf(answer, q, s)
	for _, f := range hits {
		f.hit.Score = all[place[f.hit.ID]].score
	}
	slices.SortFunc(hits, func(a, b *found) int { return cmp.Compare(place[a.hit.ID], place[b.hit.ID]) })
	return hits, page, err
}

// compare ranks the episodes that match by their likeness.
func (x *Index) compare(ctx context.Context, query es.Query, to []float32) (page index.Page, all []candidate, err error) {
	var after []any
	for len(all) < maxCompared {
		source := es.NewSearchSource().Query(query).Size(comparedPage).FetchSource(false).DocvalueFields("vector", "id").
			SortBy(es.NewFieldSort("published").Desc().Missing("_last"), es.NewFieldSort("id"))
		if after == nil {
			counted(source.TrackTotalHits(true))
		} else {
			source.SearchAfter(after...)
		}
		answer, err := x.ask(ctx, x.options.Episodes, source)
		if err != nil {
			return page, nil, err
		}
		if after == nil {
			if page, err = pageOf(answer); err != nil {
				return page, nil, err
			}
		}
		for _, h := range answer.Hits.Hits {
			vector, _ := h.Fields["vector"].([]any)
			if len(vector) != 1 {
				return page, nil, fmt.Errorf("episode %s has no vector, although it has an embedding", h.Id)
			}
			packed, _ := vector[0].(string)
			score, err := likeness(to, packed)
			if err != nil {
				return page, nil, fmt.Errorf("episode %s: %w", h.Id, err)
			}
			all = append(all, candidate{h.Id, score})
			after = h.Sort
		}
		if len(answer.Hits.Hits) < comparedPage {
			break
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id)) })
	return page, all, nil
}
