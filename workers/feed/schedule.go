package feed

import (
	"container/heap"
	"time"
)

// schedule says which feed is to be asked next. It holds feeds by when they are
// due, and those that are due by their host, so that one host is asked by no
// more than perHost at once, and not again before a gap has passed; feeds of
// other hosts do not wait for that. It starts nothing and is not safe for
// concurrent use.
type schedule struct {
	perHost int
	gap     time.Duration

	due   dueHeap  // feeds not yet due
	hosts hostHeap // hosts that have feeds waiting and room for one more
	known map[string]*host
}

// listing is a feed in the schedule.
type listing struct {
	subscription
	due  time.Time
	host *host
}

// host is a server as the addresses name it.
type host struct {
	name    string
	free    time.Time // when the next request may start
	running int
	waiting []*listing // due, in turn
	at      int        // in hosts; -1: not there
}

func newSchedule(perHost int, gap time.Duration) *schedule {
	return &schedule{perHost: perHost, gap: gap, known: map[string]*host{}}
}

// add has the feed asked at the host once it is due.
func (s *schedule) add(e *listing, at string, due time.Time) {
	h := s.known[at]
	if h == nil {
		h = &host{name: at, at: -1}
		s.known[at] = h
	}
	e.host, e.due = h, due
	heap.Push(&s.due, e)
}

// next takes a feed whose turn it is; nil when there is none at this time. Call
// done for it afterwards.
func (s *schedule) next(now time.Time) *listing {
	for len(s.due) > 0 && !s.due[0].due.After(now) {
		e := heap.Pop(&s.due).(*listing)
		e.host.waiting = append(e.host.waiting, e)
		s.offer(e.host)
	}
	if len(s.hosts) == 0 || s.hosts[0].free.After(now) {
		return nil
	}
	h := s.hosts[0]
	e := h.waiting[0]
	h.waiting[0] = nil
	h.waiting = h.waiting[1:]
	h.running++
	h.free = now.Add(s.gap)
	if len(h.waiting) > 0 && h.running < s.perHost {
		heap.Fix(&s.hosts, 0)
	} else {
		heap.Pop(&s.hosts)
	}
	return e
}

// wake is when next may have a feed, as far as is known; false: when one is
// done or added, and not before.
func (s *schedule) wake() (at time.Time, known bool) {
	if len(s.due) > 0 {
		at, known = s.due[0].due, true
	}
	if len(s.hosts) > 0 && (!known || s.hosts[0].free.Before(at)) {
		at, known = s.hosts[0].free, true
	}
	return at, known
}

// done says that the feed was asked; its host is left alone until hold.
func (s *schedule) done(e *listing, hold time.Time) {
	h := e.host
	e.host = nil
	h.running--
	if hold.After(h.free) {
		h.free = hold
		if h.at >= 0 {
			heap.Fix(&s.hosts, h.at)
		}
	}
	s.offer(h)
}

// offer puts the host among those that may be asked, where it belongs there.
func (s *schedule) offer(h *host) {
	if h.at < 0 && len(h.waiting) > 0 && h.running < s.perHost {
		heap.Push(&s.hosts, h)
	}
}

type dueHeap []*listing

func (d dueHeap) Len() int           { return len(d) }
func (d dueHeap) Less(i, j int) bool { return d[i].due.Before(d[j].due) }
func (d dueHeap) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dueHeap) Push(x any)        { *d = append(*d, x.(*listing)) }
func (d *dueHeap) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return e
}

// hostHeap is ordered by when a host may be asked: whoever waited longest.
type hostHeap []*host

func (h hostHeap) Len() int           { return len(h) }
func (h hostHeap) Less(i, j int) bool { return h[i].free.Before(h[j].free) }
func (h hostHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *hostHeap) Push(x any) {
	x.(*host).at = len(*h)
	*h = append(*h, x.(*host))
}
func (h *hostHeap) Pop() any {
	last := len(*h) - 1
	out := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	out.at = -1
	return out
}
