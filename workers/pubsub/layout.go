package pubsub

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
	"github.com/earshot-fm/earshot/workers/message"
)

// What Create makes, and Check wants.
const (
	// ackDeadline is how long a message is leased for when it is handed out: what
	// a crash loses comes back then.
	ackDeadline = time.Minute
	// The subscription's own dead-letter policy is the last net, far above the
	// worker's own bound on deliveries, and the most that Pub/Sub allows.
	lastNet = 100
	// Pub/Sub pauses so long before it hands a message out again, more and more
	// with each time. It is a net too: the worker's waits are its own, and Pub/Sub
	// adds its pause to them. What had been put off often, as in an outage, would
	// otherwise wait for minutes when all is well again.
	shortestBackoff = time.Second
	longestBackoff  = 10 * time.Second
	// What nobody has acknowledged is deleted in silence when it is older. A
	// backlog of a million episodes may take weeks: the most that Pub/Sub keeps,
	// and the most that emulators do.
	retention         = 31 * 24 * time.Hour
	emulatorRetention = 7 * 24 * time.Hour
)

// schema is a definition that topics hold their messages to.
type schema struct{ id, definition string }

var (
	published = &schema{"earshot.events.v1.EpisodePublished", eventsv1.EpisodePublishedProto}
	removed   = &schema{"earshot.events.v1.EpisodeRemoved", eventsv1.EpisodeRemovedProto}
	enriched  = &schema{"earshot.events.v1.EpisodeEnriched", eventsv1.EpisodeEnrichedProto}
)

// place is a topic with what belongs to it.
type place struct {
	id           string
	schema       *schema // nil: none
	subscription string  // its id; empty: others read what is there
	letters      bool    // it is the dead letters' own: no policy of either kind

	// endless has Pub/Sub itself take nothing away, however often it is
	// delivered: no dead-letter policy.
	endless bool
}

func (c *Client) places() []place {
	n, s := c.options.Names, c.options.Subscriptions
	return []place{
		{id: n.DeadLetters, subscription: s.DeadLetters, letters: true, endless: true}, // first: the others name it
		{id: n.Live, schema: published, subscription: s.Live},
		{id: n.Backlog, schema: published, subscription: s.Backlog},
		{id: n.Removals, schema: removed, subscription: s.Removals, endless: true},
		{id: n.Enriched, schema: enriched},
	}
}

func (c *Client) schemaName(s *schema) string {
	return "projects/" + c.options.Project + "/schemas/" + s.id
}

// schemaSettings are those of a topic that is held to a schema.
func (c *Client) schemaSettings(s *schema) *pubsubpb.SchemaSettings {
	encoding := pubsubpb.Encoding_BINARY
	if c.options.Encoding == message.JSON {
		encoding = pubsubpb.Encoding_JSON
	}
	return &pubsubpb.SchemaSettings{Schema: c.schemaName(s), Encoding: encoding}
}

// wanted is a place's subscription. Exactly-once delivery stays off: it slows
// deliveries down and makes them no safer, since every effect is idempotent. It
// never expires: an idle month would take what is on it along.
func (c *Client) wanted(p place) *pubsubpb.Subscription {
	s := &pubsubpb.Subscription{
		Name: c.subscription(p.subscription), Topic: c.topic(p.id),
		AckDeadlineSeconds:       int32(ackDeadline / time.Second),
		MessageRetentionDuration: durationpb.New(c.retention()),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{},
	}
	if !p.letters {
		s.RetryPolicy = &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(shortestBackoff), MaximumBackoff: durationpb.New(longestBackoff)}
	}
	if !p.endless {
		s.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: c.topic(c.options.Names.DeadLetters), MaxDeliveryAttempts: lastNet}
	}
	return s
}

// retention is for how long messages are to be kept.
func (c *Client) retention() time.Duration {
	if c.options.Emulator != "" {
		return emulatorRetention
	}
	return retention
}
