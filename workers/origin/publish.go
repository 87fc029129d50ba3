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
		return result, o.takeDown(ctx, m.ID, objects, false)
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
		return result, o.takeDown(ctx, m.ID, objects, true)
	}
	// A takedown of an older revision may have deleted an object that both
	// have, just before this manifest was written.
	if whole, err := o.whole(ctx, objects); err != nil || whole {
		return result, err
	}
	return result, o.putAll(ctx, objects, namedBy(body))
}

// namedBy are the objects that a manifest names. They are safe from GC.
func namedBy(manifest []byte) map[string]bool {
	names := map[string]bool{}
	if manifest == nil {
		return names
	}
	if m, err := parse(manifest); err == nil && m.Preview != nil {
		for _, r := range m.Preview.Renditions {
			names[r.Object] = true
		}
	}
	return names
}
