package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/origin"
)

// audit is the line that says what became of a takedown: when the episode was
// gone from each place.
type audit struct {
	ID       episode.ID           `json:"id"`
	Revision episode.Revision     `json:"revision"`
	Outcome  workers.Outcome      `json:"outcome"` // removed, or overtaken: a newer revision is there
	Reason   string               `json:"reason,omitempty"`
	Gone     map[string]time.Time `json:"gone"` // by place
}

// takeDown removes what a takedown covers from every place. All of it can be
// done again, and is until it is done. Search goes first, then what is public,
// then what was kept. Where a newer revision is there by now, only what that has
// no part in goes.
func (s *sinks) takeDown(ctx context.Context, r episode.Removal, m *messaging, now func() time.Time) (audit, error) {
	a := audit{ID: r.ID, Revision: r.Revision, Outcome: workers.Removed, Reason: r.Reason, Gone: map[string]time.Time{}}
	gone := func(place string, overtaken bool, err error) error {
		if err != nil {
			return fmt.Errorf("take down %s: %s: %w", r.ID, place, err)
		}
		if overtaken {
			a.Outcome = workers.Overtaken
		}
		a.Gone[place] = now().UTC()
		return nil
	}
	indexed, err := s.index.Remove(ctx, r.ID, r.Revision)
	if err := gone(placeIndex, indexed == index.Overtaken, err); err != nil {
		return a, err
	}
	published, err := s.origin.Remove(ctx, r.ID, r.Revision)
	if err := gone(placeOrigin, published == origin.Overtaken, err); err != nil {
		return a, err
	}
	known, err := m.headsIn(s).Look(ctx, r.ID)
	if err == nil {
		newer := a.Outcome == workers.Overtaken || known.Shown.Revision > r.Revision // that came just now
		err = (&dag.Engine{Store: s.store, Ledger: s.store}).Forget(ctx, string(r.ID), newer)
	}
	if err := gone(placeArtifacts, false, err); err != nil {
		return a, err
	}
	return a, m.forgetLetters(ctx, r)
}

// The places that an audit line names.
const (
	placeIndex     = "index"
	placeOrigin    = "origin" // and the CDNs
	placeArtifacts = "artifacts"
)

// revisionToRemove is that of a takedown of all that there is now: of what was
// published with a clock that is ahead, too.
func revisionToRemove(ctx context.Context, x index.Index, id episode.ID, now time.Time) (episode.Revision, error) {
	entry, err := x.Get(ctx, id)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return 0, err
	}
	return max(episode.Revision(now.UnixMilli()), entry.Version.Revision), nil
}

// remove is the worker's takedown. Its audit line is on standard output,
// whatever the level of the log.
func (s *streamer) remove(ctx context.Context, d workers.Delivery) (workers.Outcome, error) {
	a, err := s.pipeline.takeDown(ctx, *d.Removal, s.pipeline.messaging, time.Now)
	if err != nil {
		return "", err
	}
	s.log.InfoContext(ctx, "taken down", "outcome", a.Outcome, "reason", a.Reason, "gone", a.Gone)
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.Outcome, s.app.printAudit(a)
}

func (a *app) printAudit(line audit) error {
	if a.format == "json" {
		return a.jsonLine(line)
	}
	_, err := fmt.Fprintf(a.out, "%s  revision %d: %s", line.ID, line.Revision, line.Outcome)
	if line.Reason != "" {
		_, e := fmt.Fprintf(a.out, " (%s)", printable(line.Reason))
		err = errors.Join(err, e)
	}
	for _, place := range []string{placeIndex, placeOrigin, placeArtifacts} {
		if at, ok := line.Gone[place]; ok {
			_, e := fmt.Fprintf(a.out, "; gone from %s at %s", place, at.Format(time.RFC3339Nano))
			err = errors.Join(err, e)
		}
	}
	_, e := fmt.Fprintln(a.out)
	return errors.Join(err, e)
}

// discard removes what was kept of an event whose episode was taken down.
func (s *streamer) discard(ctx context.Context, d workers.Delivery) error {
	return s.pipeline.graph().Forget(ctx, d.Event.ID, false)
}
