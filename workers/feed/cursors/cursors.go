// Package cursors keeps the pollers' cursors in a bucket, one object for each
// feed. An object's name is a hash, which shows nothing of the feed's address,
// and is written only in the place of what its writer had read: a poller that
// has lost its turn without knowing it overwrites nothing of its successor's.
package cursors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/workers/feed"
)

// Store is a bucket and what makes writing to it conditional; the fields are
// those of the origin's store.
type Store struct {
	Bucket *blob.Bucket

	// OnlyIf returns a blob.WriterOptions.BeforeWrite that makes the write fail
	// with gcerrors.FailedPrecondition unless the object is still the one that
	// attributes describe. nil: Lock must keep other processes away instead.
	OnlyIf func(attributes *blob.Attributes) (beforeWrite func(as func(any) bool) error)

	// Lock keeps other processes from writing until unlock is called. nil: there
	// are no other processes, or OnlyIf serves.
	Lock func(ctx context.Context) (unlock func() error, err error)

	// Persist makes what was written under the name survive power loss. nil: a
	// write that succeeded already does.
	Persist func(name string) error
}

// Cursors implement feed.Cursors.
type Cursors struct {
	store Store
	// saves keeps this process's saves apart where the store's conditions do not.
	saves sync.Mutex
}

var _ feed.Cursors = (*Cursors)(nil)

// New returns the cursors in a store, which its owner closes.
func New(s Store) *Cursors { return &Cursors{store: s} }

// object names the object of a cursor.
func object(name string) string {
	sum := sha256.Sum256([]byte(name))
	h := hex.EncodeToString(sum[:])
	return "cursors/v1/" + h[:2] + "/" + h + ".json"
}

// LoadCursor implements feed.Cursors.
func (c *Cursors) LoadCursor(ctx context.Context, name string) ([]byte, error) {
	body, err := c.store.Bucket.ReadAll(ctx, object(name))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cursors: read %s: %w", object(name), err)
	}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}

// SaveCursor implements feed.Cursors.
func (c *Cursors) SaveCursor(ctx context.Context, name string, was, body []byte) (saved bool, err error) {
	if c.store.OnlyIf == nil {
		c.saves.Lock()
		defer c.saves.Unlock()
	}
	if c.store.Lock != nil {
		unlock, lockErr := c.store.Lock(ctx)
		if lockErr != nil {
			return false, fmt.Errorf("cursors: lock the bucket: %w", lockErr)
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	if saved, err = c.swap(ctx, object(name), was, body); err != nil {
		return false, fmt.Errorf("cursors: write %s: %w", object(name), err)
	}
	return saved, nil
}

func (c *Cursors) swap(ctx context.Context, name string, was, body []byte) (bool, error) {
	options := &blob.WriterOptions{ContentType: "application/json", CacheControl: "no-store", IfNotExist: was == nil}
	if was != nil {
		// Attributes first: should the content change before it is read, the
		// condition made of them fails, which is the safe way round.
		attributes, err := c.store.Bucket.Attributes(ctx, name)
		var there []byte
		if err == nil {
			there, err = c.store.Bucket.ReadAll(ctx, name)
		}
		if gcerrors.Code(err) == gcerrors.NotFound {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !bytes.Equal(there, was) {
			return false, nil
		}
		if c.store.OnlyIf != nil {
			options.BeforeWrite = c.store.OnlyIf(attributes)
		}
	}
	err := c.store.Bucket.WriteAll(ctx, name, body, options)
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		// Perhaps by an attempt of this write whose answer was lost.
		there, err := c.store.Bucket.ReadAll(ctx, name)
		if gcerrors.Code(err) == gcerrors.NotFound {
			return false, nil
		}
		return bytes.Equal(there, body), err
	}
	if err == nil && c.store.Persist != nil {
		err = c.store.Persist(name)
	}
	return err == nil, err
}
