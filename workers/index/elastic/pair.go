package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	es "github.com/olivere/elastic/v7"
)

// pairs are the pairs of indices there are: episodes-v3 and segments-v3 are
// the third.
type pairs struct {
	all   []int // in order; those of which both are there
	read  int   // that the aliases name; zero: none
	write int
	// odd says what about the aliases is not as Create and Swap leave it.
	odd []string
}

func (x *Index) episodesOf(pair int) string {
	return x.options.Episodes + versionMark + strconv.Itoa(pair)
}
func (x *Index) segmentsOf(pair int) string {
	return x.options.Segments + versionMark + strconv.Itoa(pair)
}

// pairs reads which indices there are and where the aliases go.
func (x *Index) pairs(ctx context.Context) (p pairs, err error) {
	var indices map[string]struct {
		Aliases map[string]json.RawMessage
	}
	path := "/" + url.PathEscape(x.options.Episodes+versionMark+"*,"+x.options.Segments+versionMark+"*") + "/_alias"
	if err := x.perform(ctx, http.MethodGet, path, nil, nil, &indices); err != nil {
		return p, err
	}
	targets := map[string][]string{}
	for name, i := range indices {
		for alias := range i.Aliases {
			targets[alias] = append(targets[alias], name)
		}
		if n, ok := x.pairNumber(name); ok {
			if _, both := indices[x.segmentsOf(n)]; both && name == x.episodesOf(n) {
				p.all = append(p.all, n)
			}
		}
	}
	slices.Sort(p.all)
	at := func(alias, base string) int {
		switch names := targets[alias]; len(names) {
		case 0:
			p.odd = append(p.odd, fmt.Sprintf("there is no alias %s: run `earshot index create`", alias))
		case 1:
			n, _ := x.pairNumber(names[0])
			if names[0] == base+versionMark+strconv.Itoa(n) {
				return n
			}
			p.odd = append(p.odd, fmt.Sprintf("the alias %s names %s, which is none of its indices", alias, names[0]))
		default:
			slices.Sort(names)
			p.odd = append(p.odd, fmt.Sprintf("the alias %s names %s: it must name one", alias, strings.Join(names, " and ")))
		}
		return 0
	}
	p.read, p.write = at(x.options.Episodes, x.options.Episodes), at(x.writeEpisodes(), x.options.Episodes)
	readSegments, writeSegments := at(x.options.Segments, x.options.Segments), at(x.writeSegments(), x.options.Segments)
	if len(p.odd) == 0 && (p.read != readSegments || p.write != writeSegments || p.read != p.write) {
		p.odd = append(p.odd, fmt.Sprintf("the aliases name indices that do not belong together (episodes: read %d, write %d; segments: read %d, write %d)", p.read, p.write, readSegments, writeSegments))
	}
	return p, nil
}

func (x *Index) pairNumber(name string) (int, bool) {
	i := strings.LastIndex(name, versionMark)
	if i < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(name[i+len(versionMark):])
	return n, err == nil && n > 0
}

// next is the number of a new pair.
func (p pairs) next() int {
	if len(p.all) == 0 {
		return 1
	}
	return p.all[len(p.all)-1] + 1
}

// current is the pair that the aliases name; zero: there are no aliases. Any
// other state of them is an error.
func (p pairs) current() (int, error) {
	switch {
	case len(p.odd) == 0:
		return p.read, nil
	case len(p.odd) == 4 && p.read == 0 && p.write == 0 && !slices.ContainsFunc(p.odd, func(o string) bool { return !strings.HasPrefix(o, "there is no alias") }):
		return 0, nil
	}
	return 0, errors.New(strings.Join(p.odd, "; "))
}

// provenance reads what an index says of itself.
func (x *Index) provenance(ctx context.Context, name string) (provenance, error) {
	var answer map[string]struct {
		Mappings struct {
			Meta provenance `json:"_meta"`
		}
	}
	if err := x.perform(ctx, http.MethodGet, "/"+url.PathEscape(name)+"/_mapping", nil, nil, &answer); err != nil {
		return provenance{}, err
	}
	for _, i := range answer {
		return i.Mappings.Meta, nil
	}
	return provenance{}, fmt.Errorf("%s has no mapping", name)
}

func (x *Index) setProvenance(ctx context.Context, name string, p provenance) error {
	return x.perform(ctx, http.MethodPut, "/"+url.PathEscape(name)+"/_mapping", nil, field{"_meta": p}, nil)
}

// perform makes a request for which the client library has no words, or too
// few, and reads its answer into to, unless that is nil.
func (x *Index) perform(ctx context.Context, method, path string, parameters url.Values, body, to any) error {
	return x.call(ctx, func(ctx context.Context) error {
		answer, err := x.client.PerformRequest(ctx, es.PerformRequestOptions{Method: method, Path: path, Params: parameters, Body: body})
		if err != nil || to == nil {
			return err
		}
		return json.Unmarshal(answer.Body, to)
	})
}

// ensure makes a request that makes something; what it makes may be
// there already, by an attempt whose answer was lost.
func (x *Index) ensure(ctx context.Context, method, path string, body any) error {
	err := x.perform(ctx, method, path, nil, body, nil)
	if f, ok := errors.AsType[*fault](err); ok && f.kind == "resource_already_exists_exception" {
		return nil
	}
	return err
}
