package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/api"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/feed/cursors"
	"github.com/earshot-fm/earshot/workers/heads"
	"github.com/earshot-fm/earshot/workers/message"
	"github.com/earshot-fm/earshot/workers/pubsub"
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
	cursors  feed.Cursors                    // nil: a bucket keeps them
	reach    func(ctx context.Context) error // nil: it answers

	closers closers
}

const pubsubScheme = "pubsub://"

// maxDeliveries is after how many deliveries without an end an event is given
// up. Pub/Sub counts those that an outage ended, and gives up by itself at 100.
func (c *config) maxDeliveries() int {
	switch {
	case c.Worker.MaxDeliveries > 0:
		return c.Worker.MaxDeliveries
	case c.pubsubProject() != "":
		return 90
	default:
		return 25
	}
}

// pubsubProject is the project that storage.queue names; "": the queue is
// embedded.
func (c *config) pubsubProject() string {
	project, ok := strings.CutPrefix(c.Storage.Queue, pubsubScheme)
	if !ok {
		return ""
	}
	return project
}

// openMessaging opens it as the configuration says. The caller closes closers.
func (c *config) openMessaging(ctx context.Context, l layout, log *slog.Logger) (*messaging, error) {
	if c.pubsubProject() != "" {
		return c.openPubSub(ctx, log)
	}
	q, err := queue.Open(ctx, l.queue, queue.Options{Visibility: c.Worker.Visibility, UntilEmpty: c.untilEmpty, Now: c.clock()})
	if err != nil {
		return nil, err
	}
	m := &messaging{
		inbox:   embedded{q},
		letters: q,
		lanes: []workers.Lane{
			{Name: "queue", Source: q, Slots: c.Worker.Slots},
			{Name: "removals", Source: q.Removals(), Slots: 1},
		},
		announce: announcing{l.announced},
		reach:    func(context.Context) error { return nil }, // it is a file of ours
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

// removalSlots are for takedowns beside the episodes: they must not wait for
// these, and take no memory to speak of.
const removalSlots = 4

func (c *config) openPubSub(ctx context.Context, log *slog.Logger) (*messaging, error) {
	if c.untilEmpty {
		return nil, exit(exitUsage, errors.New("--until-empty: Pub/Sub does not say when a subscription is empty"))
	}
	client, err := c.pubsubClient(ctx, log)
	if err != nil {
		return nil, err
	}
	m := &messaging{
		inbox:   client,
		letters: client,
		lanes: []workers.Lane{
			{Name: "live", Source: client.Live(), Slots: c.Worker.Slots},
			{Name: "backlog", Source: client.Backlog(), Slots: c.backlogSlots()},
			{Name: "removals", Source: client.Removals(), Slots: removalSlots},
		},
		announce: announceOn{client},
		reach:    client.Reach,
	}
	m.closers.add(func(context.Context) error { return client.Close() })
	return m, nil
}

func (c *config) pubsubClient(ctx context.Context, log *slog.Logger) (*pubsub.Client, error) {
	p := c.PubSub
	client, err := pubsub.Open(ctx, pubsub.Options{
		Project:  c.pubsubProject(),
		Endpoint: p.Endpoint,
		Names:    pubsub.Names{Live: p.Live, Backlog: p.Backlog, Removals: p.Removals, Enriched: p.Enriched, DeadLetters: p.DeadLetters},
		Subscriptions: pubsub.Subscriptions{
			Live: p.Subscriptions.Live, Backlog: p.Subscriptions.Backlog, Removals: p.Subscriptions.Removals, DeadLetters: p.Subscriptions.DeadLetters,
		},
		Encoding:     message.Encoding(p.Encoding),
		Lease:        p.Lease,
		MaxExtension: p.MaxExtension,
		Traceparent:  traceparent,
		Log:          log,
		Now:          c.clock(),
	})
	return client, exit(exitUsage, err)
}

// traceparent is the span of ctx as W3C Trace Context writes it.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// announceOn fits Pub/Sub to enrich.Announcer.
type announceOn struct{ client *pubsub.Client }

func (t announceOn) Announce(ctx context.Context, r *episode.Record) error {
	return notAnnounced(t.client.Announce(ctx, r, time.Now().UTC()))
}

// forgetLetters drops dead letters about what was taken down: they hold titles,
// descriptions and addresses. Those on a topic stay until they are dropped by
// hand or past their retention: a pass over them holds all of them.
func (m *messaging) forgetLetters(ctx context.Context, r episode.Removal) error {
	if _, here := m.letters.(*queue.Queue); !here {
		return nil
	}
	return m.letters.Sift(ctx, func(l workers.DeadLetter) (workers.Fate, error) {
		if l.Event.ID == r.ID && l.Event.Revision <= r.Revision && l.Removal == nil {
			return workers.Drop, nil
		}
		return workers.Keep, nil
	})
}

// headsIn are kept beside the cursors.
func (m *messaging) headsIn(s *sinks) *heads.Heads { return heads.New(m.cursorsIn(s)) }

// cursorsIn keep the pollers' place: in the queue, or in the artifacts' bucket
// where the queue keeps none.
func (m *messaging) cursorsIn(s *sinks) feed.Cursors {
	if m.cursors != nil {
		return m.cursors
	}
	b := s.artifacts
	return cursors.New(cursors.Store{Bucket: b.Bucket, OnlyIf: b.OnlyIf, Lock: b.Lock, Persist: b.Persist})
}

// serviceInspections look at the services of a configuration. The embedded ones
// have nothing that the state folder does not show.
func (c *config) serviceInspections(create bool, log *slog.Logger) (all []inspection) {
	if c.pubsubProject() != "" {
		all = append(all, inspection{"Pub/Sub", func(ctx context.Context) ([]string, error) { return c.inspectPubSub(ctx, create, log) }})
	}
	if c.isElasticsearch() {
		all = append(all, inspection{"Elasticsearch", func(ctx context.Context) ([]string, error) { return c.inspectElasticsearch(ctx, create) }})
	}
	if len(c.CDN.CloudFront)+len(c.CDN.Fastly)+len(c.CDN.Akamai) > 0 {
		all = append(all, inspection{"CDNs", func(ctx context.Context) ([]string, error) {
			purgers, err := c.purgers(ctx)
			for _, p := range purgers {
				p.Close()
			}
			if err != nil {
				return nil, err
			}
			return []string{"credentials were read; nothing was purged"}, nil
		}})
	}
	if len(c.Feeds.Lists) > 0 {
		all = append(all, inspection{"feeds", func(context.Context) ([]string, error) { return c.inspectFeeds(log) }})
	}
	if c.API.Listen != "" {
		all = append(all, inspection{"API", func(context.Context) ([]string, error) { return nil, c.inspectAPI() }})
	}
	return all
}

// inspectFeeds reads the lists, and the secrets that they refer to.
func (c *config) inspectFeeds(log *slog.Logger) (notes []string, err error) {
	sources, err := c.feedSources(nil)
	if err != nil {
		return nil, err
	}
	if c.pubsubProject() != "" && c.Feeds.Leader.Lease == "" {
		notes = append(notes, "without feeds.leader.lease each machine polls all feeds: run one worker with feeds, or name a Lease")
	}
	_, err = feed.New(sources, &http.Client{Transport: http.DefaultTransport}, nil, nil, feed.Options{Log: log})
	return notes, err
}

// inspectAPI reads tokens and certificates, and tries the address.
func (c *config) inspectAPI() error {
	var errs []error
	if c.API.Tokens != "" {
		_, err := api.OpenTokens(c.API.Tokens)
		errs = append(errs, err)
	}
	if c.API.Certificate != "" {
		_, err := api.OpenKeys(c.API.Certificate, c.API.Key, c.API.Clients)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, free(c.API.Listen))...)
}

func (c *config) inspectPubSub(ctx context.Context, create bool, log *slog.Logger) (notes []string, err error) {
	client, err := c.pubsubClient(ctx, log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	note := func(text string) { notes = append(notes, text) }
	if create {
		if err := client.Create(ctx, note); err != nil {
			return notes, err
		}
	}
	return notes, errors.Join(client.Check(ctx, note)...)
}

func (c *config) inspectElasticsearch(ctx context.Context, create bool) (_ []string, err error) {
	x, err := c.openElasticsearch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	if create {
		if _, err := x.Create(ctx); err != nil {
			return nil, err
		}
	}
	return nil, x.Check(ctx)
}
