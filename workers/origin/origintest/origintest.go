// Package origintest is the suite that package origin must pass on every
// store.
package origintest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
)

// Run runs the suite; open gives an empty store that open's t cleans up.
func Run(t *testing.T, open func(t *testing.T) origin.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, origin.Store)
	}{
		{"what was published is readable", published},
		{"publishing again changes and writes nothing", again},
		{"a manifest never goes back", neverGoesBack},
		{"a takedown takes everything and lasts", takedown},
		{"lost and damaged objects are repaired", repaired},
		{"contradictions are refused", contradictions},
		{"publishers at once agree on the newest", atOnce},
		{"any order of changes ends alike", anyOrder},
		{"caches are told of a new manifest", refreshed},
		{"a takedown reaches every cache", forgotten},
		{"a takedown under a newer revision is done all the same", underANewer},
		{"a takedown spares what a newer revision shares", spared},
		{"a takedown beside a newer publication does its part", besideANewer},
		{"a ledger of before is understood", ofBefore},
		{"a newer revision without a preview takes the older one's place", silent},
		{"what no manifest names is collected", collected},
		{"what cannot be read stops the collection", cautious},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// Publication makes an edition of the n-th episode with two renditions whose
// bytes name them.
func Publication(n int, v episode.Version) (origin.Manifest, []origin.Object) {
	id := episode.NewID("suite", fmt.Sprint(n))
	m := origin.Manifest{ID: id, Version: v, Title: "A title", Language: "en",
		Preview: &episode.Preview{Span: episode.Span{Start: 1, End: 61}, Manifest: origin.ManifestName(id)}}
	var objects []origin.Object
	for _, kind := range []struct{ extension, contentType string }{{"ogg", "audio/ogg"}, {"m4a", "audio/mp4"}} {
		body := fmt.Appendf(nil, "%s of %s revision %d", kind.extension, id, v.Revision)
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:])
		name := origin.ObjectName(hash, kind.extension)
		objects = append(objects, origin.Object{Name: name, ContentType: kind.contentType, Body: body})
		m.Preview.Renditions = append(m.Preview.Renditions, episode.Rendition{Container: kind.extension, Object: name, SHA256: hash, Bytes: int64(len(body))})
	}
	return m, objects
}

func version(revision, generation int) episode.Version {
	return episode.Version{Revision: episode.Revision(revision), Generation: episode.Generation(generation)}
}

func publish(t *testing.T, o *origin.Origin, want origin.Result, n int, v episode.Version) {
	t.Helper()
	m, objects := Publication(n, v)
	if got, err := o.Publish(t.Context(), m, objects); err != nil || got != want {
		t.Fatalf("Publish %v = %q, %v; want %q", v, got, err, want)
	}
}

// whole checks that the manifest is this version and every object readable
// with its bytes.
func whole(t *testing.T, o *origin.Origin, n int, v episode.Version) {
	t.Helper()
	want, objects := Publication(n, v)
	got, found, err := o.Manifest(t.Context(), want.ID)
	if err != nil || !found || got.Version != v || got.Removed || got.Preview == nil || got.Title != want.Title {
		t.Errorf("manifest = %+v, %v, %v", got, found, err)
	}
	for _, object := range objects {
		if body := read(t, o, object.Name); body != string(object.Body) {
			t.Errorf("%s = %q", object.Name, body)
		}
	}
}

func read(t *testing.T, o *origin.Origin, name string) string {
	t.Helper()
	r, err := o.Open(t.Context(), name)
	if err != nil {
		t.Errorf("Open %s: %v", name, err)
		return ""
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

func names(t *testing.T, b *blob.Bucket) (all []string) {
	t.Helper()
	for list := b.List(nil); ; {
		object, err := list.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object.Key)
	}
}

func published(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	m, objects := Publication(1, version(5, 1))
	if _, found, err := o.Manifest(t.Context(), m.ID); found || err != nil {
		t.Fatalf("a manifest before anything was published: %v, %v", found, err)
	}
	if _, err := o.Open(t.Context(), objects[0].Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	publish(t, o, origin.Stored, 1, version(5, 1))
	whole(t, o, 1, version(5, 1))
	for _, name := range names(t, s.Bucket) {
		if !strings.HasPrefix(name, "previews/v1/") && !strings.HasPrefix(name, "episodes/"+string(m.ID)+"/") {
			t.Errorf("%s is at the origin", name)
		}
	}
	body := read(t, o, origin.ManifestName(m.ID))
	if !strings.Contains(body, `"schema": "earshot.preview/1"`) || !strings.Contains(body, objects[1].Name) {
		t.Errorf("manifest: %s", body)
	}
}

func again(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	publish(t, o, origin.Stored, 1, version(5, 1))
	m, objects := Publication(1, version(5, 1))
	before := map[string]*blob.Attributes{}
	for _, name := range names(t, s.Bucket) {
		a, err := s.Bucket.Attributes(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = a
	}
	if got, err := o.Publish(t.Context(), m, objects); err != nil || got != origin.Unchanged {
		t.Fatalf("%q, %v", got, err)
	}
	for _, name := range names(t, s.Bucket) {
		if a, err := s.Bucket.Attributes(t.Context(), name); err != nil || before[name] == nil || !a.ModTime.Equal(before[name].ModTime) {
			t.Errorf("%s was written again (%v)", name, err)
		}
	}
	// The same version with other words in it, as a forced run may give.
	m.Title = "Another title"
	if got, err := o.Publish(t.Context(), m, objects); err != nil || got != origin.Stored {
		t.Errorf("%q, %v", got, err)
	}
}

func neverGoesBack(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	publish(t, o, origin.Stored, 1, version(5, 2))
	publish(t, o, origin.Overtaken, 1, version(4, 9))
	publish(t, o, origin.Overtaken, 1, version(5, 1))
	whole(t, o, 1, version(5, 2))
	publish(t, o, origin.Stored, 1, version(6, 1))
	whole(t, o, 1, version(6, 1))
}

func takedown(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	publish(t, o, origin.Stored, 1, version(5, 1))
	publish(t, o, origin.Stored, 1, version(6, 1))
	publish(t, o, origin.Stored, 2, version(5, 1))
	m, _ := Publication(1, version(5, 1))
	remove := func(want origin.Result, revision episode.Revision) {
		t.Helper()
		if got, err := o.Remove(t.Context(), m.ID, revision); err != nil || got != want {
			t.Fatalf("Remove = %q, %v; want %q", got, err, want)
		}
	}
	remove(origin.Overtaken, 5)
	whole(t, o, 1, version(6, 1))
	publish(t, o, origin.Overtaken, 1, version(5, 2))
	remove(origin.Stored, 6)
	remove(origin.Unchanged, 6)
	for _, v := range []episode.Version{version(5, 1), version(6, 1)} {
		_, objects := Publication(1, v)
		for _, object := range objects {
			if _, err := o.Open(t.Context(), object.Name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of revision %d is still there: %v", object.Name, v.Revision, err)
			}
		}
	}
	if got, found, err := o.Manifest(t.Context(), m.ID); err != nil || !found || !got.Removed || got.Preview != nil || got.Version.Revision != 6 {
		t.Errorf("manifest = %+v, %v, %v", got, found, err)
	}
	whole(t, o, 2, version(5, 1))
	publish(t, o, origin.Overtaken, 1, version(6, 7))
	if left := len(names(t, s.Bucket)); left != 2+4 { // manifest and ledger of 1; all of 2
		t.Errorf("%d objects are left: %v", left, names(t, s.Bucket))
	}
	publish(t, o, origin.Stored, 1, version(7, 1))
	whole(t, o, 1, version(7, 1))
}

func repaired(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	publish(t, o, origin.Stored, 1, version(5, 1))
	_, objects := Publication(1, version(5, 1))
	if err := s.Bucket.Delete(t.Context(), objects[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket.WriteAll(t.Context(), objects[1].Name, []byte("half a fi"), nil); err != nil {
		t.Fatal(err)
	}
	publish(t, o, origin.Unchanged, 1, version(5, 1))
	whole(t, o, 1, version(5, 1))
}

func contradictions(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	tests := []struct {
		name string
		spot func(*origin.Manifest, []origin.Object) []origin.Object
		want string
	}{
		{"other bytes", func(_ *origin.Manifest, o []origin.Object) []origin.Object { o[0].Body = []byte("x"); return o }, "its bytes have hash"},
		{"other name", func(_ *origin.Manifest, o []origin.Object) []origin.Object {
			o[0].Name = "previews/v1/zz/" + o[0].Name[15:]
			return o
		}, "its bytes have hash"},
		{"missing object", func(_ *origin.Manifest, o []origin.Object) []origin.Object { return o[:1] }, "is not among those to publish"},
		{"wrong size", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.Preview.Renditions[0].Bytes++; return o }, "bytes"},
		{"no renditions", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.Preview.Renditions = nil; return o }, "no renditions"},
		{"no preview but objects", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.Preview = nil; return o }, "no preview"},
		{"an object too many", func(m *origin.Manifest, o []origin.Object) []origin.Object {
			m.Preview.Renditions = m.Preview.Renditions[:1]
			return o
		}, "none of the preview's renditions"},
		{"removed", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.Removed = true; return o }, "call Remove"},
		{"escaping id", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.ID = "../../etc"; return o }, "no episode id"},
		{"other manifest", func(m *origin.Manifest, o []origin.Object) []origin.Object { m.Preview.Manifest = "x"; return o }, "preview.manifest"},
	}
	for _, test := range tests {
		m, objects := Publication(1, version(1, 1))
		objects = test.spot(&m, objects)
		if _, err := o.Publish(t.Context(), m, objects); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := o.Remove(t.Context(), "../../etc", 1); err == nil || !strings.Contains(err.Error(), "no episode id") {
		t.Errorf("removing an escaping id: %v", err)
	}
	if left := names(t, s.Bucket); len(left) != 0 {
		t.Errorf("a refused publication left %v", left)
	}
}

func atOnce(t *testing.T, s origin.Store) {
	const newest = 8
	var all sync.WaitGroup
	for n := range newest {
		all.Go(func() {
			// Each with an Origin of its own, as processes have.
			m, objects := Publication(1, version(n+1, 1))
			if _, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	whole(t, origin.New(s, origin.Options{}), 1, version(newest, 1))
	m, objects := Publication(1, version(newest, 1))
	for n := range newest {
		m, objects := Publication(1, version(n+1, 1))
		all.Go(func() {
			if _, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		if _, err := origin.New(s, origin.Options{}).Remove(t.Context(), m.ID, newest); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	for _, object := range objects {
		if ok, err := s.Bucket.Exists(context.Background(), object.Name); err != nil || ok {
			t.Errorf("%s outlived the takedown (%v)", object.Name, err)
		}
	}
}

func anyOrder(t *testing.T, s origin.Store) {
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		o := origin.New(s, origin.Options{})
		id := episode.NewID("suite", fmt.Sprint(n))
		var (
			best               episode.Version
			removed, silent    bool
			withdrawn, highest int
		)
		for range rapid.IntRange(1, 6).Draw(r, "changes") {
			v := version(rapid.IntRange(1, 3).Draw(r, "revision"), rapid.IntRange(1, 2).Draw(r, "generation"))
			change := rapid.SampledFrom([]string{"publish", "publish", "remove", "publish without"}).Draw(r, "change")
			var err error
			if change == "remove" {
				v.Generation = 0
				withdrawn = max(withdrawn, int(v.Revision))
				_, err = o.Remove(t.Context(), id, v.Revision)
			} else {
				m, objects := Publication(n, v)
				if change == "publish without" {
					m, objects = without(m), nil
				}
				_, err = o.Publish(t.Context(), m, objects)
			}
			if err != nil {
				r.Fatal(err)
			}
			highest = max(highest, int(v.Revision))
			switch {
			case best.Revision == 0 && change == "publish without": // there is nothing to say
			case v.Revision > best.Revision, v.Revision == best.Revision && !removed && (change == "remove" || v.Generation >= best.Generation):
				best, removed, silent = v, change == "remove", change == "publish without"
			}
		}
		m, found, err := o.Manifest(t.Context(), id)
		if err != nil || found != (best.Revision > 0) || m.Version != best || m.Removed != removed || found && (m.Preview == nil) != (removed || silent) {
			r.Fatalf("manifest %+v, want %+v removed %v, without a preview %v (%v)", m, best, removed, silent, err)
		}
		for revision := range highest {
			playable := revision+1 == int(best.Revision) && !removed && !silent
			_, objects := Publication(n, version(revision+1, 1))
			for _, object := range objects {
				if ok, err := s.Bucket.Exists(t.Context(), object.Name); err != nil || playable && !ok || ok && !playable && revision+1 <= withdrawn {
					r.Fatalf("%s of revision %d is there: %v (%v)", object.Name, revision+1, ok, err)
				}
			}
		}
	})
}

// Headers checks what caches and players are told, on a store that keeps it.
func Headers(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{ManifestMaxAge: 90 * time.Second, ManifestStale: 5 * time.Minute})
	publish(t, o, origin.Stored, 1, version(1, 1))
	m, objects := Publication(1, version(1, 1))
	check := func(name, contentType, cacheControl string) {
		t.Helper()
		a, err := s.Bucket.Attributes(t.Context(), name)
		if err != nil || a.ContentType != contentType || a.CacheControl != cacheControl {
			t.Errorf("%s: %q %q, %v", name, a.ContentType, a.CacheControl, err)
		}
	}
	check(objects[0].Name, "audio/ogg", "public, max-age=31536000, immutable")
	check(objects[1].Name, "audio/mp4", "public, max-age=31536000, immutable")
	manifest := origin.ManifestName(m.ID)
	check(manifest, "application/json", "public, max-age=90, stale-while-revalidate=300")
	publish(t, origin.New(s, origin.Options{}), origin.Stored, 1, version(2, 1))
	check(manifest, "application/json", "public, max-age=60, stale-while-revalidate=60")
	if _, err := o.Remove(t.Context(), m.ID, 2); err != nil {
		t.Fatal(err)
	}
	check(manifest, "application/json", "public, max-age=90, stale-while-revalidate=300")
}
