package elastic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Check reports every fault that keeps the index from being used, each with
// what to do about it, as one joined error; nil: there is none. It changes
// nothing.
func (x *Index) Check(ctx context.Context) error {
	var root struct {
		Version struct{ Number, Distribution string }
	}
	if err := x.perform(ctx, http.MethodGet, "/", nil, nil, &root); err != nil {
		return failed("reach the cluster", err)
	}
	var faults []error
	fault := func(format string, arguments ...any) {
		faults = append(faults, fmt.Errorf("index: elasticsearch: "+format, arguments...))
	}
	if v := root.Version.Number; root.Version.Distribution != "" || !supported(v) {
		fault("it is %s %s; Elasticsearch 7.17 and 8 are supported", cmp.Or(root.Version.Distribution, "Elasticsearch"), v)
	}
	p, err := x.pairs(ctx)
	if err != nil {
		return errors.Join(append(faults, failed("read the aliases", err))...)
	}
	for _, o := range p.odd {
		fault("%s", o)
	}
	for _, name := range []string{x.options.Episodes, x.options.Segments} {
		err := x.perform(ctx, http.MethodGet, "/_index_template/"+url.PathEscape(name), nil, nil, nil)
		if isStatus(err, http.StatusNotFound) {
			fault("there is no index template %s: run `earshot index create`", name)
		} else if err != nil {
			faults = append(faults, failed("read the template "+name, err))
		}
	}
	if p.write > 0 {
		faults = append(faults, x.checkPair(ctx, p.write)...)
	}
	return errors.Join(faults...)
}

func (x *Index) checkPair(ctx context.Context, pair int) (faults []error) {
	for _, name := range []string{x.episodesOf(pair), x.segmentsOf(pair)} {
		from, err := x.provenance(ctx, name)
		switch {
		case err != nil:
			faults = append(faults, failed("read the mapping of "+name, err))
		case from.Earshot == 0:
			faults = append(faults, fmt.Errorf("index: elasticsearch: %s was not made by `earshot index create`: its mapping does not say its version", name))
		case from.Earshot != mappingVersion:
			faults = append(faults, fmt.Errorf("index: elasticsearch: %s has mapping %d, and this program writes %d: run `earshot index reindex`, then `earshot index swap`", name, from.Earshot, mappingVersion))
		}
		var settings map[string]struct {
			Settings map[string]any
		}
		err = x.perform(ctx, http.MethodGet, "/"+url.PathEscape(name)+"/_settings/index.blocks.*", url.Values{"flat_settings": {"true"}}, nil, &settings)
		if err != nil {
			faults = append(faults, failed("read the settings of "+name, err))
		}
		for _, s := range settings {
			for block, on := range s.Settings {
				if on == "true" {
					faults = append(faults, fmt.Errorf("index: elasticsearch: %s is closed to writers (%s): if a swap was cut short, run `earshot index swap` again; if the disk was full, make room", name, block))
				}
			}
		}
	}
	return faults
}

// supported: before 7.17 the media types for compatibility are not known, and
// after 8 not this one.
func supported(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	return err == nil && (major == "7" && n >= 17 || major == "8")
}
