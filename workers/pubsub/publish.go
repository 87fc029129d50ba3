package pubsub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/message"
)

// The attributes by which subscriptions can filter.
const (
	attrEpisode  = "episode"
	attrRevision = "revision"
	attrPodcast  = "podcast"
	attrLanguage = "language"
)

// Publish puts the event on the topic of its priority and returns when Pub/Sub
// has accepted it. What nobody could read is a *episode.FieldError.
func (c *Client) Publish(ctx context.Context, e episode.Event) error {
	body, err := message.EncodePublished(e, c.options.Encoding)
	if err != nil {
		return err
	}
	topic := c.options.Names.Live
	if e.Priority == episode.Backlog {
		topic = c.options.Names.Backlog
	}
	return c.send(ctx, topic, body, map[string]string{attrEpisode: string(e.ID), attrRevision: revisionText(e.Revision), attrPodcast: e.Podcast})
}

// Remove asks for a takedown. It returns and fails as Publish does.
func (c *Client) Remove(ctx context.Context, r episode.Removal) error {
	body, err := message.EncodeRemoved(r, c.options.Encoding)
	if err != nil {
		return err
	}
	return c.send(ctx, c.options.Names.Removals, body, map[string]string{attrEpisode: string(r.ID), attrRevision: revisionText(r.Revision)})
}

// Announce tells that a record's episode is enriched, at a time. Its attributes
// episode, podcast and language are there for subscriptions' filters. It returns
// and fails as Publish does.
func (c *Client) Announce(ctx context.Context, r *episode.Record, at time.Time) error {
	body, err := message.EncodeEnriched(r, at, c.options.Encoding)
	if err != nil {
		return err
	}
	attributes := map[string]string{attrEpisode: string(r.Episode.ID), attrRevision: revisionText(r.Episode.Revision), attrPodcast: r.Episode.Podcast}
	if r.Language != nil {
		attributes[attrLanguage] = r.Language.Code
	}
	return c.send(ctx, c.options.Names.Enriched, body, attributes)
}

// send publishes one message. The library tries again what may pass.
func (c *Client) send(ctx context.Context, topic string, body []byte, attributes map[string]string) error {
	attributes[attrTrace] = c.options.Traceparent(ctx)
	for name, value := range attributes {
		if value = attribute(value); value == "" {
			delete(attributes, name)
			continue
		}
		attributes[name] = value
	}
	_, err := c.topics.Publish(ctx, &pubsubpb.PublishRequest{
		Topic:    c.topic(topic),
		Messages: []*pubsubpb.PubsubMessage{{Data: body, Attributes: attributes}},
	})
	if err != nil {
		return fmt.Errorf("pubsub: publish to %s: %w", c.topic(topic), advised(err))
	}
	return nil
}

// attribute fits a text into an attribute's value: valid, and 1,024 bytes at
// most.
func attribute(text string) string {
	const most = 1024
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

func revisionText(r episode.Revision) string { return strconv.FormatInt(int64(r), 10) }
