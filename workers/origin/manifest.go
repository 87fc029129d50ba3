package origin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// ManifestSchema names the manifest's shape.
const ManifestSchema = "earshot.preview/1"

// Manifest is what a player reads to play an episode's preview.
type Manifest struct {
	Schema   string           `json:"schema"`
	ID       episode.ID       `json:"episode"`
	Version  episode.Version  `json:"version"`
	Removed  bool             `json:"removed,omitempty"` // taken down: nothing to play
	Podcast  string           `json:"podcast,omitempty"`
	Title    string           `json:"title,omitempty"`
	Language string           `json:"language,omitempty"` // BCP 47
	Explicit *bool            `json:"explicit,omitempty"` // nil: its publisher does not say
	Preview  *episode.Preview `json:"preview,omitempty"`  // nil: nothing to play
	Notes    []string         `json:"notes,omitempty"`    // what a rendition could not be, and why
}

// supersedes reports whether m may replace old: a takedown gives way only to
// a newer revision, a preview also to another of its own version.
func (m Manifest) supersedes(old Manifest) bool {
	if old.Removed || m.Removed {
		return m.Version.Revision > old.Version.Revision || m.Removed && m.Version.Revision == old.Version.Revision
	}
	return m.Version.Compare(old.Version) >= 0
}

// compare says what publishing m (as body) over the manifest old would do.
// old is nil when there is none.
func compare(old []byte, m Manifest, body []byte) (Result, error) {
	if old == nil {
		return Stored, nil
	}
	if bytes.Equal(old, body) {
		return Unchanged, nil
	}
	there, err := parse(old)
	if err != nil {
		return "", err
	}
	if !m.supersedes(there) {
		return Overtaken, nil
	}
	return Stored, nil
}

func parse(body []byte) (m Manifest, err error) {
	if err := json.Unmarshal(body, &m); err != nil {
		return Manifest{}, fmt.Errorf("the manifest at the origin is unreadable; remove it to publish again: %w", err)
	}
	if m.Schema != ManifestSchema {
		return Manifest{}, fmt.Errorf("the manifest at the origin has schema %q, this program knows %q; use the program that wrote it", m.Schema, ManifestSchema)
	}
	return m, nil
}

// check reports what in a publication contradicts itself.
func (m Manifest) check(objects []Object) error {
	switch {
	case !safeID(m.ID):
		return fmt.Errorf("%q is no episode id", m.ID)
	case m.Removed:
		return errors.New("the manifest says removed; call Remove")
	case m.Preview == nil && len(objects) > 0:
		return fmt.Errorf("the manifest has no preview; object %s would never be asked for", objects[0].Name)
	case m.Preview == nil:
		return nil
	case len(m.Preview.Renditions) == 0:
		return errors.New("the manifest's preview has no renditions")
	case m.Preview.Manifest != ManifestName(m.ID):
		return fmt.Errorf("preview.manifest is %q, not %q", m.Preview.Manifest, ManifestName(m.ID))
	}
	bodies := make(map[string][]byte, len(objects))
	for _, object := range objects {
		sum := sha256.Sum256(object.Body)
		if hash := hex.EncodeToString(sum[:]); object.Name != ObjectName(hash, strings.TrimPrefix(path.Ext(object.Name), ".")) || hash != hashOf(object.Name) {
			return fmt.Errorf("object %s: its bytes have hash %s", object.Name, hash)
		}
		bodies[object.Name] = object.Body
	}
	names := named(m)
	for _, object := range objects {
		if !names[object.Name] {
			return fmt.Errorf("object %s is none of the preview's renditions", object.Name)
		}
	}
	for i, r := range m.Preview.Renditions {
		body, ok := bodies[r.Object]
		if !ok {
			return fmt.Errorf("preview.renditions[%d]: its object %q is not among those to publish", i, r.Object)
		}
		if hashOf(r.Object) != r.SHA256 || r.Bytes != int64(len(body)) {
			return fmt.Errorf("preview.renditions[%d]: says %s, %d bytes; its object %s has %d", i, r.SHA256, r.Bytes, r.Object, len(body))
		}
	}
	return nil
}

// hashOf is the hash in an object's name.
func hashOf(name string) string {
	base := path.Base(name)
	return strings.TrimSuffix(base, path.Ext(base))
}

// safeID keeps ids from leaving their folder.
func safeID(id episode.ID) bool {
	return id != "" && !strings.ContainsAny(string(id), `/\`) && id != "." && id != ".."
}
