package origin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// errCorrupt says that an object's bytes are not what its name says.
var errCorrupt = errors.New("its bytes do not have the hash that its name says")

// renewAfter is the age at which an object that no manifest is known to name
// is written again, so that GC, which goes by age, leaves it alone.
const renewAfter = time.Hour

func (o *Origin) putAll(ctx context.Context, objects []Object, named map[string]bool) error {
	for _, object := range objects {
		if err := o.put(ctx, object, named); err != nil {
			return err
		}
	}
	return nil
}

// put writes the object unless it is there, and reads it back. named are those
// that a manifest at the origin names.
func (o *Origin) put(ctx context.Context, object Object, named map[string]bool) error {
	writing := &blob.WriterOptions{
		ContentType:  object.ContentType,
		CacheControl: "public, max-age=31536000, immutable",
		IfNotExist:   true,
	}
	hash := hashOf(object.Name)
	written, err := o.verify(ctx, object.Name, hash)
	switch {
	case err == nil && (named[object.Name] || o.options.Now().Sub(written) < renewAfter):
		return nil
	case err == nil:
		writing.IfNotExist = false
	case errors.Is(err, errCorrupt):
		// Storage lost bits, or somebody wrote there by hand: the name's
		// content is what hashes to it, so writing that is a repair.
		writing.IfNotExist = false
	case gcerrors.Code(err) != gcerrors.NotFound:
		return err
	}
	err = o.write(ctx, object.Name, object.Body, writing)
	if err != nil && !o.lost(err) {
		return err
	}
	_, err = o.verify(ctx, object.Name, hash)
	return err
}

// verify reads the object, compares its hash, and says when it was written.
func (o *Origin) verify(ctx context.Context, name, hash string) (written time.Time, err error) {
	r, err := o.store.Bucket.NewReader(ctx, name, nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("read back %s: %w", name, err)
	}
	h := sha256.New()
	_, err = r.WriteTo(h)
	if err = joinClose(err, r); err != nil {
		return time.Time{}, fmt.Errorf("read back %s: %w", name, err)
	}
	if hex.EncodeToString(h.Sum(nil)) != hash {
		return time.Time{}, fmt.Errorf("read back %s: %w", name, errCorrupt)
	}
	return r.ModTime(), nil
}

// joinClose closes c and adds its error to err.
func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

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
