package feed

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Cursors keep how far each feed was read. Names and bodies have no secret of a
// private feed in them. Methods may be called from many goroutines.
type Cursors interface {
	// LoadCursor returns what was last saved under name; nil when nothing was.
	LoadCursor(ctx context.Context, name string) ([]byte, error)

	// SaveCursor keeps body durably under name, in the place of was: what was
	// there when it was last loaded or saved, nil for nothing. When something
	// else is there, another poller has been at work: nothing is saved, and saved
	// is false.
	SaveCursor(ctx context.Context, name string, was, body []byte) (saved bool, err error)
}

// ErrOvertaken is wrapped by errors that say that another poller has read the
// feed in the meantime. What this one found is left to that one.
var ErrOvertaken = errors.New("another poller is at work on this feed")

// cursor is what is known of one feed.
type cursor struct {
	// KnownAs, when set, says that the feed that moved here has its cursor under
	// that name; nothing else is set then.
	KnownAs string `json:"known_as,omitempty"`

	GUID    string   `json:"guid,omitempty"`    // of the podcast when it was first read; ids are made of it, whatever the feed says later
	Address string   `json:"address,omitempty"` // where the feed moved for good; empty: nowhere
	Former  []string `json:"former,omitempty"`  // where it was before, the latest last

	Gone      int64 `json:"gone,omitempty"`       // when it answered 410, milliseconds since 1970
	NotBefore int64 `json:"not_before,omitempty"` // until when its server asked to be left alone
	Failures  int   `json:"failures,omitempty"`   // in a row
	RetryAt   int64 `json:"retry_at,omitempty"`   // until when it is left alone for these
	Passed    bool  `json:"passed,omitempty"`     // passed over for podcast:locked when last read

	TTL   int64 `json:"ttl,omitempty"` // how long the feed calls itself fresh, seconds
	Quiet quiet `json:"quiet,omitzero"`

	// ETag and LastModified make requests conditional. They are empty while
	// something found has yet to be published or to be seen once more, so that
	// the next poll gets the feed whole.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`

	Items map[episode.ID]*state `json:"items"` // nil: never read

	name string
	kept []byte // as it is kept under the name
}

// state is what is known of one item.
type state struct {
	Hash      string           `json:"hash"` // of what the event says; empty: withdrawn
	Revision  episode.Revision `json:"revision"`
	FirstSeen int64            `json:"first_seen"`          // milliseconds since 1970
	Published int64            `json:"published,omitempty"` // by the feed's date, seconds since 1970
	Backlog   bool             `json:"backlog,omitempty"`
	Pending   bool             `json:"pending,omitempty"` // found, not yet published
	Absent    int64            `json:"absent,omitempty"`  // since when the feed lacks it, milliseconds since 1970
	Fate      fate             `json:"fate,omitempty"`    // why it lacks it
}

func loadCursor(ctx context.Context, cursors Cursors, name string) (*cursor, error) {
	body, err := cursors.LoadCursor(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load its cursor: %w", err)
	}
	c := &cursor{name: name, kept: body}
	if body == nil {
		return c, nil
	}
	if err := json.Unmarshal(body, c); err != nil {
		return nil, fmt.Errorf("its cursor is unreadable (written by another version?): %w", err)
	}
	return c, nil
}

// isNew says whether the feed was never read.
func (c *cursor) isNew() bool { return c.Items == nil }

// save keeps the cursor, unless it is kept as it is already.
func (c *cursor) save(ctx context.Context, cursors Cursors) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("save its cursor: %w", err)
	}
	if bytes.Equal(body, c.kept) {
		return nil
	}
	saved, err := cursors.SaveCursor(ctx, c.name, c.kept, body)
	if err != nil {
		return fmt.Errorf("save its cursor: %w", err)
	}
	if !saved {
		return fmt.Errorf("save its cursor: %w", ErrOvertaken)
	}
	c.kept = body
	return nil
}

// update notes what the feed now says of an item: nothing new, or a new
// revision that waits to be published.
func (c *cursor) update(item Item, now time.Time, backlog bool) error {
	s, known := c.Items[item.Event.ID]
	hash := ""
	if item.Blocked {
		if !known {
			return nil // never published, so nothing to withdraw
		}
	} else {
		var err error
		if hash, err = fingerprint(item.Event); err != nil {
			return err
		}
	}
	if !known {
		s = &state{FirstSeen: now.UnixMilli(), Backlog: backlog}
		c.Items[item.Event.ID] = s
	}
	s.Absent, s.Fate = 0, unknown
	s.Published = 0
	if at := item.Event.PublishedAt; !at.IsZero() {
		s.Published = at.Unix()
	}
	if !known || s.Hash != hash {
		s.edit(hash, now)
		s.Backlog = backlog
	}
	return nil
}

// edit begins a new revision, which waits to be published.
func (s *state) edit(hash string, now time.Time) {
	s.Hash = hash
	s.Revision = max(episode.Revision(now.UnixMilli()), s.Revision+1)
	s.FirstSeen = now.UnixMilli()
	s.Pending = true
}

// withdrawAll withdraws every item that was published.
func (c *cursor) withdrawAll(now time.Time) {
	for _, s := range c.Items {
		if s.Hash != "" {
			s.edit("", now)
		}
	}
}

// pending says whether something waits to be published.
func (c *cursor) pending() bool {
	for _, s := range c.Items {
		if s.Pending {
			return true
		}
	}
	return false
}

// prune forgets the oldest items that the feed no longer has, down to keep.
func (c *cursor) prune(present map[episode.ID]bool, keep int) {
	var gone []episode.ID
	for id, s := range c.Items {
		if !present[id] && !s.Pending {
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

// fingerprint tells one edition of an item from the next. Of addresses it takes
// what stays while they point at the same file. The enclosure's length is left
// out: hosts that insert advertisements report a new one on every request.
func fingerprint(e episode.Event) (string, error) {
	e.Enclosure.Bytes = 0
	e.Enclosure.URL = stable(e.Enclosure.URL)
	e.Transcripts = slices.Clone(e.Transcripts)
	for i := range e.Transcripts {
		e.Transcripts[i].URL = stable(e.Transcripts[i].URL)
	}
	if e.Chapters != nil {
		e.Chapters = &episode.Link{URL: stable(e.Chapters.URL), Type: e.Chapters.Type, Language: e.Chapters.Language}
	}
	e.Private = false // the operator's word, not the publisher's
	body, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("episode %s: %w", e.ID, err)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16]), nil
}
