package origin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Remove takes down what was published of the episode in this revision and all
// before it: the manifest says removed from then on, and every object that
// these revisions had is gone, from the caches too. Remove returns without an
// error only when every CDN has accepted the purge. Killed or failed on the
// way, it goes on where it is called again. A later Publish of this revision or
// an earlier one changes nothing.
//
// Where the manifest is of a newer revision Remove leaves it, and what it
// names, does all the rest, and returns Overtaken.
//
// An object that another episode shares bit by bit goes too; publishing that
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
		// Before anything is deleted: a publication that is under way and does
		// not find this has written its objects before, and they are found.
		if err := o.amend(ctx, m.ID, func(l *ledger) bool { return l.withdraw(m.Version.Revision) }); err != nil {
			return err
		}
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
	return result, o.takeDown(ctx, m.ID, 0)
}

// withdraw takes note of a takedown.
func (l *ledger) withdraw(r episode.Revision) (changed bool) {
	if r <= l.Withdrawn {
		return false
	}
	l.Withdrawn, l.Purged = r, false
	return true
}

// takeDown deletes and purges what the episode's ledger says was taken down,
// and its manifest does not name. What is known to be done is repeated only
// for who has written objects of such a revision since: that one gives written.
func (o *Origin) takeDown(ctx context.Context, id episode.ID, written episode.Revision) error {
	var s sweep
	err := o.alone(ctx, func() (err error) {
		s, err = o.sweep(ctx, id, written)
		return err
	})
	if err != nil || s.withdrawn == 0 {
		return err
	}
	if err := o.forget(ctx, id, s); err != nil {
		return err
	}
	return o.alone(ctx, func() error {
		return o.amend(ctx, id, func(l *ledger) (changed bool) {
			if l.Purged || l.Withdrawn != s.withdrawn {
				return false
			}
			l.Purged = true
			return true
		})
	})
}

// sweep is what a takedown has deleted and is to purge.
type sweep struct {
	withdrawn episode.Revision // up to here; zero: there is nothing to do
	names     []string
	down      bool // the manifest says so too
}

// sweep deletes. It runs within alone.
func (o *Origin) sweep(ctx context.Context, id episode.ID, written episode.Revision) (s sweep, err error) {
	there, err := o.read(ctx, ManifestName(id))
	if err != nil {
		return sweep{}, err
	}
	var standing Manifest
	if there.body != nil {
		if standing, err = parse(there.body); err != nil {
			return sweep{}, err
		}
	}
	var l ledger
	err = o.amend(ctx, id, func(old *ledger) (changed bool) {
		if standing.Removed { // by a program that did not note it in the ledger
			changed = old.withdraw(standing.Version.Revision)
		}
		if old.Purged && written != 0 && written <= old.Withdrawn {
			old.Purged, changed = false, true
		}
		l = *old
		return changed
	})
	// A takedown that has not come as far as the manifest is another's to go on
	// with.
	reached := standing.Version.Revision > l.Withdrawn || standing.Removed && standing.Version.Revision == l.Withdrawn
	if err != nil || l.Purged || l.Withdrawn == 0 || !reached {
		return sweep{}, err
	}
	s = sweep{withdrawn: l.Withdrawn, names: l.withdrawn(named(standing)), down: standing.Removed}
	var deleted []Object
	for _, name := range s.names {
		if o.store.Lock == nil {
			deleted = o.keep(ctx, deleted, name)
		}
		if err := o.store.Bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return sweep{}, fmt.Errorf("delete %s: %w", name, err)
		}
	}
	return s, o.restore(ctx, id, deleted)
}

// forget has the caches give up what a takedown has deleted, and the manifest
// of before.
func (o *Origin) forget(ctx context.Context, id episode.ID, s sweep) (err error) {
	if s.down {
		err = o.purge(ctx, append([]string{ManifestName(id)}, s.names...), Forget)
	} else {
		err = o.purge(ctx, []string{ManifestName(id)}, Refresh)
		if len(s.names) > 0 {
			err = errors.Join(err, o.purge(ctx, s.names, Forget))
		}
	}
	if err != nil {
		return fmt.Errorf("it is gone from the origin, but not from all caches; try again: %w", err)
	}
	return nil
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
