package cursors

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/feed/feedtest"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/bucket"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

func open(t *testing.T, address string) Store {
	t.Helper()
	s, err := bucket.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return storeOf(s)
}

func storeOf(s origin.Store) Store {
	return Store{Bucket: s.Bucket, OnlyIf: s.OnlyIf, Lock: s.Lock, Persist: s.Persist}
}

func TestConformance(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
			dir := t.TempDir()
			return func() feed.Cursors { return New(open(t, dir)) }
		})
	})
	t.Run("mem", func(t *testing.T) {
		feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
			s := open(t, "mem://")
			return func() feed.Cursors { return New(s) }
		})
	})
	for scheme, start := range buckettest.Stores {
		t.Run(scheme, func(t *testing.T) {
			feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
				address := start(t, nil)
				return func() feed.Cursors { return New(open(t, address)) }
			})
		})
	}
}

func TestNothingShowsWhereAPrivateFeedIs(t *testing.T) {
	dir := t.TempDir()
	c := New(open(t, dir))
	if saved, err := c.SaveCursor(t.Context(), "https://user:hunter2@example.org/rss?token=hunter3", nil, []byte(`{"items":null}`)); !saved || err != nil {
		t.Fatal(saved, err)
	}
	found := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found++
		body, err := os.ReadFile(path)
		for _, secret := range []string{"user", "hunter", "example"} {
			if strings.Contains(path, secret) || strings.Contains(string(body), secret) {
				t.Errorf("%s shows %s", path, secret)
			}
		}
		return err
	})
	if err != nil || found != 1 {
		t.Errorf("%d files, %v", found, err)
	}
}
