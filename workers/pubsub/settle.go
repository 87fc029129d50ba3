package pubsub

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/earshot-fm/earshot/workers"
)

// settle acts on the verdict. What cannot be acted on comes back when its lease
// is over; an error says that this will not change by itself.
func (s *Source) settle(ctx context.Context, k *keeper, l *lease, v workers.Verdict) error {
	defer k.let(l)
	ctx, cancel := context.WithTimeout(ctx, s.client.settleWithin)
	defer cancel()
	var (
		doing string
		call  func() error
	)
	switch kind := v.Kind; {
	case kind == workers.Done || kind == workers.Reject:
		doing = "acknowledge"
		call = func() error { return s.client.acknowledge(ctx, s.subscription, []string{l.ackID}, once) }
	case kind == workers.Retry || kind == workers.Release && v.After > 0:
		doing = "put off"
		wait := wholeSeconds(min(max(v.After, 0), longestLease))
		if !k.let(l) {
			return nil
		}
		call = func() error { return s.putOff(ctx, k, l.ackID, wait, v.After) }
	case kind == workers.Release:
		doing = "hand back"
		if !k.let(l) {
			return nil
		}
		call = func() error { return s.client.modify(ctx, s.subscription, []string{l.ackID}, 0, once) }
	default:
		return fmt.Errorf("pubsub: unknown verdict %q", v.Kind)
	}
	for failures := 1; ; failures++ {
		// Acknowledged under a lost lease, another worker would lose what it works on.
		if doing == "acknowledge" && !k.held(l) {
			s.client.options.Log.Warn("not acknowledged", "subscription", s.subscription, "error", errLeaseOver)
			return nil
		}
		err := call()
		if err == nil {
			return nil
		}
		if expired(err, l.ackID) {
			s.client.options.Log.Warn("cannot "+doing+" a message", "subscription", s.subscription, "error", errLeaseOver)
			return nil
		}
		if status.Code(err) != codes.DeadlineExceeded {
			pause(ctx, failures)
		}
		if ctx.Err() == nil {
			continue
		}
		err = fmt.Errorf("pubsub: %s a message of %s: %w", doing, s.subscription, advised(err))
		if refused(err) {
			return err
		}
		s.client.options.Log.Warn("a message will be delivered again", "subscription", s.subscription, "error", err)
		return nil
	}
}

// putOff has the message come back by itself when the wait is over: its lease is
// set to end then, and nobody extends it. It takes no slot meanwhile, and no
// other message waits for it. What is to wait longer than a lease can last is
// extended while the source receives.
func (s *Source) putOff(ctx context.Context, k *keeper, ackID string, wait, after time.Duration) error {
	sent := s.client.options.Now()
	if err := s.client.modify(ctx, s.subscription, []string{ackID}, wait, once); err != nil {
		return err
	}
	if after > wait && !k.wait(ackID, sent.Add(wait), sent.Add(after)) {
		s.client.options.Log.Warn("too many messages wait; one will be delivered early", "subscription", s.subscription, "after", wait, "asked", after)
	}
	return nil
}

func (c *Client) acknowledge(ctx context.Context, subscription string, ackIDs []string, o ...gax.CallOption) error {
	return c.subs.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: subscription, AckIds: ackIDs}, o...)
}
