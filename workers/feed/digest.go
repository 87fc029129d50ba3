package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// digest takes a feed as it was read into its cursor, and publishes what that
// changed.
func (p *Poller) digest(ctx context.Context, c *cursor, a answer, now time.Time, sum *Summary) error {
	podcast := a.podcast
	if c.GUID == "" {
		c.GUID = podcast.GUID
	}
	again := false // the next poll is to get the feed whole
	known := map[episode.ID]bool{}
	var err error
	switch reason := p.passOver(podcast); {
	case podcast.Blocked:
		c.withdrawAll(now)
		sum.Passed = 1
	case reason != "":
		p.options.Log.Warn("a feed is passed over", "podcast", podcast.GUID, "reason", reason)
		sum.Passed = 1
	default:
		sum.Skipped = podcast.Skipped
		for id := range c.Items {
			known[id] = true
		}
		if again, err = p.note(c, podcast, known, now); err != nil {
			return err
		}
	}
	c.Passed = sum.Passed > 0
	if c.pending() {
		// Revisions are decided before anything is published, so that a crash in
		// between cannot give one edition two of them, and a poller that another
		// one has overtaken ends here.
		c.ETag, c.LastModified = "", ""
		if err := c.save(ctx, p.cursors); err != nil {
			return err
		}
	}
	if err := p.hand(ctx, c, podcast, known, sum); err != nil {
		// What was published stays so in the cursor; the rest is pending.
		return errors.Join(err, c.save(context.WithoutCancel(ctx), p.cursors))
	}
	c.ETag, c.LastModified = a.etag, a.lastModified
	if again {
		c.ETag, c.LastModified = "", ""
	}
	return c.save(ctx, p.cursors)
}

// passOver says why a feed is not for us; empty: it is.
func (p *Poller) passOver(podcast Podcast) string {
	switch {
	case podcast.Locked && !p.options.TakeLocked:
		return "podcast:locked"
	case podcast.Medium == "music", podcast.Medium == "newsletter", podcast.Medium == "blog", podcast.Medium == "publisher",
		strings.HasSuffix(podcast.Medium, "l") && podcast.Medium != "": // lists of a medium are written musicL
		return "podcast:medium " + podcast.Medium
	}
	return ""
}

// note updates the cursor's items; again says that something of it is to be
// seen once more.
func (p *Poller) note(c *cursor, podcast Podcast, known map[episode.ID]bool, now time.Time) (again bool, err error) {
	first := c.isNew()
	if first {
		c.Items = map[episode.ID]*state{}
	}
	present := make(map[episode.ID]bool, len(podcast.Items))
	for _, id := range podcast.withheld {
		present[id] = true
	}
	grown := false
	for _, item := range podcast.Items {
		id := item.Event.ID
		present[id] = true
		grown = grown || !known[id]
		backlog := first && p.options.Fresh > 0 && now.Sub(item.Event.PublishedAt) > p.options.Fresh
		if err := c.update(item, now, backlog); err != nil {
			return false, err
		}
	}
	if !p.options.KeepVanished && !podcast.truncated {
		odd := false
		if again, odd = c.vanished(present, grown, now, p.options.Interval); odd {
			p.options.Log.Warn("a feed lacks so many of its episodes that none is withdrawn; if they are to go: earshot remove", "podcast", podcast.GUID)
		}
	}
	c.prune(present, p.options.MaxItems)
	return again, nil
}

// hand publishes what is pending: removals, then episodes, the oldest entry
// first.
func (p *Poller) hand(ctx context.Context, c *cursor, podcast Podcast, known map[episode.ID]bool, sum *Summary) error {
	var gone []episode.ID
	for id, s := range c.Items {
		if s.Pending && s.Hash == "" {
			gone = append(gone, id)
		}
	}
	slices.SortFunc(gone, func(a, b episode.ID) int {
		return cmp.Or(cmp.Compare(c.Items[a].Revision, c.Items[b].Revision), cmp.Compare(a, b))
	})
	for _, id := range gone {
		s := c.Items[id]
		if err := p.withdraw(ctx, id, s); err != nil {
			return fmt.Errorf("withdraw %s: %w", id, err)
		}
		s.Pending = false
		sum.Withdrawn++
	}
	if podcast.Blocked {
		return nil
	}
	for _, item := range slices.Backward(podcast.Items) {
		s := c.Items[item.Event.ID]
		if s == nil || !s.Pending {
			continue
		}
		e := item.Event
		e.Revision = s.Revision
		e.FirstSeen = time.UnixMilli(s.FirstSeen).UTC()
		e.Priority = episode.Live
		if s.Backlog {
			e.Priority = episode.Backlog
		}
		err := p.publish(ctx, e)
		if fault, never := errors.AsType[*episode.FieldError](err); never {
			// It will not be taken at the next poll either, and must not keep the
			// others from being published.
			p.options.Log.Warn("an entry that can be no event is passed over", "podcast", podcast.GUID, "episode", e.ID, "error", fault)
			sum.Skipped = append(sum.Skipped, Skipped{Title: e.Title, Reason: fault.Error()})
			s.Pending = false
			continue
		}
		if err != nil {
			return fmt.Errorf("publish %s: %w", e.ID, err)
		}
		s.Pending = false
		if known[e.ID] {
			sum.Changed++
		} else {
			sum.New++
		}
	}
	return nil
}

func (p *Poller) withdraw(ctx context.Context, id episode.ID, s *state) error {
	reason := "blocked by its publisher"
	if s.Fate == removed {
		reason = "taken out of its feed by its publisher"
	}
	p.options.Log.Info("an episode is withdrawn", "episode", id, "reason", reason)
	if p.options.Withdraw == nil {
		return nil
	}
	return p.options.Withdraw(ctx, episode.Removal{ID: id, Revision: s.Revision, Reason: reason})
}
