package workers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// errOvertaken cancels work whose place a newer edition takes.
var errOvertaken = errors.New("workers: a newer edition of the episode is there, or on its way")

// How long an older edition waits for how a newer one ends, before it looks
// again: longer with each delivery.
const (
	yieldFirst   = 30 * time.Second
	yieldLongest = 10 * time.Minute
)

// yielding hands a delivery back to wait for a newer edition's end.
func yielding(d Delivery) error {
	wait := min(yieldFirst*time.Duration(max(1, min(d.Attempt, 100))), yieldLongest)
	return &yield{after: wait, err: fmt.Errorf("%w: this one (revision %d) waits for how that ends", errOvertaken, d.Event.Revision)}
}

type yield struct {
	after time.Duration
	err   error
}

func (e *yield) Unwrap() error { return e.err }
func (e *yield) Error() string { return e.err.Error() }

// flights are the deliveries that this process works on.
type flights struct {
	mu  sync.Mutex
	all map[episode.ID]map[*flight]struct{}
}

type flight struct {
	d      Delivery
	cancel func()
}

// takeOff notes work on a delivery, and cancels that on those whose place it
// takes: a takedown all that it covers, a whole edition the older whole ones.
// land ends it.
func (f *flights) takeOff(id episode.ID, d Delivery, cancel func()) (land func()) {
	own := &flight{d, cancel}
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.all[id] {
		if other.d.Removal == nil && edition(d).Supersedes(edition(other.d)) && (d.Removal != nil || whole(d) && whole(other.d)) {
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

// watch looks, while work on a delivery goes on, for editions that other
// processes work on or have done, and calls overtake when one takes its place.
// What it returns ends that and waits.
func (w *Worker) watch(ctx context.Context, d Delivery, overtake func()) (unwatch func()) {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(w.options.HeadPoll)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			// What cannot be read now is read at the next tick, or when the work is done.
			now, err := w.options.Heads.Look(ctx, d.Event.ID)
			if err == nil && (now.Shown.Supersedes(edition(d)) || whole(d) && now.Begun > d.Event.Revision) {
				overtake()
				return
			}
		}
	})
	return func() {
		stop()
		watching.Wait()
	}
}
