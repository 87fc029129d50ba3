package origintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
)

// without is a manifest of an episode that has no preview.
func without(m origin.Manifest) origin.Manifest {
	m.Preview = nil
	return m
}

// gone checks that nothing of these objects can be read.
func gone(t *testing.T, o *origin.Origin, objects []origin.Object) {
	t.Helper()
	for _, object := range objects {
		r, err := o.Open(t.Context(), object.Name)
		if err == nil {
			err = r.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", object.Name, err)
		}
	}
}

// partly is what the takedown of these versions of episode 1 purges under a
// newer one.
func partly(versions ...episode.Version) []string {
	m, _ := Publication(1, version(1, 1))
	all := []string{"refresh " + origin.ManifestName(m.ID)}
	for _, v := range versions {
		_, objects := Publication(1, v)
		for _, object := range objects {
			all = append(all, "forget "+object.Name)
		}
	}
	slices.Sort(all)
	return all
}

// underANewer: what was taken down is deleted, and purged until every CDN has
// accepted, though a newer revision has been published meanwhile, which stays
// as it is.
func underANewer(t *testing.T, s origin.Store) {
	down := errors.New("503")
	faulty, fine := &cdn{name: "faulty"}, &cdn{name: "fine"}
	process := func() *origin.Origin {
		return origin.New(s, origin.Options{Purgers: []origin.Purger{faulty, fine}})
	}
	m, fifth := Publication(1, version(5, 1))
	remove := func(what string, revision episode.Revision, want origin.Result, wantErr error, purged []string) {
		t.Helper()
		faulty.took()
		fine.took()
		got, err := process().Remove(t.Context(), m.ID, revision)
		if err == nil && got != want || !errors.Is(err, wantErr) {
			t.Errorf("%s: Remove = %q, %v; want %q, %v", what, got, err, want, wantErr)
		}
		same(t, what, faulty.took(), purged)
		same(t, what, fine.took(), purged)
	}
	publish(t, process(), origin.Stored, 1, version(4, 1))
	publish(t, process(), origin.Stored, 1, version(5, 1))

	faulty.answer = func(context.Context) error { return down }
	remove("while a CDN is down", 5, "", down, everything(version(4, 1), version(5, 1)))
	publish(t, process(), origin.Stored, 1, version(6, 1)) // corrected, two minutes later
	for range 2 {
		remove("under a newer one", 5, "", down, partly(version(4, 1), version(5, 1)))
		whole(t, process(), 1, version(6, 1))
	}
	faulty.answer = nil
	remove("the CDN is back", 5, origin.Overtaken, nil, partly(version(4, 1), version(5, 1)))
	remove("it is known to be done", 5, origin.Overtaken, nil, nil)
	publish(t, process(), origin.Overtaken, 1, version(5, 2))
	gone(t, process(), fifth)
	whole(t, process(), 1, version(6, 1))

	// What a publication has replaced is left to players, until it is taken down.
	publish(t, process(), origin.Stored, 1, version(7, 1))
	_, sixth := Publication(1, version(6, 1))
	for _, object := range sixth {
		read(t, process(), object.Name)
	}
	remove("of what was replaced", 6, origin.Overtaken, nil, partly(version(4, 1), version(5, 1), version(6, 1)))
	gone(t, process(), sixth)
	remove("known to be done, of an older one", 5, origin.Overtaken, nil, nil)
	whole(t, process(), 1, version(7, 1))
	remove("at last", 7, origin.Stored, nil, everything(version(4, 1), version(5, 1), version(6, 1), version(7, 1)))
}

// spared: objects that a newer revision has too are its own.
func spared(t *testing.T, s origin.Store) {
	edge := &cdn{name: "edge"}
	o := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}})
	m, objects := Publication(1, version(5, 1))
	publish(t, o, origin.Stored, 1, version(5, 1))
	newer := m
	newer.Version.Revision = 6 // another title, the same audio
	if got, err := o.Publish(t.Context(), newer, objects); err != nil || got != origin.Stored {
		t.Fatalf("%q, %v", got, err)
	}
	edge.took()
	if got, err := o.Remove(t.Context(), m.ID, 5); err != nil || got != origin.Overtaken {
		t.Fatalf("%q, %v", got, err)
	}
	same(t, "what is shared", edge.took(), partly())
	for _, object := range objects {
		read(t, o, object.Name)
	}
	publish(t, o, origin.Stored, 1, version(7, 1))
	edge.took()
	if got, err := o.Remove(t.Context(), m.ID, 6); err != nil || got != origin.Overtaken {
		t.Fatalf("%q, %v", got, err)
	}
	same(t, "what was shared", edge.took(), partly(version(5, 1)))
	gone(t, o, objects)
	whole(t, o, 1, version(7, 1))
}

// besideANewer: revision 5 is taken down at the moment at which revision 6 is
// published, by other processes.
func besideANewer(t *testing.T, s origin.Store) {
	for n := range 16 {
		edge := &cdn{name: "edge"}
		process := func() *origin.Origin { return origin.New(s, origin.Options{Purgers: []origin.Purger{edge}}) }
		publish(t, process(), origin.Stored, n, version(5, 1))
		m, objects := Publication(n, version(5, 1))
		newer, own := Publication(n, version(6, 1))
		// One rendition is the same in both.
		newer.Preview.Renditions[0], own[0] = m.Preview.Renditions[0], objects[0]
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := process().Remove(t.Context(), m.ID, 5); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if got, err := process().Publish(t.Context(), newer, own); err != nil || got != origin.Stored {
				t.Errorf("%q, %v", got, err)
			}
		})
		all.Wait()
		if got, _, err := process().Manifest(t.Context(), m.ID); err != nil || got.Version != newer.Version || got.Removed {
			t.Errorf("manifest %+v, %v", got, err)
		}
		for _, object := range own {
			if body := read(t, process(), object.Name); body != string(object.Body) {
				t.Errorf("%s = %q", object.Name, body)
			}
		}
		gone(t, process(), objects[1:])
		if asked := edge.took(); !slices.Contains(asked, "forget "+objects[1].Name) || slices.Contains(asked, "forget "+own[1].Name) {
			t.Errorf("purged %s", strings.Join(asked, "\n"))
		}
	}
}

// ofBefore: ledgers that older programs wrote.
func ofBefore(t *testing.T, s origin.Store) {
	for n, form := range []string{"%s", `{"objects": %s}`, `{"objects": %s, "cleared": true}`} {
		o := origin.New(s, origin.Options{})
		publish(t, o, origin.Stored, n, version(5, 1))
		m, objects := Publication(n, version(5, 1))
		var list []string
		for _, object := range objects {
			list = append(list, object.Name)
		}
		slices.Sort(list)
		body, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		ledger := "episodes/" + string(m.ID) + "/objects.json"
		if err := s.Bucket.WriteAll(t.Context(), ledger, fmt.Appendf(nil, form, bytes.TrimSpace(body)), nil); err != nil {
			t.Fatal(err)
		}
		publish(t, o, origin.Stored, n, version(6, 1))
		if got, err := o.Remove(t.Context(), m.ID, 5); err != nil || got != origin.Overtaken {
			t.Errorf("%s: %q, %v", form, got, err)
		}
		gone(t, o, objects)
		whole(t, o, n, version(6, 1))
	}
}

// silent: the audio that an episode has now gives no preview, and that of
// before is not to be played any more.
func silent(t *testing.T, s origin.Store) {
	edge := &cdn{name: "edge"}
	o := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}})
	m, objects := Publication(1, version(5, 1))
	quiet := func(want origin.Result, v episode.Version) {
		t.Helper()
		m, _ := Publication(1, v)
		if got, err := o.Publish(t.Context(), without(m), nil); err != nil || got != want {
			t.Errorf("Publish %v without a preview = %q, %v; want %q", v, got, err, want)
		}
	}
	quiet(origin.Unchanged, version(4, 1))
	if left := names(t, s.Bucket); len(left) != 0 {
		t.Errorf("of an episode that never had a preview there is %v", left)
	}
	publish(t, o, origin.Stored, 1, version(5, 1))
	quiet(origin.Overtaken, version(4, 1))
	whole(t, o, 1, version(5, 1))
	edge.took()

	quiet(origin.Stored, version(6, 1))
	same(t, "a revision without a preview", edge.took(), partly())
	got, found, err := o.Manifest(t.Context(), m.ID)
	if err != nil || !found || got.Version != version(6, 1) || got.Removed || got.Preview != nil || got.Title != m.Title {
		t.Errorf("manifest = %+v, %v, %v", got, found, err)
	}
	if body := read(t, o, origin.ManifestName(m.ID)); strings.Contains(body, "preview\":") {
		t.Errorf("manifest: %s", body)
	}
	quiet(origin.Unchanged, version(6, 1))
	quiet(origin.Stored, version(6, 2))
	publish(t, o, origin.Overtaken, 1, version(5, 9))
	same(t, "the same again, newer, older", edge.took(), partly())
	if r, deleted := gc(t, later(s), origin.GCOptions{}); len(deleted) != len(objects) || r.Named.Objects != 0 {
		t.Errorf("gc: %+v, deleted %v", r, deleted)
	}

	if got, err := o.Remove(t.Context(), m.ID, 5); err != nil || got != origin.Overtaken {
		t.Errorf("Remove = %q, %v", got, err)
	}
	same(t, "the takedown of the older one", edge.took(), partly(version(5, 1)))
	if got, err := o.Remove(t.Context(), m.ID, 6); err != nil || got != origin.Stored {
		t.Errorf("Remove = %q, %v", got, err)
	}
	same(t, "its takedown", edge.took(), everything(version(5, 1)))
	quiet(origin.Overtaken, version(6, 3))
	quiet(origin.Stored, version(7, 1))
	publish(t, o, origin.Stored, 1, version(8, 1))
	whole(t, o, 1, version(8, 1))
}
