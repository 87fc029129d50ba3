package origin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// swapAttempts bounds how often a change is tried again because another
// process changed the same name in between.
const swapAttempts = 16

// content is what is under a changeable name; body is nil when nothing is.
type content struct {
	body       []byte
	attributes *blob.Attributes
}

func (o *Origin) read(ctx context.Context, name string) (content, error) {
	// Attributes first: should the content change before it is read, the
	// condition made of them fails, which is the safe way round.
	attributes, err := o.store.Bucket.Attributes(ctx, name)
	var body []byte
	if err == nil {
		body, err = o.store.Bucket.ReadAll(ctx, name)
	}
	if gcerrors.Code(err) == gcerrors.NotFound {
		return content{}, nil
	}
	if err != nil {
		return content{}, fmt.Errorf("read %s: %w", name, err)
	}
	if body == nil {
		body = []byte{}
	}
	return content{body: body, attributes: attributes}, nil
}

// alone runs do while no other change of a changeable name is under way, as
// far as the store's lock reaches.
func (o *Origin) alone(ctx context.Context, do func() error) (err error) {
	o.swaps.Lock()
	defer o.swaps.Unlock()
	if o.store.Lock != nil {
		unlock, failed := o.store.Lock(ctx)
		if failed != nil {
			return fmt.Errorf("lock the manifests: %w", failed)
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	return do()
}

// swap replaces what is under a changeable name by what change makes of it
// (nil: leave it), such that no other change is lost. It runs within alone.
func (o *Origin) swap(ctx context.Context, name string, change func(old []byte) ([]byte, error)) error {
	for range swapAttempts {
		old, err := o.read(ctx, name)
		if err != nil {
			return err
		}
		body, err := change(old.body)
		if err != nil || body == nil {
			return err
		}
		writing := &blob.WriterOptions{
			ContentType:  "application/json",
			CacheControl: fmt.Sprintf("public, max-age=%d, stale-while-revalidate=%d", int(o.options.ManifestMaxAge.Seconds()), int(o.options.ManifestStale.Seconds())),
			IfNotExist:   old.attributes == nil,
		}
		if old.attributes != nil && o.store.OnlyIf != nil {
			writing.BeforeWrite = o.store.OnlyIf(old.attributes)
		}
		err = o.write(ctx, name, body, writing)
		if o.lost(err) {
			continue
		}
		return err
	}
	return fmt.Errorf("write %s: other processes changed it %d times in between; try again later", name, swapAttempts)
}

// lost says that a write did nothing, since somebody else was faster.
func (o *Origin) lost(err error) bool {
	return gcerrors.Code(err) == gcerrors.FailedPrecondition || err != nil && o.store.Conflict != nil && o.store.Conflict(err)
}

func (o *Origin) write(ctx context.Context, name string, body []byte, writing *blob.WriterOptions) error {
	if err := o.store.Bucket.WriteAll(ctx, name, body, writing); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if o.store.Persist != nil {
		if err := o.store.Persist(name); err != nil {
			return fmt.Errorf("make %s durable: %w", name, err)
		}
	}
	return nil
}

// notExist lets callers test with the standard library's error.
func notExist(err error) error {
	if gcerrors.Code(err) == gcerrors.NotFound {
		return errors.Join(err, fs.ErrNotExist)
	}
	return err
}
