// Package pubsub is Cloud Pub/Sub as a source of events and a keeper of dead
// letters. Live events, backlog events and takedowns each have a topic and a
// subscription; rejected deliveries go to a topic for dead letters, and what is
// done is announced on one more. A message is leased while it is worked on,
// acknowledged only by the worker's verdict, and comes back to any worker when
// its own disappears. docs/pubsub.md says how it is set up.
package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cloud.google.com/go/pubsub/v2"
	vkit "cloud.google.com/go/pubsub/v2/apiv1"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/earshot-fm/earshot/workers/message"
)

// Names are the topics' ids in the project. Those that are read have a
// subscription of the same id. The zero value of each is its default.
type Names struct {
	Live        string // zero: earshot-live
	Backlog     string // zero: earshot-backlog
	Removals    string // zero: earshot-removals
	Enriched    string // zero: earshot-enriched; others subscribe to it
	DeadLetters string // zero: earshot-dead-letters
}

// Options are the client's settings; but for Project, the zero value of each is
// its default.
type Options struct {
	Project  string
	Endpoint string // host:port of one region's service; empty: the global one
	Emulator string // host:port of an emulator, spoken to in clear and without credentials; empty: PUBSUB_EMULATOR_HOST, where set

	Names    Names
	Encoding message.Encoding // of what is published; empty: Binary. What is read may have either

	Lease        time.Duration // a message is leased for this long, again and again; 10 s to 10 min, zero: 60 s
	MaxExtension time.Duration // and for this long in all; zero: 24 h
	Silence      time.Duration // Sift ends when no letter has come for this long; zero: 10 s

	// Traceparent is the span of a context as W3C Trace Context writes it, empty
	// when there is none. What is published carries it. May be nil.
	Traceparent func(context.Context) string

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: discarded
}

// The bounds that Pub/Sub sets on a lease.
const (
	shortestLease = 10 * time.Second
	longestLease  = 10 * time.Minute
)

func (o *Options) complete() error {
	for _, n := range []struct {
		name     *string
		standard string
	}{
		{&o.Names.Live, "earshot-live"}, {&o.Names.Backlog, "earshot-backlog"}, {&o.Names.Removals, "earshot-removals"},
		{&o.Names.Enriched, "earshot-enriched"}, {&o.Names.DeadLetters, "earshot-dead-letters"},
	} {
		if *n.name == "" {
			*n.name = n.standard
		}
	}
	if o.Encoding == "" {
		o.Encoding = message.Binary
	}
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	if o.MaxExtension == 0 {
		o.MaxExtension = 24 * time.Hour
	}
	if o.Silence == 0 {
		o.Silence = 10 * time.Second
	}
	if o.Traceparent == nil {
		o.Traceparent = func(context.Context) string { return "" }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.Project == "":
		return errors.New("pubsub: no project: name the Google Cloud project that has the topics")
	case o.Encoding != message.Binary && o.Encoding != message.JSON:
		return fmt.Errorf("pubsub: encoding %q is neither %q nor %q", o.Encoding, message.Binary, message.JSON)
	case o.Lease < shortestLease || o.Lease > longestLease:
		return fmt.Errorf("pubsub: a lease of %s: Pub/Sub allows %s to %s", o.Lease, shortestLease, longestLease)
	case o.MaxExtension < o.Lease:
		return fmt.Errorf("pubsub: a message may be held for %s, less than its lease of %s", o.MaxExtension, o.Lease)
	}
	return nil
}

// Client speaks to one project's Pub/Sub. Its methods may be called from many
// goroutines at once.
type Client struct {
	options Options
	topics  *vkit.TopicAdminClient
	subs    *vkit.SubscriptionAdminClient
	schemas *vkit.SchemaClient

	live, backlog, removals *Source

	// Tests put something else in the place of these clocks.
	tick         func(every time.Duration) (next func(context.Context) bool, stop func()) // next waits for a tick; false: ctx ended
	silent       func(context.Context) (context.Context, context.CancelFunc)
	settleWithin time.Duration
}

// Open makes a client. It does not speak to Pub/Sub yet: Check tells whether
// what is needed is there. Its errors are faults of o, or of the credentials
// that are found.
func Open(ctx context.Context, o Options) (*Client, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	var dial []option.ClientOption
	if o.Endpoint != "" {
		dial = append(dial, option.WithEndpoint(o.Endpoint))
	}
	if o.Emulator != "" {
		dial = append(dial, option.WithEndpoint(o.Emulator), option.WithoutAuthentication(), option.WithTelemetryDisabled(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	service, err := pubsub.NewClient(ctx, o.Project, dial...)
	if err != nil {
		return nil, fmt.Errorf("pubsub: connect to project %s (are there credentials? GOOGLE_APPLICATION_CREDENTIALS or the machine's service account): %w", o.Project, err)
	}
	schemas, err := vkit.NewSchemaClient(ctx, dial...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pubsub: connect to the schemas of project %s: %w", o.Project, err), service.Close())
	}
	c := &Client{options: o, topics: service.TopicAdminClient, subs: service.SubscriptionAdminClient, schemas: schemas, settleWithin: 30 * time.Second}
	c.live = newSource(c, o.Names.Live, laneLive)
	c.backlog = newSource(c, o.Names.Backlog, laneBacklog)
	c.removals = newSource(c, o.Names.Removals, laneRemovals)
	c.tick = func(every time.Duration) (func(context.Context) bool, func()) {
		t := time.NewTicker(every)
		return func(ctx context.Context) bool {
			select {
			case <-ctx.Done():
				return false
			case <-t.C:
				return true
			}
		}, t.Stop
	}
	c.silent = func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, o.Silence)
	}
	return c, nil
}

// Close ends the connections. No Receive, Sift or publication may be under way.
func (c *Client) Close() error {
	var all []error
	for _, conn := range []interface{ Close() error }{c.topics, c.subs, c.schemas} {
		// A connection that had been shared is closed already.
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled {
			all = append(all, fmt.Errorf("pubsub: close: %w", err))
		}
	}
	return errors.Join(all...)
}

// Live are the events of episodes that were just published.
func (c *Client) Live() *Source { return c.live }

// Backlog are the events of episodes that are reprocessed when there is room.
func (c *Client) Backlog() *Source { return c.backlog }

// Removals are the takedowns.
func (c *Client) Removals() *Source { return c.removals }

func (c *Client) topic(id string) string {
	return "projects/" + c.options.Project + "/topics/" + id
}

func (c *Client) subscription(id string) string {
	return "projects/" + c.options.Project + "/subscriptions/" + id
}
