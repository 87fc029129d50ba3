package main

import (
	"context"

	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/queue"
)

// inbox takes events and takedowns over; what it has taken is safe.
type inbox interface {
	Publish(ctx context.Context, e episode.Event) error
	Remove(ctx context.Context, r episode.Removal) error
}

// messaging is where events come from and go to.
type messaging struct {
	inbox
	letters  workers.Letters
	lanes    []workers.Lane
	announce enrich.Announcer
	cursors  feed.Cursors

	closers closers
}

// openMessaging opens it as the configuration says. The caller closes closers.
func (c *config) openMessaging(ctx context.Context, l layout) (*messaging, error) {
	q, err := queue.Open(ctx, l.queue, queue.Options{Visibility: c.Worker.Visibility, UntilEmpty: c.untilEmpty})
	if err != nil {
		return nil, err
	}
	m := &messaging{
		inbox:    embedded{q},
		letters:  q,
		lanes:    []workers.Lane{{Name: "queue", Source: q, Slots: c.Worker.Slots}},
		announce: announcing{l.announced},
		cursors:  q,
	}
	m.closers.add(func(context.Context) error { return q.Close() })
	return m, nil
}

// embedded fits the embedded queue to inbox.
type embedded struct{ *queue.Queue }

func (q embedded) Publish(ctx context.Context, e episode.Event) error {
	_, err := q.Queue.Publish(ctx, e)
	return err
}

// serviceInspections look at the services of a configuration. The embedded ones have
// nothing that the state folder does not show.
func (c *config) serviceInspections(layout, bool) []inspection { return nil }
