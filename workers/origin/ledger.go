package origin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// ledger is what the origin remembers of an episode beyond its manifest, so
// that a takedown finds the objects of older revisions, and goes on when a
// newer revision has been published meanwhile.
type ledger struct {
	// Objects are all that were ever published for the episode, by name.
	Objects []entry `json:"objects,omitempty"`
	// Withdrawn says that this revision and all before it were taken down.
	Withdrawn episode.Revision `json:"withdrawn,omitempty"`
	// Purged says that this is done: what those revisions had, and the manifest
	// does not name, has been deleted, and purged from every cache.
	Purged bool `json:"purged,omitempty"`
}

// entry is an object of an episode.
type entry struct {
	Name string `json:"name"`
	// Revision is the oldest that has it. Zero: older than any.
	Revision episode.Revision `json:"revision,omitempty"`
}

// UnmarshalJSON reads a bare name too: entries were that before takedowns had
// to tell revisions apart.
func (e *entry) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, &e.Name)
	}
	type plain entry
	return json.Unmarshal(b, (*plain)(e))
}

func byName(e entry, name string) int { return strings.Compare(e.Name, name) }

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
	for _, e := range l.Objects {
		if !objectForm.MatchString(e.Name) || e.Name != ObjectName(hashOf(e.Name), strings.TrimPrefix(path.Ext(e.Name), ".")) {
			return ledger{}, fmt.Errorf("the list of objects at the origin names %q, which is no object of a preview; take it off the list", e.Name)
		}
	}
	slices.SortFunc(l.Objects, func(a, b entry) int { return byName(a, b.Name) })
	return l, nil
}

// objectForm is ObjectName's: a takedown deletes what the list names, whoever
// wrote it.
var objectForm = regexp.MustCompile(`^previews/v1/[0-9a-f]{2}/[0-9a-f]{64}\.[a-z0-9]*$`)

// names are all objects in the ledger.
func (l ledger) names() (names []string) {
	for _, e := range l.Objects {
		names = append(names, e.Name)
	}
	return names
}

// withdrawn are the objects of what was taken down, but for those that are
// named all the same.
func (l ledger) withdrawn(named map[string]bool) (names []string) {
	for _, e := range l.Objects {
		if e.Revision <= l.Withdrawn && !named[e.Name] {
			names = append(names, e.Name)
		}
	}
	return names
}

func (o *Origin) ledger(ctx context.Context, id episode.ID) (l ledger, found bool, err error) {
	there, err := o.read(ctx, ledgerName(id))
	if err != nil {
		return ledger{}, false, err
	}
	l, err = parseLedger(there.body)
	if err != nil {
		return ledger{}, false, fmt.Errorf("%s: %w", ledgerName(id), err)
	}
	return l, there.body != nil, nil
}

// amend has change alter the episode's ledger, unless it reports that it did
// not. It runs within alone.
func (o *Origin) amend(ctx context.Context, id episode.ID, change func(*ledger) (changed bool)) error {
	return o.swap(ctx, ledgerName(id), func(old []byte) ([]byte, error) {
		l, err := parseLedger(old)
		if err != nil || !change(&l) {
			return nil, err
		}
		return episode.Marshal(l)
	})
}

// enter adds the objects to the episode's ledger before they are written. It
// adds none, and says so, when the revision was taken down.
func (o *Origin) enter(ctx context.Context, m Manifest, objects []Object) (withdrawn bool, err error) {
	revision := m.Version.Revision
	err = o.alone(ctx, func() error {
		return o.amend(ctx, m.ID, func(l *ledger) (changed bool) {
			if withdrawn = revision <= l.Withdrawn; withdrawn {
				return false
			}
			for _, object := range objects {
				switch i, found := slices.BinarySearchFunc(l.Objects, object.Name, byName); {
				case !found:
					l.Objects = slices.Insert(l.Objects, i, entry{object.Name, revision})
					changed = true
				case revision < l.Objects[i].Revision:
					l.Objects[i].Revision = revision
					changed = true
				}
			}
			return changed
		})
	})
	return withdrawn, err
}
