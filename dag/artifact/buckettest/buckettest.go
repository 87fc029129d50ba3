// Package buckettest runs object stores for tests, each behind its real
// protocol over HTTP: S3 and Google Cloud Storage. It gives the address that a
// user would write, and lets a test stand between client and store.
package buckettest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	_ "gocloud.dev/blob/gcsblob" // gs://
	_ "gocloud.dev/blob/s3blob"  // s3://
)

// Between stands between a client and the store; nil lets all through.
type Between func(store http.Handler) http.Handler

// Stores are the protocols, by the name of their scheme.
var Stores = map[string]func(t *testing.T, between Between) (address string){"s3": S3, "gs": GCS}

// S3 runs an S3 store with one empty bucket and gives its address. It honours
// If-Match and If-None-Match, each together with the write, and keeps
// Content-Type and Cache-Control.
func S3(t *testing.T, between Between) (address string) {
	t.Helper()
	store := s3mem.New()
	if err := store.CreateBucket("previews"); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithoutVersioning())
	server := httptest.NewUnstartedServer(nil)
	serve(t, server, cacheControl(fake.Server()), between)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return "s3://previews?region=eu-north-1&use_path_style=true&endpoint=" + url.QueryEscape(server.URL)
}

// GCS runs a Cloud Storage with one empty bucket and gives its address. It
// honours ifGenerationMatch together with the write.
func GCS(t *testing.T, between Between) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	host := server.Listener.Addr().String()
	// The public host is the one that answers downloads.
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, Writer: io.Discard, PublicHost: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "previews"})
	serve(t, server, fake.HTTPHandler(), between)
	t.Setenv("STORAGE_EMULATOR_HOST", host)
	return "gs://previews?anonymous=true"
}

func serve(t *testing.T, server *httptest.Server, store http.Handler, between Between) {
	if between != nil {
		store = between(store)
	}
	server.Config.Handler = store
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // answers that a test cuts
	server.Start()
	t.Cleanup(server.Close)
}
