package origin

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Publish makes the manifest and the objects that it names readable at the
// origin, in that order of dependence: when the manifest can be read, so can
// all its objects, with the hashes it says. Publishing what is there already
// costs one small read and a look at each object. Publish returns Overtaken,
// and leaves the manifest, when a newer version or a takedown is there. Caches
// are told of a new manifest; that they cannot be reached is no error.
//
// A manifest without a preview replaces that of an older version, which is not
// to be played any more. Where there is none it is not written, and the result
// is Unchanged.
func (o *Origin) Publish(ctx context.Context, m Manifest, objects []Object) (result Result, err error) {
	defer func() { o.metrics.changed("publish", result, err) }()
	m.Schema = ManifestSchema
	if err := m.check(objects); err != nil {
		return "", fmt.Errorf("origin: publish the preview of %q: %w", m.ID, err)
	}
	result, err = o.publish(ctx, m, objects)
	if err != nil {
		return "", fmt.Errorf("origin: publish the preview of %s: %w", m.ID, err)
	}
	if result == Stored {
		o.refresh(ctx, ManifestName(m.ID))
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
	if err != nil {
		return "", err
	}
	if result == Overtaken {
		return Overtaken, o.takeDown(ctx, m.ID, 0)
	}
	if m.Preview == nil && there.body == nil {
		// Nothing is public. Where there is a ledger, it is about to be.
		_, begun, err := o.ledger(ctx, m.ID)
		if err != nil || !begun {
			return Unchanged, err
		}
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
	withdrawn, err := o.enter(ctx, m, objects)
	if err != nil {
		return "", err
	}
	if withdrawn {
		return Overtaken, o.takeDown(ctx, m.ID, 0)
	}
	if err := o.putAll(ctx, objects, namedBy(there.body)); err != nil {
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
	if result == Overtaken {
		// It may have been a takedown that found nothing to delete yet.
		return Overtaken, o.takeDown(ctx, m.ID, m.Version.Revision)
	}
	// A takedown of an older revision may have deleted an object that both
	// have, just before this manifest was written.
	if whole, err := o.whole(ctx, objects); err != nil || whole {
		return result, err
	}
	if err := o.putAll(ctx, objects, namedBy(body)); err != nil {
		return "", err
	}
	// Or one of this revision has, just after that, and is not to be undone.
	if there, err = o.read(ctx, ManifestName(m.ID)); err != nil {
		return "", err
	}
	if now, err := compare(there.body, m, body); err != nil || now != Overtaken {
		return result, err
	}
	return Overtaken, o.takeDown(ctx, m.ID, m.Version.Revision)
}

// namedBy are the objects that a manifest names. They are safe from GC.
func namedBy(manifest []byte) map[string]bool {
	if manifest == nil {
		return nil
	}
	m, err := parse(manifest)
	if err != nil {
		return nil
	}
	return named(m)
}

func named(m Manifest) map[string]bool {
	names := map[string]bool{}
	if m.Preview != nil {
		for _, r := range m.Preview.Renditions {
			names[r.Object] = true
		}
	}
	return names
}
