// Package heads keeps, for each episode, which edition is shown and which was
// begun, so that workers that share nothing else learn that what they work on
// was overtaken or taken down. It writes small documents into any store that can
// replace one only if nobody else has meanwhile: a bucket, or the embedded queue.
package heads

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// Documents keep small documents by name. Those of feeds do.
type Documents interface {
	// LoadCursor returns what was last saved under name; nil when nothing was.
	LoadCursor(ctx context.Context, name string) ([]byte, error)
	// SaveCursor keeps body under name if was is still what is there (nil:
	// nothing), and says whether it did.
	SaveCursor(ctx context.Context, name string, was, body []byte) (saved bool, err error)
}

// Heads are workers.Heads in documents. Their methods may be called from many
// goroutines and processes.
type Heads struct{ documents Documents }

var _ workers.Heads = (*Heads)(nil)

// New gives the heads in documents.
func New(documents Documents) *Heads { return &Heads{documents} }

// name of an episode's document; no feed's address begins like it.
func name(id episode.ID) string { return "head of " + string(id) }

func (h *Heads) load(ctx context.Context, id episode.ID) (e workers.Editions, body []byte, err error) {
	body, err = h.documents.LoadCursor(ctx, name(id))
	if err == nil && body != nil {
		err = json.Unmarshal(body, &e)
	}
	if err != nil {
		err = fmt.Errorf("heads: read the %s: %w", name(id), err)
	}
	return e, body, err
}

// Look implements workers.Heads.
func (h *Heads) Look(ctx context.Context, id episode.ID) (workers.Editions, error) {
	e, _, err := h.load(ctx, id)
	return e, err
}

// attempts bounds how often a change is tried again because another process
// changed the same document in between: each time one of them got on.
const attempts = 32

// Change implements workers.Heads. What changes nothing is not written.
func (h *Heads) Change(ctx context.Context, id episode.ID, change func(workers.Editions) workers.Editions) (workers.Editions, error) {
	for range attempts {
		was, before, err := h.load(ctx, id)
		if err != nil {
			return was, err
		}
		is := change(was)
		if is == was {
			return is, nil
		}
		body, err := json.Marshal(is)
		if err != nil {
			return was, err
		}
		saved, err := h.documents.SaveCursor(ctx, name(id), before, body)
		if err != nil {
			return was, fmt.Errorf("heads: write the %s: %w", name(id), err)
		}
		if saved {
			return is, nil
		}
	}
	return workers.Editions{}, fmt.Errorf("heads: write the %s: others changed it %d times in between", name(id), attempts)
}
