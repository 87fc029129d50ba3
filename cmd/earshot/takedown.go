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

// takeDown removes an episode from every place. All of it can be done again,
// and is until it is done. Search goes first, then what is public, then what
// was kept.
func (s *sinks) takeDown(ctx context.Context, r episode.Removal, now func() time.Time) (audit, error) {
	a := audit{ID: r.ID, Revision: r.Revision, Outcome: workers.Removed, Reason: r.Reason, Gone: map[string]time.Time{}}
	fail := func(place string, err error) (audit, error) {
		return a, fmt.Errorf("take down %s: %s: %w", r.ID, place, err)
	}
	newest, err := s.heads.Advance(ctx, r.ID, workers.Head{Revision: r.Revision, Removed: true})
	if err != nil {
		return fail("stop work in flight", err)
	}
	indexed, err := s.index.Remove(ctx, r.ID, r.Revision)
	if err != nil {
		return fail("index", err)
	}
	if indexed == index.Overtaken || newest.Revision > r.Revision {
		a.Outcome = workers.Overtaken
		return a, nil
	}
	a.Gone["index"] = now().UTC()
	published, err := s.origin.Remove(ctx, r.ID, r.Revision)
	if err != nil {
		return fail("origin", err)
	}
	if published == origin.Overtaken {
		a.Outcome = workers.Overtaken
		return a, nil
	}
	a.Gone["origin"] = now().UTC()
	if err := (&dag.Engine{Store: s.store, Ledger: s.store}).Forget(ctx, string(r.ID)); err != nil {
		return fail("artifacts", err)
	}
	a.Gone["artifacts"] = now().UTC()
	return a, nil
}

// remove is the worker's takedown. Its audit line is on standard output,
// whatever the level of the log.
func (s *streamer) remove(ctx context.Context, d workers.Delivery) (workers.Outcome, error) {
	a, err := s.pipeline.takeDown(ctx, *d.Removal, time.Now)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.Outcome, s.app.printAudit(a)
}

func (a *app) printAudit(line audit) error {
	if a.format == "json" {
		return a.jsonLine(line)
	}
	_, err := fmt.Fprintf(a.out, "%s  revision %d: %s", line.ID, line.Revision, line.Outcome)
	for _, place := range []string{"index", "origin", "artifacts"} {
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
	return s.pipeline.graph().ForgetEvent(ctx, d.Event)
}
