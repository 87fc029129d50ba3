package bucket

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

func open(t *testing.T, address string) origin.Store {
	t.Helper()
	s, err := Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Run("file URL", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origin.Store { return open(t, "file://"+t.TempDir()) })
	})
	t.Run("mem", func(t *testing.T) {
		origintest.Run(t, func(t *testing.T) origin.Store { return open(t, "mem://") })
	})
}

func TestAFolderHoldsNothingButObjectsAndManifests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made when missing")
	s := open(t, dir)
	m, objects := origintest.Publication(1, episode.Version{Revision: 1, Generation: 1})
	if _, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		objects[0].Name: true, objects[1].Name: true,
		origin.ManifestName(m.ID): true, "episodes/" + string(m.ID) + "/objects.json": true,
	}
	for _, name := range files(t, dir) {
		if !want[name] {
			t.Errorf("%s is in the folder", name)
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
}

func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all = append(all, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatAKilledProcessLeftIsSwept(t *testing.T) {
	dir := t.TempDir()
	stray := filepath.Join(dir, "previews", "v1", "ab", "ab12.ogg.18c2.tmp")
	leave := func() {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(stray), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(stray, []byte("half"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	open(t, dir)
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	leave() // now it may be one that the first store is writing
	open(t, dir)
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("a file of a process that runs was removed")
	}
}

func TestTwoStoresOnOneFolderTakeTurns(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	unlock, err := a.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Lock(ctx); err == nil {
		t.Fatal("both have the lock")
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			m, objects := origintest.Publication(1, episode.Version{Revision: episode.Revision(n + 1)})
			if _, err := origin.New([]origin.Store{a, b}[n%2], origin.Options{}).Publish(t.Context(), m, objects); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if m, _, err := origin.New(a, origin.Options{}).Manifest(t.Context(), episode.NewID("suite", "1")); err != nil || m.Version.Revision != 8 {
		t.Errorf("%+v, %v", m.Version, err)
	}
}

// Who goes on without the lock given back keeps all others waiting.
func TestALockThatIsNotGivenBackIsTold(t *testing.T) {
	s := open(t, t.TempDir())
	stuck := errors.New("the disk is gone")
	lock := s.Lock
	s.Lock = func(ctx context.Context) (func() error, error) {
		unlock, err := lock(ctx)
		return func() error { return errors.Join(unlock(), stuck) }, err
	}
	m, objects := origintest.Publication(1, episode.Version{Revision: 1})
	if _, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); !errors.Is(err, stuck) {
		t.Errorf("%v", err)
	}
}

func TestAnUnknownAddressIsRefused(t *testing.T) {
	if _, err := Open(t.Context(), "ftp://x"); err == nil || !strings.Contains(err.Error(), "none of file, gs, s3, mem") {
		t.Errorf("%v", err)
	}
}
