package cursors

import (
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

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

// s3 starts a server that speaks S3's protocol.
func s3(t *testing.T) (address string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("cursors"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	return "s3://cursors?region=us-east-1&use_path_style=true&disable_https=true&endpoint=" + server.URL
}

// gcs starts a server that speaks Cloud Storage's protocol.
func gcs(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	host := server.Listener.Addr().String()
	// Downloads are answered under the public host alone.
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, Writer: io.Discard, PublicHost: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "cursors"})
	server.Config.Handler = fake.HTTPHandler()
	server.Start()
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	return "gs://cursors?anonymous=true"
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
	t.Run("Cloud Storage", func(t *testing.T) {
		feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
			address := gcs(t)
			return func() feed.Cursors { return New(open(t, address)) }
		})
	})
	t.Run("S3", func(t *testing.T) {
		feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
			address := s3(t)
			return func() feed.Cursors { return New(open(t, address)) }
		})
	})
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
