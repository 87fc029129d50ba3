package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// copyPage is how many episodes are read at a time: with their transcripts,
// some megabytes.
const copyPage = 50

// changes are the episodes and removals of an index that have changed after a
// checkpoint, by id. Pages follow one another by the last id, so that a page
// can be asked for again; what changes meanwhile has a number above the next
// checkpoint.
func (x *Index) changes(ctx context.Context, name string, after int64) iter.Seq2[[]encoded, error] {
	return func(yield func([]encoded, error) bool) {
		var last []any
		for {
			source := es.NewSearchSource().Query(es.NewBoolQuery().Filter(es.NewRangeQuery("_seq_no").Gt(after))).
				FetchSourceIncludeExclude([]string{"id", "removed", "revision", "document"}, nil).
				Size(copyPage).SortBy(es.NewFieldSort("id"))
			if last != nil {
				source.SearchAfter(last...)
			}
			answer, err := x.ask(ctx, name, source)
			if err != nil {
				yield(nil, err)
				return
			}
			var page []encoded
			for _, h := range answer.Hits.Hits {
				e, err := decode(h.Source)
				if err != nil {
					yield(nil, fmt.Errorf("episode %s of %s: %w", h.Id, name, err))
					return
				}
				page, last = append(page, e), h.Sort
			}
			if len(page) > 0 && !yield(page, nil) || len(page) < copyPage {
				return
			}
		}
	}
}

// decode makes what is kept of an episode from what an index of any version of
// the mapping has kept of it.
func decode(source json.RawMessage) (encoded, error) {
	var s episodeSource
	if err := json.Unmarshal(source, &s); err != nil {
		return encoded{}, err
	}
	if s.Removed {
		return encodeRemoval(s.ID, s.Revision)
	}
	var d index.Document
	if err := json.Unmarshal(s.Document, &d); err != nil {
		return encoded{}, err
	}
	return encode(d)
}

// fill puts episodes into a pair that no alias names. The episodes' own
// documents go first: only the segments of those that are taken follow, and
// those of what they replace are removed.
func (x *Index) fill(ctx context.Context, to target, all []encoded) error {
	before, err := x.editionsOf(ctx, to.episodes, all)
	if err != nil {
		return err
	}
	items := make([]item, len(all))
	for i, e := range all {
		items[i] = to.episodeItem(e)
	}
	results, err := x.bulk(ctx, items, Later)
	if err != nil {
		return err
	}
	items = nil
	for i, r := range results {
		switch {
		case r.overtaken():
			continue
		case r.fault != nil:
			return fmt.Errorf("episode %s: %w", all[i].id, r.fault)
		}
		items = append(items, to.segmentItems(all[i])...)
		if b := before[all[i].id]; b.Edition != all[i].edition {
			for n := range b.Segments {
				items = append(items, to.deletion(all[i].id, b.Edition, n))
			}
		}
	}
	results, err = x.bulk(ctx, items, Later)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.fault != nil && r.fault.status != http.StatusNotFound {
			return r.fault
		}
	}
	return nil
}

// editionsOf reads which editions of some episodes an index holds.
func (x *Index) editionsOf(ctx context.Context, name string, all []encoded) (map[episode.ID]episodeSource, error) {
	held := map[episode.ID]episodeSource{}
	err := x.call(ctx, func(ctx context.Context) error {
		request := x.client.MultiGet()
		for _, e := range all {
			request.Add(es.NewMultiGetItem().Index(name).Id(string(e.id)).FetchSource(es.NewFetchSourceContext(true).Include("id", "edition", "segments")))
		}
		answer, err := request.Do(ctx)
		if err != nil {
			return err
		}
		if len(answer.Docs) != len(all) {
			return fmt.Errorf("%d documents were asked for, and %d answered", len(all), len(answer.Docs))
		}
		for _, d := range answer.Docs {
			if d.Error != nil && d.Error.Type == "index_not_found_exception" {
				return &fault{status: http.StatusNotFound, kind: "deleted", reason: name + " is gone: another reindex or rebuild has deleted it; run one at a time"}
			}
			if d.Error != nil {
				return &fault{status: http.StatusInternalServerError, kind: d.Error.Type, reason: reason(d.Error)}
			}
			if !d.Found {
				continue
			}
			var s episodeSource
			if err := json.Unmarshal(d.Source, &s); err != nil {
				return err
			}
			held[s.ID] = s
		}
		return nil
	})
	return held, err
}

// checkpoint is up to where all that an index was told is done: the lowest of
// its shards', above which a shard's may be copied twice.
func (x *Index) checkpoint(ctx context.Context, name string) (int64, error) {
	var answer struct {
		Indices map[string]struct {
			Shards map[string][]struct {
				Routing struct{ Primary bool }
				SeqNo   *struct {
					Local int64 `json:"local_checkpoint"`
				} `json:"seq_no"`
			}
		}
	}
	if err := x.perform(ctx, http.MethodGet, "/"+url.PathEscape(name)+"/_stats/docs", url.Values{"level": {"shards"}}, nil, &answer); err != nil {
		return 0, err
	}
	lowest, primaries := int64(0), 0
	for _, copies := range answer.Indices[name].Shards {
		for _, s := range copies {
			if s.Routing.Primary && s.SeqNo != nil {
				if primaries == 0 || s.SeqNo.Local < lowest {
					lowest = s.SeqNo.Local
				}
				primaries++
			}
		}
	}
	if primaries == 0 {
		return 0, errors.New(name + " does not say up to where it is")
	}
	return lowest, nil
}
