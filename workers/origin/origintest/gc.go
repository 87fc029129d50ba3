package origintest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
)

// later is an origin on the store in two days.
func later(s origin.Store) *origin.Origin {
	return origin.New(s, origin.Options{Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
}

func gc(t *testing.T, o *origin.Origin, g origin.GCOptions) (r origin.GCReport, deleted []string) {
	t.Helper()
	g.Deleted = func(name string, _ int64) { deleted = append(deleted, name) }
	r, err := o.GC(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	if int(r.Deleted.Objects) != len(deleted) {
		t.Errorf("%+v, but told of %d", r, len(deleted))
	}
	return r, deleted
}

// collected: what no manifest names goes when its grace is over, and nothing
// else does.
func collected(t *testing.T, s origin.Store) {
	o := origin.New(s, origin.Options{})
	publish(t, o, origin.Stored, 1, version(1, 1))
	publish(t, o, origin.Stored, 1, version(2, 1))
	publish(t, o, origin.Stored, 2, version(1, 1))
	publish(t, o, origin.Stored, 3, version(1, 1))
	if _, err := o.Remove(t.Context(), episode.NewID("suite", "3"), 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Bucket.WriteAll(t.Context(), "previews/index.html", []byte("not ours"), nil); err != nil {
		t.Fatal(err)
	}
	before := names(t, s.Bucket)
	var orphans []string
	var bytes int64
	_, objects := Publication(1, version(1, 1))
	for _, object := range objects {
		orphans = append(orphans, object.Name)
		bytes += int64(len(object.Body))
	}
	slices.Sort(orphans)

	if r, deleted := gc(t, o, origin.GCOptions{}); len(deleted) != 0 || r.Manifests != 3 || r.Foreign.Objects != 1 {
		t.Errorf("within the grace: %+v, deleted %v", r, deleted)
	}
	r, deleted := gc(t, later(s), origin.GCOptions{DryRun: true})
	if !slices.Equal(deleted, orphans) || r.Deleted.Bytes != bytes || r.Named.Objects != 4 || r.Recent.Objects != 0 {
		t.Errorf("dry run: %+v, would delete %v", r, deleted)
	}
	if got := names(t, s.Bucket); !slices.Equal(got, before) {
		t.Errorf("a dry run left %v", got)
	}
	if r, deleted := gc(t, later(s), origin.GCOptions{Readers: 1}); !slices.Equal(deleted, orphans) || r.Deleted.Bytes != bytes {
		t.Errorf("%+v, deleted %v", r, deleted)
	}
	want := slices.DeleteFunc(slices.Clone(before), func(name string) bool { return slices.Contains(orphans, name) })
	if got := names(t, s.Bucket); !slices.Equal(got, want) {
		t.Errorf("left %v", got)
	}
	whole(t, o, 1, version(2, 1))
	whole(t, o, 2, version(1, 1))
	if r, _ := gc(t, later(s), origin.GCOptions{}); r.Deleted.Objects != 0 {
		t.Errorf("again: %+v", r)
	}
}

// cautious: GC that cannot know what is named deletes nothing.
func cautious(t *testing.T, s origin.Store) {
	publish(t, later(s), origin.Stored, 1, version(1, 1))
	publish(t, later(s), origin.Stored, 1, version(2, 1))
	if _, err := later(s).GC(t.Context(), origin.GCOptions{Grace: time.Hour}); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("an hour of grace: %v", err)
	}
	before := names(t, s.Bucket)
	for what, body := range map[string]string{"half a manifest": `{"schema": "earsh`, "a newer schema": `{"schema": "earshot.preview/2"}`} {
		manifest := origin.ManifestName("e")
		if err := s.Bucket.WriteAll(t.Context(), manifest, []byte(body), nil); err != nil {
			t.Fatal(err)
		}
		if r, err := later(s).GC(t.Context(), origin.GCOptions{}); err == nil || !strings.Contains(err.Error(), manifest) || r.Deleted.Objects != 0 {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if err := s.Bucket.Delete(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, s.Bucket); !slices.Equal(got, before) {
		t.Errorf("left %v", got)
	}
}
