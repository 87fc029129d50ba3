// Package origin publishes previews where a CDN fetches them: objects first,
// named by their hash and never changed, then the episode's manifest, which is
// the only name whose content changes and which never goes back to an older
// version. It works on any go-cloud bucket; how a bucket is opened, and what it
// can do beyond go-cloud's portable API, is a Store's business (package bucket).
package origin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

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
}

// Origin publishes to one store. Its methods may be called from many goroutines.
type Origin struct {
	store   Store
	options Options
	swaps   sync.Mutex // one change of a changeable name at a time within this process
}

// New returns the origin on store. The caller closes the store.
func New(store Store, o Options) *Origin {
	if o.ManifestMaxAge <= 0 {
		o.ManifestMaxAge = time.Minute
	}
	return &Origin{store: store, options: o}
}

// ObjectName is where an object with this hash is published: hash is SHA-256
// in lower-case hex, extension has no dot ("ogg").
func ObjectName(hash, extension string) string {
	return fmt.Sprintf("previews/v1/%.2s/%s.%s", hash, hash, extension)
}

// ManifestName is where the episode's manifest is published.
func ManifestName(id episode.ID) string { return fmt.Sprintf("episodes/%s/preview.json", id) }

// ledgerName is where the names of all objects that were ever published for
// the episode are kept, so that a takedown finds those of older revisions.
func ledgerName(id episode.ID) string { return fmt.Sprintf("episodes/%s/objects.json", id) }

// Object is one rendition's file.
type Object struct {
	Name        string // ObjectName of its hash
	ContentType string // "audio/ogg", "audio/mp4"
	Body        []byte
}

// Publish makes the manifest and the objects that it names readable at the
// origin, in that order of dependence: when the manifest can be read, so can
// all its objects, with the hashes it says. Publishing what is there already
// costs one small read and a look at each object. Publish returns Overtaken,
// and leaves the manifest, when a newer version or a takedown is there.
func (o *Origin) Publish(ctx context.Context, m Manifest, objects []Object) (Result, error) {
	m.Schema = ManifestSchema
	if err := m.check(objects); err != nil {
		return "", fmt.Errorf("origin: publish the preview of %q: %w", m.ID, err)
	}
	result, err := o.publish(ctx, m, objects)
	if err != nil {
		return "", fmt.Errorf("origin: publish the preview of %s: %w", m.ID, err)
	}
	return result, nil
}

func (o *Origin) publish(ctx context.Context, m Manifest, objects []Object) (Result, error) {
	body, err := episode.Marshal(m)
	if err != nil {
		return "", err
	}
	there, err := o.read(ctx, ManifestName(m.ID))
	if err != nil {
		return "", err
	}
	result, err := compare(there.body, m, body)
	if err != nil || result == Overtaken {
		return result, err
	}
	if result == Unchanged {
		whole, err := o.whole(ctx, objects)
		if err != nil {
			return "", err
		}
		if whole {
			return Unchanged, nil
		}
	}
	if err := o.enter(ctx, m.ID, objects); err != nil {
		return "", err
	}
	if err := o.putAll(ctx, objects); err != nil {
		return "", err
	}
	err = o.alone(ctx, func() error {
		err := o.swap(ctx, ManifestName(m.ID), func(old []byte) ([]byte, error) {
			if result, err = compare(old, m, body); err != nil || result != Stored {
				return nil, err
			}
			return body, nil
		})
		if err != nil || result != Overtaken {
			return err
		}
		// It may have been a takedown that found nothing to delete yet.
		return o.sweepIfRemoved(ctx, m.ID)
	})
	if err != nil || result == Overtaken {
		return result, err
	}
	// A takedown of an older revision may have deleted an object that both
	// have, just before this manifest was written.
	if whole, err := o.whole(ctx, objects); err != nil || whole {
		return result, err
	}
	return result, o.putAll(ctx, objects)
}

func (o *Origin) putAll(ctx context.Context, objects []Object) error {
	for _, object := range objects {
		if err := o.put(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes the episode's preview down: the manifest says so from then on,
// and every object ever published for the episode is gone, save from caches.
// A later Publish of this revision or an earlier one changes nothing. An
// object that another episode shares bit by bit goes too; publishing that
// episode again brings it back.
func (o *Origin) Remove(ctx context.Context, id episode.ID, revision episode.Revision) (Result, error) {
	m := Manifest{Schema: ManifestSchema, ID: id, Version: episode.Version{Revision: revision}, Removed: true}
	result, err := o.remove(ctx, m)
	if err != nil {
		return "", fmt.Errorf("origin: take down the preview of %s: %w", id, err)
	}
	return result, nil
}

func (o *Origin) remove(ctx context.Context, m Manifest) (result Result, err error) {
	body, err := episode.Marshal(m)
	if err != nil {
		return "", err
	}
	err = o.alone(ctx, func() error {
		err := o.swap(ctx, ManifestName(m.ID), func(old []byte) ([]byte, error) {
			if result, err = compare(old, m, body); err != nil || result != Stored {
				return nil, err
			}
			return body, nil
		})
		if err != nil {
			return err
		}
		return o.sweepIfRemoved(ctx, m.ID)
	})
	return result, err
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

// errCorrupt says that an object's bytes are not what its name says.
var errCorrupt = errors.New("its bytes do not have the hash that its name says")

// put writes the object unless it is there, and reads it back.
func (o *Origin) put(ctx context.Context, object Object) error {
	writing := &blob.WriterOptions{
		ContentType:  object.ContentType,
		CacheControl: "public, max-age=31536000, immutable",
		IfNotExist:   true,
	}
	hash := hashOf(object.Name)
	err := o.verify(ctx, object.Name, hash)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errCorrupt):
		// Storage lost bits, or somebody wrote there by hand: the name's
		// content is what hashes to it, so writing that is a repair.
		writing.IfNotExist = false
	case gcerrors.Code(err) != gcerrors.NotFound:
		return err
	}
	err = o.write(ctx, object.Name, object.Body, writing)
	if err != nil && gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return err
	}
	return o.verify(ctx, object.Name, hash)
}

// verify reads the object and compares its hash.
func (o *Origin) verify(ctx context.Context, name, hash string) (err error) {
	r, err := o.store.Bucket.NewReader(ctx, name, nil)
	if err != nil {
		return fmt.Errorf("read back %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("read back %s: %w", name, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != hash {
		return fmt.Errorf("read back %s: %w", name, errCorrupt)
	}
	return nil
}

// whole reports whether all objects are there with the right size; their
// content was verified when the manifest was written.
func (o *Origin) whole(ctx context.Context, objects []Object) (bool, error) {
	for _, object := range objects {
		a, err := o.store.Bucket.Attributes(ctx, object.Name)
		if gcerrors.Code(err) == gcerrors.NotFound {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look at %s: %w", object.Name, err)
		}
		if a.Size != int64(len(object.Body)) {
			return false, nil
		}
	}
	return true, nil
}
