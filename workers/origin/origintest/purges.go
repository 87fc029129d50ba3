package origintest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
)

// cdn is a purger that remembers what it was asked.
type cdn struct {
	name   string
	answer func(ctx context.Context) error // nil: accepts

	mu    sync.Mutex
	asked []string // "refresh name", "forget name", in order
}

func (c *cdn) Name() string { return c.name }

func (c *cdn) Purge(ctx context.Context, names []string, how origin.Purge) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.asked = append(c.asked, how.String()+" "+name)
	}
	if c.answer != nil {
		return c.answer(ctx)
	}
	return nil
}

// took gives what was asked since the last call.
func (c *cdn) took() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.asked = nil }()
	slices.Sort(c.asked)
	return c.asked
}

// everything is what a takedown of episode 1 purges, after these versions.
func everything(versions ...episode.Version) []string {
	m, _ := Publication(1, versions[0])
	all := []string{"forget " + origin.ManifestName(m.ID)}
	for _, v := range versions {
		_, objects := Publication(1, v)
		for _, object := range objects {
			all = append(all, "forget "+object.Name)
		}
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: purged\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// refreshed: every CDN is told of a new manifest, and of nothing else; that it
// fails or hangs is counted, and no error.
func refreshed(t *testing.T, s origin.Store) {
	failing := &cdn{name: "failing", answer: func(context.Context) error { return errors.New("down") }}
	hanging := &cdn{name: "hanging", answer: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }}
	fine := &cdn{name: "fine"}
	registry := prometheus.NewRegistry()
	o := origin.New(s, origin.Options{Purgers: []origin.Purger{failing, hanging, fine}, RefreshWait: 1, Registerer: registry})
	m, _ := Publication(1, version(5, 1))
	for _, step := range []struct {
		version episode.Version
		result  origin.Result
		purged  bool
	}{
		{version(5, 1), origin.Stored, true},
		{version(5, 1), origin.Unchanged, false},
		{version(4, 1), origin.Overtaken, false},
		{version(6, 1), origin.Stored, true},
	} {
		publish(t, o, step.result, 1, step.version)
		var want []string
		if step.purged {
			want = []string{"refresh " + origin.ManifestName(m.ID)}
		}
		for _, c := range []*cdn{failing, hanging, fine} {
			same(t, c.name, c.took(), want)
		}
	}
	want := `# HELP earshot_purges_total Purges of CDNs by vendor, kind (refresh: a newer manifest; forget: a removal) and outcome.
# TYPE earshot_purges_total counter
earshot_purges_total{kind="refresh",outcome="accepted",vendor="fine"} 2
earshot_purges_total{kind="refresh",outcome="failed",vendor="failing"} 2
earshot_purges_total{kind="refresh",outcome="failed",vendor="hanging"} 2
# HELP earshot_origin_changes_total Previews published and removed, by what came of it.
# TYPE earshot_origin_changes_total counter
earshot_origin_changes_total{change="publish",result="stored"} 2
earshot_origin_changes_total{change="publish",result="unchanged"} 1
earshot_origin_changes_total{change="publish",result="overtaken"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "earshot_purges_total", "earshot_origin_changes_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "earshot_purge_seconds"); err != nil || n != 3 {
		t.Errorf("%d vendors have their purges timed (%v)", n, err)
	}
}

// forgotten: a takedown is done only when every CDN has accepted the purge of
// manifest and objects; until then it is purged again, by whatever process.
func forgotten(t *testing.T, s origin.Store) {
	down := errors.New("503")
	faulty, fine := &cdn{name: "faulty", answer: func(context.Context) error { return down }}, &cdn{name: "fine"}
	process := func() *origin.Origin {
		return origin.New(s, origin.Options{Purgers: []origin.Purger{faulty, fine}})
	}
	publish(t, process(), origin.Stored, 1, version(5, 1))
	publish(t, process(), origin.Stored, 1, version(6, 1))
	m, _ := Publication(1, version(5, 1))
	remove := func(what string, revision episode.Revision, want origin.Result, wantErr error) {
		t.Helper()
		if got, err := process().Remove(t.Context(), m.ID, revision); err == nil && got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: Remove = %q, %v; want %q, %v", what, got, err, want, wantErr)
		}
	}
	all := everything(version(5, 1), version(6, 1))
	faulty.took()
	fine.took()

	for range 2 { // as after a failure, and after a kill
		remove("while a CDN is down", 6, "", down)
		same(t, "while a CDN is down", fine.took(), all)
		same(t, "while a CDN is down", faulty.took(), all)
	}
	publish2 := func(what string, wantErr error) {
		t.Helper()
		p, objects := Publication(1, version(6, 1))
		if got, err := process().Publish(t.Context(), p, objects); !errors.Is(err, wantErr) || err == nil && got != origin.Overtaken {
			t.Errorf("%s: Publish = %q, %v", what, got, err)
		}
	}
	publish2("a stale publication takes part in it", down)
	same(t, "stale publication", fine.took(), all)
	faulty.took()
	faulty.answer = nil
	remove("the CDN is back", 6, origin.Unchanged, nil)
	same(t, "the CDN is back", faulty.took(), all)
	same(t, "the CDN is back", fine.took(), all)
	remove("it is known to be done", 6, origin.Unchanged, nil)
	publish2("it is known to be done", nil)
	same(t, "it is known to be done", fine.took(), nil)

	publish(t, process(), origin.Stored, 1, version(7, 1))
	fine.took()
	remove("again, later", 7, origin.Stored, nil)
	same(t, "again, later", fine.took(), everything(version(5, 1), version(6, 1), version(7, 1)))
	for _, step := range []struct {
		result origin.Result
		purged []string
	}{{origin.Stored, []string{"forget " + origin.ManifestName("never-published")}}, {origin.Unchanged, nil}} {
		if got, err := process().Remove(t.Context(), "never-published", 1); err != nil || got != step.result {
			t.Errorf("Remove of what never was: %q, %v", got, err)
		}
		same(t, "what never was", fine.took(), step.purged)
	}
}
