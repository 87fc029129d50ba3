package bucket

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

// aged is a folder with two revisions of an episode, the first of which no
// manifest names any more, all written days ago.
func aged(t *testing.T) (s origin.Store, dir string, orphans []origin.Object) {
	t.Helper()
	dir = t.TempDir()
	s = open(t, dir)
	for revision := range 2 {
		publish(t, s, revision+1)
	}
	ago := time.Now().Add(-72 * time.Hour)
	for _, name := range files(t, dir) {
		if err := os.Chtimes(filepath.Join(dir, name), ago, ago); err != nil {
			t.Fatal(err)
		}
	}
	_, orphans = origintest.Publication(1, episode.Version{Revision: 1})
	slices.SortFunc(orphans, func(a, b origin.Object) int { return strings.Compare(a.Name, b.Name) })
	return s, dir, orphans
}

func publish(t *testing.T, s origin.Store, revision int) {
	t.Helper()
	m, objects := origintest.Publication(1, episode.Version{Revision: episode.Revision(revision)})
	if got, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil || got != origin.Stored {
		t.Fatalf("%q, %v", got, err)
	}
}

// adopt publishes another episode that has these objects.
func adopt(t *testing.T, s origin.Store, objects []origin.Object) {
	t.Helper()
	m, _ := origintest.Publication(2, episode.Version{Revision: 1})
	own, _ := origintest.Publication(1, episode.Version{Revision: 1})
	m.Preview.Renditions = own.Preview.Renditions
	if got, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil || got != origin.Stored {
		t.Fatalf("%q, %v", got, err)
	}
}

func there(t *testing.T, s origin.Store, objects []origin.Object) {
	t.Helper()
	for _, object := range objects {
		if body, err := s.Bucket.ReadAll(t.Context(), object.Name); err != nil || string(body) != string(object.Body) {
			t.Errorf("%s: %q, %v", object.Name, body, err)
		}
	}
}

// A publisher finds its objects at the origin, already chosen for deletion.
func TestAPublisherBesideGCKeepsItsObjects(t *testing.T) {
	s, _, orphans := aged(t)
	r, err := origin.New(s, origin.Options{}).GC(t.Context(), origin.GCOptions{
		Deleted: func(string, int64) { adopt(t, s, orphans) }, // when the first of two has gone
	})
	if err != nil || r.Deleted.Objects != 1 || r.Recent.Objects != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	there(t, s, orphans)
}

// What GC itself cannot mend, it says.
func TestAManifestThatOvertookGCIsNamed(t *testing.T) {
	s, dir, orphans := aged(t)
	adopt(t, s, orphans)
	manifest := filepath.Join(dir, filepath.FromSlash(origin.ManifestName(episode.NewID("suite", "2"))))
	body, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	s, _, orphans = aged(t)
	_, err = origin.New(s, origin.Options{}).GC(t.Context(), origin.GCOptions{Deleted: func(name string, _ int64) {
		if name == orphans[1].Name { // as though the publisher had read all back before
			if err := s.Bucket.WriteAll(t.Context(), origin.ManifestName("e"), body, nil); err != nil {
				t.Error(err)
			}
		}
	}})
	if err == nil || !strings.Contains(err.Error(), orphans[0].Name) || !strings.Contains(err.Error(), "publish these episodes again") {
		t.Errorf("%v", err)
	}
	adopt(t, s, orphans)
	there(t, s, orphans)
}

// Players may hold the manifest of before while caches do.
func TestWhatAManifestNamedUntilJustNowIsKept(t *testing.T) {
	s, dir, orphans := aged(t)
	second, secondObjects := origintest.Publication(1, episode.Version{Revision: 2})
	publish(t, s, 3)
	manifest := filepath.Join(dir, filepath.FromSlash(origin.ManifestName(second.ID)))
	collect := func(want int64) {
		t.Helper()
		if r, err := origin.New(s, origin.Options{}).GC(t.Context(), origin.GCOptions{}); err != nil || r.Deleted.Objects != want {
			t.Errorf("%+v, %v", r, err)
		}
	}
	collect(0)
	there(t, s, append(secondObjects, orphans...))
	ago := time.Now().Add(-25 * time.Hour)
	for _, path := range []string{manifest, filepath.Join(filepath.Dir(manifest), "objects.json")} {
		if err := os.Chtimes(path, ago, ago); err != nil {
			t.Fatal(err)
		}
	}
	collect(4)
	_, third := origintest.Publication(1, episode.Version{Revision: 3})
	there(t, s, third)
}
