package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag/episode"
)

// ledger names all objects that were ever published for an episode, so that a
// takedown finds those of older revisions.
type ledger struct {
	Objects []string `json:"objects,omitempty"` // in order
	// Cleared says that a takedown is done: since the last object was entered,
	// all have been deleted, and purged from every cache.
	Cleared bool `json:"cleared,omitempty"`
}

func ledgerName(id episode.ID) string { return fmt.Sprintf("episodes/%s/objects.json", id) }

func parseLedger(body []byte) (l ledger, err error) {
	if body == nil {
		return ledger{}, nil
	}
	into := any(&l)
	if bytes.HasPrefix(body, []byte("[")) { // as it was before takedowns were recorded
		into = &l.Objects
	}
	if err := json.Unmarshal(body, into); err != nil {
		return ledger{}, fmt.Errorf("the list of objects at the origin is unreadable: %w", err)
	}
	for _, name := range l.Objects {
		if !objectForm.MatchString(name) || name != ObjectName(hashOf(name), strings.TrimPrefix(path.Ext(name), ".")) {
			return ledger{}, fmt.Errorf("the list of objects at the origin names %q, which is no object of a preview; take it off the list", name)
		}
	}
	slices.Sort(l.Objects)
	return l, nil
}

// objectForm is ObjectName's: a takedown deletes what the list names, whoever
// wrote it.
var objectForm = regexp.MustCompile(`^previews/v1/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]*$`)

// enter adds the objects to the episode's ledger before they are written.
func (o *Origin) enter(ctx context.Context, id episode.ID, objects []Object) error {
	return o.alone(ctx, func() error {
		return o.swap(ctx, ledgerName(id), func(old []byte) ([]byte, error) {
			l, err := parseLedger(old)
			if err != nil {
				return nil, err
			}
			changed := l.Cleared
			l.Cleared = false
			for _, object := range objects {
				if i, found := slices.BinarySearch(l.Objects, object.Name); !found {
					l.Objects = slices.Insert(l.Objects, i, object.Name)
					changed = true
				}
			}
			if !changed {
				return nil, nil
			}
			return episode.Marshal(l)
		})
	})
}

// Remove takes the episode's preview down: the manifest says so from then on,
// and every object ever published for the episode is gone, from the caches
// too: Remove returns without an error only when every CDN has accepted the
// purge. Killed or failed on the way, it goes on where it is called again.
// A later Publish of this revision or an earlier one changes nothing. An
// object that another episode shares bit by bit goes too; publishing that
// episode again brings it back.
func (o *Origin) Remove(ctx context.Context, id episode.ID, revision episode.Revision) (result Result, err error) {
	defer func() { o.metrics.changed("remove", result, err) }()
	if !safeID(id) {
		return "", fmt.Errorf("origin: take down a preview: %q is no episode id", id)
	}
	m := Manifest{Schema: ManifestSchema, ID: id, Version: episode.Version{Revision: revision}, Removed: true}
	result, err = o.remove(ctx, m)
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
		return o.swap(ctx, ManifestName(m.ID), func(old []byte) ([]byte, error) {
			if result, err = compare(old, m, body); err != nil || result != Stored {
				return nil, err
			}
			return body, nil
		})
	})
	if err != nil {
		return "", err
	}
	return result, o.takeDown(ctx, m.ID, nil, result == Stored)
}

// takeDown deletes and purges what the episode's ledger names, and own
// besides, if its manifest says that it was taken down. A takedown that is
// known to be done is repeated only if again is set.
func (o *Origin) takeDown(ctx context.Context, id episode.ID, own []Object, again bool) error {
	var (
		names []string
		down  bool
	)
	err := o.alone(ctx, func() (err error) {
		names, down, err = o.sweep(ctx, id, own, again)
		return err
	})
	if err != nil || !down {
		return err
	}
	if err := o.forget(ctx, append([]string{ManifestName(id)}, names...)); err != nil {
		return err
	}
	return o.alone(ctx, func() error { return o.clear(ctx, id, names) })
}

// sweep deletes the objects of an episode that was taken down, and gives their
// names; down is false where it was not, or where that is done. It runs within
// alone.
func (o *Origin) sweep(ctx context.Context, id episode.ID, own []Object, again bool) (names []string, down bool, err error) {
	if down, err := o.isDown(ctx, id); err != nil || !down {
		return nil, false, err
	}
	there, err := o.read(ctx, ledgerName(id))
	if err != nil {
		return nil, false, err
	}
	l, err := parseLedger(there.body)
	if err != nil || l.Cleared && !again {
		return nil, false, err
	}
	names = l.Objects
	for _, object := range own {
		if !slices.Contains(names, object.Name) {
			names = append(names, object.Name)
		}
	}
	var deleted []Object
	for _, name := range names {
		if o.store.Lock == nil {
			deleted = o.keep(ctx, deleted, name)
		}
		if err := o.store.Bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return nil, false, fmt.Errorf("delete %s: %w", name, err)
		}
	}
	return names, true, o.restore(ctx, id, deleted)
}

func (o *Origin) isDown(ctx context.Context, id episode.ID) (bool, error) {
	there, err := o.read(ctx, ManifestName(id))
	if err != nil || there.body == nil {
		return false, err
	}
	m, err := parse(there.body)
	return m.Removed, err
}

// keep reads an object before it is deleted. One that cannot be read, or is
// damaged, is no loss: it must go all the same.
func (o *Origin) keep(ctx context.Context, kept []Object, name string) []Object {
	r, err := o.store.Bucket.NewReader(ctx, name, nil)
	if err != nil {
		return kept
	}
	var body bytes.Buffer
	_, err = r.WriteTo(&body)
	if joinClose(err, r) != nil || !isNamed(name, body.Bytes()) {
		return kept
	}
	return append(kept, Object{Name: name, ContentType: r.ContentType(), Body: body.Bytes()})
}

func isNamed(name string, body []byte) bool {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]) == hashOf(name)
}

// restore puts back what a newer revision's manifest names. Where no lock
// keeps other processes away, one may have published it while the objects were
// being deleted; had it found them gone, it would have written them itself.
func (o *Origin) restore(ctx context.Context, id episode.ID, deleted []Object) error {
	if len(deleted) == 0 {
		return nil
	}
	there, err := o.read(ctx, ManifestName(id))
	if err != nil {
		return err
	}
	named := namedBy(there.body)
	for _, object := range deleted {
		if named[object.Name] {
			if err := o.put(ctx, object, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear records that a takedown of these objects is done, unless others have
// been entered meanwhile.
func (o *Origin) clear(ctx context.Context, id episode.ID, names []string) error {
	return o.swap(ctx, ledgerName(id), func(old []byte) ([]byte, error) {
		l, err := parseLedger(old)
		if err != nil || l.Cleared {
			return nil, err
		}
		for _, name := range l.Objects {
			if !slices.Contains(names, name) {
				return nil, nil
			}
		}
		if down, err := o.isDown(ctx, id); err != nil || !down {
			return nil, err
		}
		l.Cleared = true
		return episode.Marshal(l)
	})
}
