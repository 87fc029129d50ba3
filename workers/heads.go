package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Head is the newest edition of an episode that any worker was told of.
type Head struct {
	Revision episode.Revision `json:"revision"`
	Removed  bool             `json:"removed,omitempty"` // the edition is a takedown
}

// Supersedes reports whether h makes work on g needless: it is a later
// revision, or the takedown of the same.
func (h Head) Supersedes(g Head) bool {
	return h.Revision > g.Revision || h.Revision == g.Revision && h.Removed && !g.Removed
}

// Heads are what all workers know of the newest editions. They save work, and
// let a takedown reach what is in flight; that nothing older ever shows is the
// sinks' business (package index, package origin). So of two Advances at one
// instant the older may win.
type Heads interface {
	// Advance notes the edition, unless a newer one is known, and returns the
	// newest.
	Advance(ctx context.Context, id episode.ID, h Head) (newest Head, err error)
	// Newest returns the newest edition known, the zero Head when none is.
	Newest(ctx context.Context, id episode.ID) (Head, error)
}

// errOvertaken cancels work on an edition that is not the newest any more.
var errOvertaken = errors.New("workers: a newer edition of the episode is there")

func head(d Delivery) Head {
	if d.Removal != nil {
		return Head{d.Removal.Revision, true}
	}
	return Head{Revision: d.Event.Revision}
}

// current runs work on a delivery as long as no newer edition is known.
func (w *Worker) current(ctx context.Context, d Delivery, work Enrich) (Outcome, error) {
	heads, own := w.options.Heads, head(d)
	if heads == nil || d.Event.Control.Ping {
		return work(ctx, d)
	}
	newest, err := heads.Advance(ctx, d.Event.ID, own)
	if err != nil {
		return "", Outage(0, fmt.Errorf("workers: note the edition of %s: %w", d.Event.ID, err))
	}
	if newest.Supersedes(own) {
		return w.overtaken(ctx, d, newest)
	}
	working, overtake := context.WithCancelCause(ctx)
	defer overtake(nil)
	land := w.flights.takeOff(d.Event.ID, own, func() { overtake(errOvertaken) })
	var watching sync.WaitGroup
	watched, landed := context.WithCancel(working)
	watching.Go(func() { w.watch(watched, d.Event.ID, own, overtake) })
	outcome, err := work(working, d)
	landed()
	watching.Wait()
	land()
	if errors.Is(context.Cause(working), errOvertaken) || err == nil && d.Removal == nil {
		// A takedown that came while the last effects were under way has not seen
		// what they stored.
		now, headErr := heads.Newest(ctx, d.Event.ID)
		switch {
		case headErr != nil:
			return "", Outage(0, fmt.Errorf("workers: look for newer editions of %s: %w", d.Event.ID, headErr))
		case now.Supersedes(own) && (err != nil || now.Removed):
			return w.overtaken(ctx, d, now)
		}
	}
	return outcome, err
}

// overtaken ends a delivery that a newer edition makes needless. What a
// takedown makes needless is discarded as well.
func (w *Worker) overtaken(ctx context.Context, d Delivery, newest Head) (Outcome, error) {
	if newest.Removed && d.Removal == nil && w.options.Discard != nil {
		if err := w.options.Discard(ctx, d); err != nil {
			return "", Outage(0, fmt.Errorf("workers: discard what was made of %s, which was taken down: %w", d.Event.ID, err))
		}
	}
	return Overtaken, nil
}

// watch looks for newer editions that other processes were told of.
func (w *Worker) watch(ctx context.Context, id episode.ID, own Head, overtake context.CancelCauseFunc) {
	ticker := time.NewTicker(w.options.HeadPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// What cannot be read now is read at the next tick, or when the work is done.
		if newest, err := w.options.Heads.Newest(ctx, id); err == nil && newest.Supersedes(own) {
			overtake(errOvertaken)
			return
		}
	}
}

// flights are the editions that this process works on.
type flights struct {
	mu  sync.Mutex
	all map[episode.ID]map[*flight]struct{}
}

type flight struct {
	head   Head
	cancel func()
}

// takeOff notes work on an edition, and cancels that on older ones. land ends it.
func (f *flights) takeOff(id episode.ID, h Head, cancel func()) (land func()) {
	own := &flight{h, cancel}
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.all[id] {
		if h.Supersedes(other.head) {
			other.cancel()
		}
	}
	if f.all == nil {
		f.all = map[episode.ID]map[*flight]struct{}{}
	}
	if f.all[id] == nil {
		f.all[id] = map[*flight]struct{}{}
	}
	f.all[id][own] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.all[id], own)
		if len(f.all[id]) == 0 {
			delete(f.all, id)
		}
	}
}
