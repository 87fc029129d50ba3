package feed

import (
	"math"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// fate is why a feed lacks an item that it had.
type fate int

const (
	unknown fate = iota
	dropped      // it fell off the old end of a feed that shows the latest only
	suspect      // its publisher seems to have taken it out; to be seen once more
	removed      // that was seen twice
)

// pinned is how many old items a feed may keep for ever (a trailer, a welcome)
// beside the latest: what they are older than is not thereby in the middle.
const pinned = 3

// vanished decides on the items that the feed lacks and withdraws those that
// were taken out of it. An item was taken out when newer and older ones are
// still there, and at another poll, least later, as well. Many feeds show but
// the latest so many items, and what falls off their old end stays: an item
// beside the oldest few counts only when none older has fallen off and nothing
// came in whose place it made. When more than a quarter of what lies between
// is lacking, something is wrong with the feed, and nothing is withdrawn; odd
// says so. waiting says that something is to be seen once more.
func (c *cursor) vanished(present map[episode.ID]bool, grown bool, now time.Time, least time.Duration) (waiting, odd bool) {
	oldest, newest := int64(math.MaxInt64), int64(math.MinInt64)
	for id, s := range c.Items {
		if present[id] && s.Published != 0 {
			oldest, newest = min(oldest, s.Published), max(newest, s.Published)
		}
	}
	between, lacking := 0, []*state{}
	for id, s := range c.Items {
		if present[id] {
			s.Absent, s.Fate = 0, unknown
		} else if s.Absent == 0 {
			s.Absent = now.UnixMilli()
		}
		if s.Hash == "" || s.Published == 0 || s.Fate == dropped {
			continue
		}
		switch {
		case s.Published > oldest && s.Published < newest:
			between++
			if !present[id] {
				lacking = append(lacking, s)
			}
		case !present[id] && s.Published < newest:
			s.Fate = dropped
		}
	}
	if len(lacking) > pinned && len(lacking)*4 > between {
		return false, true
	}
	for _, s := range lacking {
		switch {
		case s.Fate == unknown && !c.within(s, present, grown):
			s.Fate = dropped
		case s.Fate == unknown:
			s.Fate, waiting = suspect, true
		case now.UnixMilli()-s.Absent < least.Milliseconds():
			waiting = true
		default:
			s.Fate = removed
			s.edit("", now)
		}
	}
	return waiting, false
}

// within says whether an item that lies between others cannot have fallen off
// the old end.
func (c *cursor) within(s *state, present map[episode.ID]bool, grown bool) bool {
	older, fell := 0, false
	for id, other := range c.Items {
		if other.Published == 0 || other.Published >= s.Published || other.Hash == "" {
			continue
		}
		if present[id] {
			older++
		} else if other.Fate == dropped {
			fell = true
		}
	}
	return older > pinned || !fell && !grown
}
