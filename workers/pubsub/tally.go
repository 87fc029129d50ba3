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

// delivered counts a delivery and says how many there were, but for those that
// this process released, and how many failed here. counted is the service's own
// count; zero: it does not count. How a delivery to another process ended nobody
// knows: a worker that stopped hands back, one that was killed came to no end.
func (t *tallies) delivered(id string, counted int) (attempt, failures int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.get(id)
	seen.deliveries++
	if counted == 0 {
		counted = seen.deliveries
	}
	attempt = max(1, counted-seen.releases)
	t.put(id, seen)
	return attempt, seen.failures
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
