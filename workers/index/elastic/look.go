package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// Get implements index.Index. It sees what any Put has done that has returned.
func (x *Index) Get(ctx context.Context, id episode.ID) (index.Entry, error) {
	there, err := x.get(ctx, x.options.Episodes, id, "revision", "removed", "document")
	if err == nil && !there.found {
		err = index.ErrNotFound
	}
	if err != nil {
		return index.Entry{}, failed("get "+string(id)+" from "+x.options.Episodes, err)
	}
	if there.Removed {
		return index.Entry{Document: index.Document{ID: id, Version: episode.Version{Revision: there.Revision}}, Removed: true}, nil
	}
	var e index.Entry
	if err := json.Unmarshal(there.Document, &e.Document); err != nil {
		return index.Entry{}, failed("get "+string(id)+" from "+x.options.Episodes, err)
	}
	return e, nil
}

// held is what an index holds of an episode, as far as it was asked for.
type held struct {
	found bool
	episodeSource
}

func (x *Index) get(ctx context.Context, name string, id episode.ID, fields ...string) (h held, err error) {
	err = x.call(ctx, func(ctx context.Context) error {
		answer, err := x.client.PerformRequest(ctx, es.PerformRequestOptions{
			Method: http.MethodGet, Path: "/" + url.PathEscape(name) + "/_doc/" + url.PathEscape(string(id)),
			Params: url.Values{"_source_includes": {strings.Join(fields, ",")}}, IgnoreErrors: []int{http.StatusNotFound},
		})
		if err != nil {
			return err
		}
		// Not found is the document, or the index, or the path before both.
		var said struct {
			Found  *bool
			Source episodeSource `json:"_source"`
			Error  *es.ErrorDetails
		}
		err = json.Unmarshal(answer.Body, &said)
		switch {
		case said.Error != nil:
			return &fault{status: answer.StatusCode, kind: said.Error.Type, reason: reason(said.Error)}
		case said.Found == nil && answer.StatusCode == http.StatusNotFound:
			return &fault{status: answer.StatusCode}
		case err != nil:
			return err
		case said.Found == nil:
			return errors.New("it does not say whether there is the document")
		}
		h = held{*said.Found, said.Source}
		return nil
	})
	return h, err
}

// standing is what a writer must know before it writes.
type standing struct {
	found    bool
	edition  edition // of the episode's document
	segments int     // that it has
	editions map[edition]presence
}

// presence is what searches see of an edition's segments.
type presence struct {
	seen    int // segments
	numbers int // one more than the last one's
}

// look reads an episode's edition, as it is now, and which editions have
// segments, as searches see it.
func (x *Index) look(ctx context.Context, id episode.ID) (s standing, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	searched := make(chan error, 1)
	go func() {
		var err error
		s.editions, err = x.editions(ctx, id)
		searched <- err
	}()
	h, err := x.get(ctx, x.writeEpisodes(), id, "edition", "segments")
	if err != nil {
		cancel()
		<-searched
		return s, err
	}
	s.found, s.edition, s.segments = h.found, h.Edition, h.Segments
	err = <-searched // before s is looked at: the search writes to it
	return s, err
}

// complete reports whether searches see all of an edition's segments.
func (s standing) complete(e encoded) bool { return s.editions[e.edition].seen == len(e.segments) }

// older are the editions that are older than one, or that it replaces under
// the same version, with how many segments each may have.
func (s standing) older(than edition) map[edition]int {
	gone := map[edition]int{}
	for e, p := range s.editions {
		if e.older(than) || e == s.edition && e != than {
			gone[e] = p.numbers
		}
	}
	if s.found && s.edition != than && s.segments > 0 {
		gone[s.edition] = max(gone[s.edition], s.segments) // searches may not see it yet
	}
	return gone
}

// editions are those of an episode that have segments which searches see.
func (x *Index) editions(ctx context.Context, id episode.ID) (all map[edition]presence, err error) {
	const most = 100 // more are for the next to clear
	err = x.call(ctx, func(ctx context.Context) error {
		all = map[edition]presence{}
		answer, err := x.client.Search(x.writeSegments()).Routing(string(id)).Size(0).AllowPartialSearchResults(false).
			Query(es.NewBoolQuery().Filter(es.NewTermQuery("episode", string(id)))).
			Aggregation("editions", es.NewTermsAggregation().Field("edition").Size(most).
				SubAggregation("last", es.NewMaxAggregation().Field("n"))).Do(ctx)
		if err != nil {
			return err
		}
		terms, ok := answer.Aggregations.Terms("editions")
		if !ok {
			return errors.New("it does not answer with the aggregation that was asked for")
		}
		for _, b := range terms.Buckets {
			name, _ := b.Key.(string)
			last, ok := b.Max("last")
			if !ok || last.Value == nil || len(name) < 16 {
				return errors.New("edition " + strconv.Quote(name) + " is none of ours")
			}
			all[edition(name)] = presence{seen: int(b.DocCount), numbers: int(*last.Value) + 1}
		}
		return nil
	})
	return all, err
}
