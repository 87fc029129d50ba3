package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// The attributes of dead letters, and those that Pub/Sub sets on a message that
// it forwards by a subscription's dead-letter policy.
const (
	attrLetter   = "letter"
	attrReason   = "reason"
	attrNode     = "node"
	attrAttempts = "attempts"

	attrForwardedFrom     = "CloudPubSubDeadLetterSourceSubscription"
	attrForwardedAttempts = "CloudPubSubDeadLetterSourceDeliveryCount"
)

// maxLetter is the longest letter, below the 10 MB that Pub/Sub takes.
const maxLetter = 9_500_000

// File implements workers.DeadLetters: it returns when Pub/Sub has accepted the
// letter. One that is too large is cut down, and says so.
func (c *Client) File(ctx context.Context, l workers.DeadLetter) error {
	body, err := letterBody(l, maxLetter)
	if err == nil {
		err = c.send(ctx, c.options.Names.DeadLetters, body, map[string]string{
			attrLetter: l.ID, attrReason: l.Reason, attrNode: l.Node, attrAttempts: strconv.Itoa(l.Attempts),
			attrEpisode: string(l.Event.ID), attrRevision: revisionText(l.Event.Revision), attrPodcast: l.Event.Podcast,
		})
	}
	if err != nil {
		return fmt.Errorf("pubsub: file the dead letter %.200s: %w", l.ID, err)
	}
	return nil
}

// letterBody writes a letter in at most so many bytes: what is least needed to
// tell what happened is cut first.
func letterBody(l workers.DeadLetter, most int) ([]byte, error) {
	body, err := json.Marshal(l)
	if err != nil || len(body) <= most {
		return body, err
	}
	whole := len(body)
	note := fmt.Sprintf(" (the letter had %d bytes and was cut down)", whole)
	detail := strings.ToValidUTF8(l.Detail[:min(len(l.Detail), 10_000)], "") + note
	for _, cut := range []func(over int){
		func(over int) { // base64 writes three bytes as four
			l.Raw = l.Raw[:max(0, len(l.Raw)-over*3/4-4)]
		},
		func(over int) {
			l.Event.Description = strings.ToValidUTF8(l.Event.Description[:max(0, len(l.Event.Description)-over)], "")
		},
		func(int) { l.Event.Description = "" }, // it had more bytes in JSON
		func(int) {
			e := l.Event
			l.Event = episode.Event{
				ID: e.ID, Revision: e.Revision, Enclosure: e.Enclosure, Priority: e.Priority, FirstSeen: e.FirstSeen, Private: e.Private, Control: e.Control,
			}
		},
	} {
		l.Detail = detail
		if body, err = json.Marshal(l); err != nil || len(body) <= most {
			return body, err
		}
		cut(len(body) - most)
	}
	if body, err = json.Marshal(l); err == nil && len(body) > most {
		err = fmt.Errorf("%d bytes, and %d after all that can be was cut; Pub/Sub takes %d", whole, len(body), most)
	}
	return body, err
}

// letter reads what came from the dead letters' subscription: a letter of ours,
// or a message that Pub/Sub itself gave up on, as its subscriptions' dead-letter
// policy has it.
func (c *Client) letter(m *pubsubpb.PubsubMessage) workers.DeadLetter {
	from, forwarded := m.GetAttributes()[attrForwardedFrom]
	if !forwarded {
		var l workers.DeadLetter
		if err := json.Unmarshal(m.GetData(), &l); err != nil || l.ID == "" {
			return c.strange(workers.Delivery{Raw: append([]byte{}, m.GetData()...)}, m, fmt.Sprintf("no dead letter of Earshot's: %v", err))
		}
		return l
	}
	kind := laneLive
	switch from {
	case c.options.Subscriptions.Backlog:
		kind = laneBacklog
	case c.options.Subscriptions.Removals:
		kind = laneRemovals
	}
	d := read(m, kind)
	l := c.strange(d, m, fmt.Sprintf("given up by the subscription %s itself: no worker has come to an end with it", from))
	l.Attempts, _ = strconv.Atoi(m.GetAttributes()[attrForwardedAttempts])
	if d.Malformed == nil {
		l.Reason = "never finished"
	} else {
		l.Detail += "; " + d.Malformed.Error()
	}
	return l
}

func (c *Client) strange(d workers.Delivery, m *pubsubpb.PubsubMessage, detail string) workers.DeadLetter {
	l := workers.DeadLetter{ID: workers.LetterID(d), Event: d.Event, Removal: d.Removal, Raw: d.Raw, Reason: workers.Malformed, Detail: detail, Attempts: 1}
	if m.GetPublishTime() != nil {
		l.Filed = m.GetPublishTime().AsTime()
	}
	return l
}
