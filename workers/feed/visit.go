package feed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// goneFor is how long a feed that was said to be gone is left alone; then it is
// asked once, since servers err.
const goneFor = 7 * 24 * time.Hour

// poll asks for one feed and publishes what it found. With again, a feed that
// failed before waits for its turn.
func (p *Poller) poll(ctx context.Context, r *round, e *listing, again bool) (Summary, pace, error) {
	sum, next, err := p.visit(ctx, r, e, again)
	if err != nil {
		err = fmt.Errorf("feed: %s: %w", e.shown, err)
	}
	return sum, next, err
}

func (p *Poller) visit(ctx context.Context, r *round, e *listing, again bool) (sum Summary, next pace, err error) {
	now := p.options.Now()
	next = pace{due: now.Add(p.options.Interval), host: hostOf(e.address)}
	if err := ctx.Err(); err != nil {
		return sum, next, err
	}
	c, elsewhere, err := p.settle(ctx, r, e)
	if err != nil {
		return sum, next, err
	}
	if elsewhere {
		p.options.Log.Info("the list has this feed under another address, too; it is polled there", "feed", e.shown)
		sum.Passed, next.over = 1, true
		return sum, next, nil
	}
	next.host = hostOf(c.at(e))
	if until := c.until(now, again); now.Before(until) {
		sum.Waiting, next.due = 1, until
		return sum, next, nil
	}
	who := identity{guid: c.GUID, known: e.known, private: e.private}
	if c.name != e.name {
		who.known = c.name // the address by which the feed was known first
	}
	etag, lastModified := c.ETag, c.LastModified
	if c.Passed && p.options.TakeLocked {
		etag, lastModified = "", ""
	}
	home := c.at(e) == e.address
	a, err := p.fetch(ctx, c.at(e), who, etag, lastModified)
	if err != nil {
		if ctx.Err() != nil {
			return sum, next, err
		}
		p.failed(c, err, now, &next)
		return sum, next, errors.Join(err, c.save(context.WithoutCancel(ctx), p.cursors))
	}
	if a.moved != "" && c.isNew() && !e.private {
		adopted, err := p.adopt(ctx, c, a.moved)
		if err != nil {
			return sum, next, err
		}
		if adopted {
			return p.visit(ctx, r, e, again)
		}
	}
	sum.Polled = 1
	c.Failures, c.RetryAt, c.NotBefore, c.Gone = 0, 0, 0, 0
	if there, follow := p.announced(ctx, c, e, who, a); follow {
		a = there
	}
	switch {
	case a.moved != "":
		if elsewhere, err = p.move(ctx, c, e, a.moved); err != nil {
			return sum, next, err
		}
	case home:
		c.Address = ""
	}
	if elsewhere {
		sum.Passed, next.over = 1, true
		return sum, next, c.save(ctx, p.cursors)
	}
	next.host = hostOf(c.at(e))
	if a.notModified {
		sum.Unchanged = 1
		next.due = p.regular(now, c, a.maxAge)
		return sum, next, c.save(ctx, p.cursors)
	}
	c.TTL, c.Quiet = int64(a.podcast.ttl/time.Second), a.podcast.quiet
	next.due = p.regular(now, c, a.maxAge)
	return sum, next, p.digest(ctx, c, a, now, &sum)
}

// until is when the feed may be asked again. What lies further ahead than it is
// ever set was set by a clock that has since been put back, and does not count.
func (c *cursor) until(now time.Time, again bool) time.Time {
	var latest time.Time
	ahead := func(set int64, most time.Duration) {
		at := time.UnixMilli(set)
		if set != 0 && at.After(latest) && at.Sub(now) <= most {
			latest = at
		}
	}
	ahead(c.NotBefore, maxPostpone)
	if again {
		ahead(c.RetryAt, max(maxBackoff, goneFor))
	}
	if c.Gone != 0 {
		ahead(c.Gone+goneFor.Milliseconds(), goneFor)
	}
	return latest
}

// failed notes a failure and when to try again.
func (p *Poller) failed(c *cursor, err error, now time.Time, next *pace) {
	c.Failures++
	next.due = now.Add(p.backoff(c.Failures))
	refused, ok := errors.AsType[*refusal](err)
	if ok && !refused.until.IsZero() {
		c.NotBefore = refused.until.UnixMilli()
		next.due = refused.until
		if least := now.Add(p.options.Interval); least.After(next.due) {
			next.due = least
		}
	}
	if ok && (refused.status == http.StatusTooManyRequests || refused.status == http.StatusServiceUnavailable) {
		// That is the server's word for all its feeds.
		next.hold = refused.until
		if longest := now.Add(maxHold); next.hold.After(longest) {
			next.hold = longest
		}
	}
	if ok && refused.status == http.StatusGone {
		c.Gone = now.UnixMilli()
		next.due = now.Add(goneFor)
	}
	c.RetryAt = next.due.UnixMilli()
}
