// Package origin publishes previews where a CDN fetches them: objects first,
// named by their hash and never changed, then the episode's manifest, which is
// the only name whose content changes and which never goes back to an older
// version. It works on any go-cloud bucket; how a bucket is opened, and what it
// can do beyond go-cloud's portable API, is a Store's business (package bucket).
package origin

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gocloud.dev/blob"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Result is what a Publish or Remove did.
type Result string

const (
	// Stored: the origin now serves this version.
	Stored Result = "stored"
	// Unchanged: the origin served exactly this already.
	Unchanged Result = "unchanged"
	// Overtaken: the origin serves something newer, and keeps it.
	Overtaken Result = "overtaken"
)

// Store is a bucket and what its driver adds to go-cloud's portable API.
type Store struct {
	Bucket *blob.Bucket

	// OnlyIf returns a blob.WriterOptions.BeforeWrite that makes the write fail
	// with gcerrors.FailedPrecondition unless the object is still the one that
	// attributes describe. nil: the driver cannot do that, and Lock must keep
	// other processes away instead.
	OnlyIf func(attributes *blob.Attributes) (beforeWrite func(as func(any) bool) error)

	// Conflict says of a write's error that another write of the same name was
	// under way, and that nothing was written. nil: the driver has no such error.
	Conflict func(err error) bool

	// Lock keeps other processes from changing manifests until unlock is
	// called. nil: there are no other processes, or OnlyIf serves.
	Lock func(ctx context.Context) (unlock func() error, err error)

	// Persist makes what was written under the name survive power loss. nil: a
	// write that succeeded already does.
	Persist func(name string) error

	// Close releases what the store holds, the bucket too.
	Close func() error
}

// Options are the origin's settings; the zero value of each is its default.
type Options struct {
	// ManifestMaxAge is how long caches may keep a manifest. Zero: 60 s.
	ManifestMaxAge time.Duration
	// ManifestStale is for how much longer they may serve it while they fetch
	// it anew. Zero: 60 s.
	ManifestStale time.Duration

	// Purgers are the CDNs in front of the origin.
	Purgers []Purger
	// RefreshWait bounds the purge of a manifest that has given way to a newer
	// one. Zero: 10 s. What is taken down is purged for as long as the context
	// of Remove allows.
	RefreshWait time.Duration

	Now func() time.Time // nil: time.Now

	// Registerer takes the metrics; nil: nobody.
	Registerer prometheus.Registerer
}

// Origin publishes to one store. Its methods may be called from many goroutines.
type Origin struct {
	store   Store
	options Options
	metrics *metrics
	swaps   sync.Mutex // one change of a changeable name at a time within this process
}

// New returns the origin on store. The caller closes the store.
func New(store Store, o Options) *Origin {
	if o.ManifestMaxAge <= 0 {
		o.ManifestMaxAge = time.Minute
	}
	if o.ManifestStale <= 0 {
		o.ManifestStale = time.Minute
	}
	if o.RefreshWait <= 0 {
		o.RefreshWait = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Origin{store: store, options: o, metrics: newMetrics(o.Registerer)}
}

// ObjectName is where an object with this hash is published: hash is SHA-256
// in lower-case hex, extension has no dot ("ogg").
func ObjectName(hash, extension string) string {
	return fmt.Sprintf("previews/v1/%.2s/%s.%s", hash, hash, extension)
}

// ManifestName is where the episode's manifest is published.
func ManifestName(id episode.ID) string { return fmt.Sprintf("episodes/%s/preview.json", id) }

// Object is one rendition's file.
type Object struct {
	Name        string // ObjectName of its hash
	ContentType string // "audio/ogg", "audio/mp4"
	Body        []byte
}

// Manifest returns the manifest that the origin serves for the episode; false
// when it serves none.
func (o *Origin) Manifest(ctx context.Context, id episode.ID) (m Manifest, found bool, err error) {
	there, err := o.read(ctx, ManifestName(id))
	if err == nil && there.body != nil {
		found = true
		m, err = parse(there.body)
	}
	if err != nil {
		return Manifest{}, false, fmt.Errorf("origin: read the manifest of %s: %w", id, err)
	}
	return m, found, nil
}

// Open reads an object or a manifest by its name. The error wraps
// fs.ErrNotExist when there is none.
func (o *Origin) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := o.store.Bucket.NewReader(ctx, name, nil)
	if err != nil {
		return nil, fmt.Errorf("origin: read %s: %w", name, notExist(err))
	}
	return r, nil
}
