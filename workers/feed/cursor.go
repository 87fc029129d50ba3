package feed

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Cursors keep, under each feed's URL, how far it was read.
type Cursors interface {
	// LoadCursor returns what was last saved under name; nil when nothing was.
	LoadCursor(ctx context.Context, name string) ([]byte, error)
	// SaveCursor keeps body durably under name.
	SaveCursor(ctx context.Context, name string, body []byte) error
}

// cursor is what is known of one feed.
type cursor struct {
	// ETag and LastModified make requests conditional. They are empty while
	// something found has yet to be published, so that the next poll gets the
	// feed whole.
	ETag         string                `json:"etag,omitempty"`
	LastModified string                `json:"last_modified,omitempty"`
	Items        map[episode.ID]*state `json:"items"`
}

// state is what is known of one item.
type state struct {
	Hash      string           `json:"hash"` // of what the event says; empty: withdrawn
	Revision  episode.Revision `json:"revision"`
	FirstSeen int64            `json:"first_seen"` // milliseconds since 1970
	Backlog   bool             `json:"backlog,omitempty"`
	Pending   bool             `json:"pending,omitempty"` // found, not yet published
}

func loadCursor(ctx context.Context, cursors Cursors, feed string) (c cursor, first bool, err error) {
	body, err := cursors.LoadCursor(ctx, feed)
	if err != nil {
		return cursor{}, false, fmt.Errorf("feed: load the cursor of %s: %w", feed, err)
	}
	if body == nil {
		return cursor{Items: map[episode.ID]*state{}}, true, nil
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return cursor{}, false, fmt.Errorf("feed: the cursor of %s is unreadable (written by another version?): %w", feed, err)
	}
	if c.Items == nil {
		c.Items = map[episode.ID]*state{}
	}
	return c, false, nil
}

func (c *cursor) save(ctx context.Context, cursors Cursors, feed string) error {
	body, err := json.Marshal(c)
	if err == nil {
		err = cursors.SaveCursor(ctx, feed, body)
	}
	if err != nil {
		return fmt.Errorf("feed: save the cursor of %s: %w", feed, err)
	}
	return nil
}

// update notes what the feed now says of an item: nothing new, or a new
// revision that waits to be published.
func (c *cursor) update(item Item, now time.Time, backlog bool) (known, changed bool, err error) {
	s, known := c.Items[item.Event.ID]
	hash := ""
	if item.Blocked {
		if !known {
			return false, false, nil // never published, so nothing to withdraw
		}
	} else if hash, err = fingerprint(item.Event); err != nil {
		return known, false, err
	}
	if known && s.Hash == hash {
		return true, false, nil
	}
	next := &state{Hash: hash, Revision: episode.Revision(now.UnixMilli()), FirstSeen: now.UnixMilli(), Backlog: backlog, Pending: true}
	if known {
		next.Revision = max(next.Revision, s.Revision+1)
	}
	c.Items[item.Event.ID] = next
	return known, true, nil
}

// prune forgets the oldest items that the feed no longer has, down to keep.
func (c *cursor) prune(present map[episode.ID]bool, keep int) {
	var gone []episode.ID
	for id := range c.Items {
		if !present[id] {
			gone = append(gone, id)
		}
	}
	if len(gone) <= keep {
		return
	}
	slices.SortFunc(gone, func(a, b episode.ID) int {
		return cmp.Or(cmp.Compare(c.Items[a].Revision, c.Items[b].Revision), cmp.Compare(a, b))
	})
	for _, id := range gone[:len(gone)-keep] {
		delete(c.Items, id)
	}
}

// fingerprint tells one edition of an item from the next. The enclosure's
// length is left out: hosts that insert advertisements report a new one on
// every request.
func fingerprint(e episode.Event) (string, error) {
	e.Enclosure.Bytes = 0
	body, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("feed: episode %s: %w", e.ID, err)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16]), nil
}

// MemoryCursors keep their place only as long as the process runs. The zero
// value is ready.
type MemoryCursors struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

// LoadCursor implements Cursors.
func (m *MemoryCursors) LoadCursor(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies[name], nil
}

// SaveCursor implements Cursors.
func (m *MemoryCursors) SaveCursor(_ context.Context, name string, body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bodies == nil {
		m.bodies = map[string][]byte{}
	}
	m.bodies[name] = slices.Clone(body)
	return nil
}
