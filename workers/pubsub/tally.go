package pubsub

import (
	"sync"

	"github.com/earshot-fm/earshot/workers"
)

// maxTallies bounds the messages that a source remembers.
const maxTallies = 20_000

// tally is what this process saw of a message.
type tally struct {
	deliveries int
	failures   int
	releases   int
}

// tallies remember the latest messages that are not done: Pub/Sub counts
// deliveries only (and only with a dead-letter policy), not how they ended.
type tallies struct {
	mu         sync.Mutex
	young, old map[string]tally // the old are forgotten when the young have become many
	most       int
}

func newTallies(most int) *tallies {
	return &tallies{young: map[string]tally{}, old: map[string]tally{}, most: most}
}

// delivered counts a delivery and says how many there were and how many of
// those failed. counted is the service's own count; zero: it does not count.
func (t *tallies) delivered(id string, counted int) (attempt, failures int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.get(id)
	seen.deliveries++
	if counted == 0 {
		counted = seen.deliveries
	}
	attempt = max(1, counted-seen.releases)
	failures = seen.failures
	if seen.deliveries != counted { // others had it, and nobody knows how that ended
		failures = attempt - 1
	}
	t.put(id, seen)
	return attempt, failures
}

// note remembers how a delivery ended.
func (t *tallies) note(id string, kind workers.Kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.get(id)
	switch kind {
	case workers.Retry:
		seen.failures++
	case workers.Release:
		seen.releases++
	default:
		delete(t.young, id)
		delete(t.old, id)
		return
	}
	t.put(id, seen)
}

func (t *tallies) get(id string) tally {
	if seen, ok := t.young[id]; ok {
		return seen
	}
	return t.old[id]
}

func (t *tallies) put(id string, seen tally) {
	if len(t.young) >= t.most/2 {
		t.old, t.young = t.young, map[string]tally{}
	}
	t.young[id] = seen
}
