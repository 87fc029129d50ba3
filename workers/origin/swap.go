package origin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag/episode"
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
		unlock, err := o.store.Lock(ctx)
		if err != nil {
			return fmt.Errorf("lock the manifests: %w", err)
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
			CacheControl: fmt.Sprintf("public, max-age=%d", int(o.options.ManifestMaxAge.Seconds())),
			IfNotExist:   old.attributes == nil,
		}
		if old.attributes != nil && o.store.OnlyIf != nil {
			writing.BeforeWrite = o.store.OnlyIf(old.attributes)
		}
		err = o.write(ctx, name, body, writing)
		if gcerrors.Code(err) == gcerrors.FailedPrecondition {
			continue
		}
		return err
	}
	return fmt.Errorf("write %s: other processes changed it %d times in between; try again later", name, swapAttempts)
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

// enter adds the objects to the episode's ledger before they are written.
func (o *Origin) enter(ctx context.Context, id episode.ID, objects []Object) error {
	return o.alone(ctx, func() error {
		return o.swap(ctx, ledgerName(id), func(old []byte) ([]byte, error) {
			names, err := parseLedger(old)
			if err != nil {
				return nil, err
			}
			before := len(names)
			for _, object := range objects {
				if i, found := slices.BinarySearch(names, object.Name); !found {
					names = slices.Insert(names, i, object.Name)
				}
			}
			if len(names) == before {
				return nil, nil
			}
			return episode.Marshal(names)
		})
	})
}

// objectForm is ObjectName's: a takedown deletes what the list names, whoever
// wrote it.
var objectForm = regexp.MustCompile(`^previews/v1/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]*$`)

func parseLedger(body []byte) (names []string, err error) {
	if body == nil {
		return nil, nil
	}
	if err := json.Unmarshal(body, &names); err != nil {
		return nil, fmt.Errorf("the list of objects at the origin is unreadable: %w", err)
	}
	for _, name := range names {
		if !objectForm.MatchString(name) || name != ObjectName(hashOf(name), strings.TrimPrefix(path.Ext(name), ".")) {
			return nil, fmt.Errorf("the list of objects at the origin names %q, which is no object of a preview; take it off the list", name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// sweepIfRemoved deletes the episode's objects when its manifest says that it
// was taken down. It runs within alone: a newer revision that is being
// published finds its objects gone only before its manifest is written.
func (o *Origin) sweepIfRemoved(ctx context.Context, id episode.ID) error {
	there, err := o.read(ctx, ManifestName(id))
	if err != nil || there.body == nil {
		return err
	}
	m, err := parse(there.body)
	if err != nil || !m.Removed {
		return err
	}
	ledger, err := o.read(ctx, ledgerName(id))
	if err != nil {
		return err
	}
	names, err := parseLedger(ledger.body)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.store.Bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("delete %s: %w", name, err)
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
