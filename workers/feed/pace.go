package feed

import (
	"math"
	"time"
)

// pace is when a feed is to be polled again.
type pace struct {
	due  time.Time
	host string    // where
	hold time.Time // until when the host that answered is to be left alone
	over bool      // not again in this run
}

// maxBackoff bounds the wait after failures, maxHold how long one feed's answer
// keeps a host from being asked for others.
const (
	maxBackoff = 24 * time.Hour
	maxHold    = time.Hour
)

// backoff is the wait after so many failures in a row: full jitter over a
// window that doubles, and no less than the interval.
func (p *Poller) backoff(failures int) time.Duration {
	window := float64(p.options.Interval) * math.Exp2(float64(min(failures, 30)))
	return max(p.options.Interval, time.Duration(p.options.Random()*min(window, float64(maxBackoff))))
}

// regular is when a feed that answered at now is due again: after the
// interval, or as its server and its publisher wish, within bounds.
func (p *Poller) regular(now time.Time, c *cursor, maxAge time.Duration) time.Time {
	wish := min(max(maxAge, time.Duration(c.TTL)*time.Second), p.options.Longest)
	return c.Quiet.end(now.Add(max(p.options.Interval, wish)))
}
