package workers

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Head is an edition of an episode, or its takedown.
type Head struct {
	Revision episode.Revision `json:"revision"`
	Removed  bool             `json:"removed,omitempty"` // it is a takedown
}

// Supersedes reports whether nothing of g may show where h does: h is a later
// revision, or the takedown of the same.
func (h Head) Supersedes(g Head) bool {
	return h.Revision > g.Revision || h.Revision == g.Revision && h.Removed && !g.Removed
}

// Editions are what workers tell each other of an episode.
type Editions struct {
	// Shown is the newest edition that is done, or whose takedown has begun. What
	// it supersedes is acknowledged as overtaken.
	Shown Head `json:"shown,omitzero"`

	// Begun is the newest edition that was begun as a whole, and is neither done
	// nor rejected as far as anybody knows. What is older waits for how it ends:
	// it is not acknowledged, since Begun may yet be rejected.
	Begun episode.Revision `json:"begun,omitempty"`
}

func (e Editions) begin(r episode.Revision) Editions {
	e.Begun = max(e.Begun, r)
	return e
}

func (e Editions) done(r episode.Revision) Editions {
	if own := (Head{Revision: r}); own.Supersedes(e.Shown) {
		e.Shown = own
	}
	return e
}

func (e Editions) rejected(r episode.Revision) Editions {
	if e.Begun == r {
		e.Begun = 0
	}
	return e
}

// TakenDown is what the takedown of a revision, and of all before it, makes of
// the editions.
func (e Editions) TakenDown(r episode.Revision) Editions {
	if own := (Head{r, true}); own.Supersedes(e.Shown) {
		e.Shown = own
	}
	return e
}

// Heads keep the editions of each episode where all workers see them. They save
// work, and let a takedown reach what is in flight; that nothing older ever
// shows is the sinks' business (package index, package origin).
type Heads interface {
	// Look returns what is known of an episode, the zero Editions when nothing is.
	Look(ctx context.Context, id episode.ID) (Editions, error)
	// Change puts what change makes of the editions in their place, such that no
	// other change is lost, and returns it. change may be called several times.
	Change(ctx context.Context, id episode.ID, change func(Editions) Editions) (Editions, error)
}

// edition is a delivery's.
func edition(d Delivery) Head {
	if d.Removal != nil {
		return Head{d.Removal.Revision, true}
	}
	return Head{Revision: d.Event.Revision}
}

// whole says whether a delivery, once done, shows the whole edition.
func whole(d Delivery) bool {
	return d.Removal == nil && d.Event.Control.Targets == nil && !d.Event.Control.Ping
}

func (w *Worker) look(ctx context.Context, id episode.ID) (Editions, error) {
	e, err := w.options.Heads.Look(ctx, id)
	if err != nil {
		err = Outage(0, fmt.Errorf("workers: look for other editions of %s: %w", id, err))
	}
	return e, err
}

func (w *Worker) change(ctx context.Context, id episode.ID, change func(Editions) Editions) (Editions, error) {
	e, err := w.options.Heads.Change(ctx, id, change)
	if err != nil {
		err = Outage(0, fmt.Errorf("workers: note an edition of %s: %w", id, err))
	}
	return e, err
}

// current runs work on a delivery as long as no newer edition takes its place.
func (w *Worker) current(ctx context.Context, d Delivery, work Enrich) (Outcome, error) {
	if w.options.Heads == nil || d.Event.Control.Ping {
		return work(ctx, d)
	}
	id, own := d.Event.ID, edition(d)
	note := func(e Editions) Editions { return e }
	switch {
	case d.Removal != nil:
		note = func(e Editions) Editions { return e.TakenDown(own.Revision) }
	case whole(d):
		note = func(e Editions) Editions { return e.begin(own.Revision) }
	}
	now, err := w.change(ctx, id, note)
	if err != nil {
		return "", err
	}
	if d.Removal != nil {
		// Whatever was published since: what the takedown covers must go, and the
		// sinks know what that is.
		defer w.flights.takeOff(id, d, func() {})()
		return work(ctx, d)
	}
	if outcome, err, over := w.placeTaken(ctx, d, now); over {
		return outcome, err
	}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	land := w.flights.takeOff(id, d, func() { cancel(errOvertaken) })
	unwatch := w.watch(working, d, func() { cancel(errOvertaken) })
	outcome, err := work(working, d)
	unwatch()
	land()
	if err != nil && context.Cause(working) != errOvertaken {
		return outcome, err
	}
	// What came while the last effects were under way has not seen what they left.
	if err == nil && whole(d) {
		now, headErr := w.change(ctx, id, func(e Editions) Editions { return e.done(own.Revision) })
		if headErr != nil || !now.Shown.Removed {
			return outcome, headErr
		}
		return w.overtakenBy(ctx, d, now, outcome)
	}
	now, headErr := w.look(ctx, id)
	if headErr != nil {
		return "", headErr
	}
	if newOutcome, newErr, over := w.placeTaken(ctx, d, now); over && (err != nil || now.Shown.Removed) {
		return newOutcome, newErr
	}
	if err != nil { // what was to take its place is gone again: it was rejected
		return "", yielding(d)
	}
	return outcome, nil
}

// placeTaken says what becomes of a delivery when a newer edition is there, or
// on its way.
func (w *Worker) placeTaken(ctx context.Context, d Delivery, now Editions) (_ Outcome, err error, over bool) {
	own := edition(d)
	switch {
	case now.Shown.Supersedes(own):
		outcome, err := w.overtakenBy(ctx, d, now, Overtaken)
		return outcome, err, true
	case whole(d) && now.Begun > own.Revision:
		return "", yielding(d), true
	}
	return "", nil, false
}

// overtakenBy ends a delivery. What a takedown covers is discarded as well;
// otherwise the outcome is the given one.
func (w *Worker) overtakenBy(ctx context.Context, d Delivery, now Editions, outcome Outcome) (Outcome, error) {
	if !now.Shown.Removed || !now.Shown.Supersedes(edition(d)) {
		return outcome, nil
	}
	if w.options.Discard != nil {
		if err := w.options.Discard(ctx, d); err != nil {
			return "", Outage(0, fmt.Errorf("workers: discard what was made of %s, which was taken down: %w", d.Event.ID, err))
		}
	}
	return Overtaken, nil
}

// retract tells the others that an edition was rejected: what waited for it may
// go on.
func (w *Worker) retract(ctx context.Context, d Delivery) error {
	if w.options.Heads == nil || d.Malformed != nil || !whole(d) || d.Event.Check() != nil {
		return nil
	}
	_, err := w.change(ctx, d.Event.ID, func(e Editions) Editions { return e.rejected(d.Event.Revision) })
	return err
}
