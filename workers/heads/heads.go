// Package heads keeps, in any bucket that gocloud.dev/blob opens, which edition
// of an episode is the newest that any worker was told of: a small object for
// each episode, heads/<id>.json. Workers that share nothing but the bucket learn
// from it that what they work on was overtaken or taken down.
package heads

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// Heads are workers.Heads in a bucket. Their methods may be called from many
// goroutines and processes.
type Heads struct{ bucket *blob.Bucket }

var _ workers.Heads = (*Heads)(nil)

// New gives the heads in the bucket, which stays the caller's to close.
func New(bucket *blob.Bucket) *Heads { return &Heads{bucket} }

// Newest implements workers.Heads.
func (h *Heads) Newest(ctx context.Context, id episode.ID) (head workers.Head, err error) {
	body, err := h.bucket.ReadAll(ctx, name(id))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return workers.Head{}, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &head)
	}
	if err != nil {
		return workers.Head{}, fmt.Errorf("heads: read %s: %w", name(id), err)
	}
	return head, nil
}

// Advance implements workers.Heads.
func (h *Heads) Advance(ctx context.Context, id episode.ID, head workers.Head) (workers.Head, error) {
	newest, err := h.Newest(ctx, id)
	if err != nil || !head.Supersedes(newest) {
		return newest, err
	}
	body, err := json.Marshal(head)
	if err == nil {
		err = h.bucket.WriteAll(ctx, name(id), body, &blob.WriterOptions{ContentType: "application/json"})
	}
	if err != nil {
		return newest, fmt.Errorf("heads: write %s: %w", name(id), err)
	}
	return head, nil
}

// The suffix keeps an id from being anything but a name.
func name(id episode.ID) string { return "heads/" + url.PathEscape(string(id)) + ".json" }
