package elastic

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// Create makes the templates, the first pair of indices and the aliases, as
// far as they are missing. What is there stays as it is. It returns the pair
// that the aliases name.
func (x *Index) Create(ctx context.Context) (pair int, err error) {
	if pair, err = x.create(ctx); err != nil {
		return 0, failed("create "+x.options.Episodes+" and "+x.options.Segments, err)
	}
	return pair, nil
}

func (x *Index) create(ctx context.Context) (int, error) {
	p, err := x.pairs(ctx)
	if err != nil {
		return 0, err
	}
	current, err := p.current()
	if err != nil {
		return 0, err
	}
	there, err := x.analyzers(ctx)
	if err != nil {
		return 0, err
	}
	if err := x.putTemplates(ctx, there); err != nil || current > 0 {
		return current, err
	}
	first := 1
	if len(p.all) > 0 {
		first = p.all[0] // a Create that was cut short
	}
	if err := x.createPair(ctx, first, there, provenance{Earshot: mappingVersion}); err != nil {
		return 0, err
	}
	return first, x.point(ctx, 0, first)
}

// analyzers are those of ours that the cluster has.
func (x *Index) analyzers(ctx context.Context) (there []string, err error) {
	for _, a := range analyzerNames() {
		err := x.perform(ctx, http.MethodPost, "/_analyze", nil, field{"analyzer": a, "text": "a"}, nil)
		switch {
		case err == nil:
			there = append(there, a)
		case !isStatus(err, http.StatusBadRequest):
			return nil, err
		}
	}
	return there, nil
}

// putTemplates: indices that something else makes under our names have our
// mapping too.
func (x *Index) putTemplates(ctx context.Context, there []string) error {
	templates := []struct {
		name    string
		mapping field
	}{
		{x.options.Episodes, episodesMapping(there, provenance{Earshot: mappingVersion})},
		{x.options.Segments, segmentsMapping(there, provenance{Earshot: mappingVersion})},
	}
	for _, t := range templates {
		body := field{
			"index_patterns": []string{t.name + versionMark + "*"},
			"priority":       200, // above the cluster's own, which go to 100
			"template":       field{"settings": settings(x.options), "mappings": t.mapping},
		}
		if err := x.perform(ctx, http.MethodPut, "/_index_template/"+url.PathEscape(t.name), nil, body, nil); err != nil {
			return fmt.Errorf("template %s: %w", t.name, err)
		}
	}
	return nil
}

func (x *Index) createPair(ctx context.Context, pair int, there []string, from provenance) error {
	indices := []struct {
		name    string
		mapping field
	}{{x.segmentsOf(pair), segmentsMapping(there, from)}, {x.episodesOf(pair), episodesMapping(there, from)}}
	for _, i := range indices {
		body := field{"settings": settings(x.options), "mappings": i.mapping}
		if err := x.ensure(ctx, http.MethodPut, "/"+url.PathEscape(i.name), body); err != nil {
			return fmt.Errorf("index %s: %w", i.name, err)
		}
	}
	return nil
}

// point lets all four aliases name a pair, in one step, and no longer name
// another; zero: there was none.
func (x *Index) point(ctx context.Context, from, to int) error {
	var actions []field
	for _, a := range []struct {
		alias string
		index func(int) string
	}{
		{x.options.Episodes, x.episodesOf}, {x.writeEpisodes(), x.episodesOf},
		{x.options.Segments, x.segmentsOf}, {x.writeSegments(), x.segmentsOf},
	} {
		if from > 0 {
			actions = append(actions, field{"remove": field{"index": a.index(from), "alias": a.alias}})
		}
		actions = append(actions, field{"add": field{"index": a.index(to), "alias": a.alias}})
	}
	return x.perform(ctx, http.MethodPost, "/_aliases", nil, field{"actions": actions}, nil)
}
