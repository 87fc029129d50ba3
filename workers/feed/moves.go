package feed

import (
	"context"
	"net/url"
	"slices"
	"sync"

	"github.com/earshot-fm/earshot/dag/episode"
)

// maxFormer bounds how many addresses that a feed moved away from are
// remembered, and how many moves are followed to its cursor.
const maxFormer = 8

// round is one Run's or Poll's knowledge of which entry of the list reads which
// cursor, so that a feed that is in the list under two addresses is polled once.
type round struct {
	mu     sync.Mutex
	reader map[string]*listing
}

func newRound() *round { return &round{reader: map[string]*listing{}} }

// claim says whether the entry is the one that reads the cursor.
func (r *round) claim(name string, e *listing) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reader, taken := r.reader[name]; taken {
		return reader == e
	}
	r.reader[name] = e
	return true
}

// root loads the cursor that is kept for a name: where a feed moved to that
// name, the feed's.
func (p *Poller) root(ctx context.Context, name string) (*cursor, error) {
	for range maxFormer {
		c, err := loadCursor(ctx, p.cursors, name)
		if err != nil || c.KnownAs == "" {
			return c, err
		}
		name = c.KnownAs
	}
	// A circle, which nothing here writes: begin anew where it ends.
	return &cursor{name: name}, nil
}

// settle loads the entry's cursor; elsewhere says that another entry of the
// list reads the same feed.
func (p *Poller) settle(ctx context.Context, r *round, e *listing) (c *cursor, elsewhere bool, err error) {
	if c, err = p.root(ctx, e.name); err != nil {
		return nil, false, err
	}
	if !r.claim(c.name, e) {
		return c, true, nil
	}
	if c.Address == "" {
		return c, false, nil
	}
	elsewhere, err = p.rival(ctx, c, e, c.Address)
	return c, elsewhere, err
}

// rival says whether another entry of the list reads the address with a cursor
// of its own.
func (p *Poller) rival(ctx context.Context, c *cursor, e *listing, address string) (bool, error) {
	other, err := p.root(ctx, address)
	if err != nil || other.isNew() || other.name == c.name {
		return false, err
	}
	for _, name := range []string{other.name, address} {
		if i, listed := p.byName[name]; listed && p.feeds[i].name != e.name {
			return true, nil
		}
	}
	return false, nil
}

// address is where the feed is asked. When it fails where it moved to, the
// address in the list gets a turn: it may have come back.
func (c *cursor) at(e *listing) string {
	const turn = 4
	if c.Address == "" || c.Failures > 0 && c.Failures%turn == 0 {
		return e.address
	}
	return c.Address
}

// move remembers that the feed is at another address for good; elsewhere says
// that another entry of the list reads that one already. The feed's cursor is
// to be found under the new address from then on, so that it goes on when the
// list has that one, and none of its episodes gets another id.
func (p *Poller) move(ctx context.Context, c *cursor, e *listing, to string) (elsewhere bool, err error) {
	if e.private {
		p.options.Log.Warn("a private feed has moved for good, which is not written down: put its new address into the list", "feed", e.shown)
		return false, nil
	}
	from := c.Address
	if from == "" {
		from = e.address
	}
	if to == from {
		return false, nil
	}
	if elsewhere, err = p.rival(ctx, c, e, to); err != nil {
		return false, err
	}
	if !elsewhere && to != c.name {
		pointer, err := loadCursor(ctx, p.cursors, to)
		if err != nil {
			return false, err
		}
		if pointer.KnownAs != c.name {
			if err := (&cursor{KnownAs: c.name, name: to, kept: pointer.kept}).save(ctx, p.cursors); err != nil {
				return false, err
			}
		}
	}
	p.options.Log.Info("a feed has moved", "feed", e.shown, "from", from, "to", to)
	c.Former = append(slices.DeleteFunc(c.Former, func(f string) bool { return f == from || f == to }), from)
	c.Former = c.Former[max(0, len(c.Former)-maxFormer):]
	c.Address = to
	return elsewhere, nil
}

// adopt has a feed that was never read, and leads for good to where a known one
// is, be that one from here on.
func (p *Poller) adopt(ctx context.Context, c *cursor, to string) (bool, error) {
	other, err := p.root(ctx, to)
	if err != nil || other.isNew() || other.name == c.name {
		return false, err
	}
	return true, (&cursor{KnownAs: other.name, name: c.name, kept: c.kept}).save(ctx, p.cursors)
}

// announced follows what a feed says of where it is now (itunes:new-feed-url),
// once that answers and does not say that it is another podcast. A feed does
// not go back where it came from by that: publishers forget to take the tag
// away.
func (p *Poller) announced(ctx context.Context, c *cursor, e *listing, who identity, here answer) (there answer, follow bool) {
	to := here.podcast.Moved
	if u, err := url.Parse(to); err != nil || episode.Secretive(u) {
		return answer{}, false
	}
	if to == "" || to == c.at(e) || to == here.moved || slices.Contains(c.Former, to) {
		return answer{}, false
	}
	if e.private {
		p.options.Log.Warn("a private feed says that it has moved, which is not written down: put its new address into the list", "feed", e.shown)
		return answer{}, false
	}
	there, err := p.fetch(ctx, to, who, "", "")
	switch a, b := here.podcast.stated, there.podcast.stated; {
	case err != nil:
		p.options.Log.Warn("a feed says that it has moved, but cannot be read there", "feed", e.shown, "to", to, "error", err)
		return answer{}, false
	case a != "" && b != "" && a != b:
		p.options.Log.Warn("a feed says that it has moved, but there is another podcast", "feed", e.shown, "to", to)
		return answer{}, false
	}
	if there.moved == "" {
		there.moved = to
	}
	return there, true
}
