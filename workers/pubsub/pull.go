package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// refusalsLast is for how long a service that had answered may refuse: rights
// take minutes to spread, and giving up costs the work that is in flight.
const refusalsLast = 5 * time.Minute

// mostAtOnce is how many messages the service gives in one answer.
const mostAtOnce = 1000

// once has a call made once: who calls decides about the next.
var once = gax.WithRetry(func() gax.Retryer { return nil })

// puller fetches the messages of one subscription, patiently.
type puller struct {
	client       *Client
	subscription string
	answered     bool      // the service has answered once
	refusedSince time.Time // zero: it does not refuse
}

// pull waits for up to n messages; none when ctx has ended.
func (p *puller) pull(ctx context.Context, n int) ([]*pubsubpb.ReceivedMessage, error) {
	for failures := 0; ; {
		if ctx.Err() != nil {
			return nil, nil
		}
		// The service answers with none when none has come for a while, by its own
		// clock or by the deadline that the library gives each call.
		response, err := p.client.subs.Pull(ctx, &pubsubpb.PullRequest{Subscription: p.subscription, MaxMessages: int32(min(n, mostAtOnce))}, once)
		if err == nil || status.Code(err) == codes.DeadlineExceeded {
			p.answered, p.refusedSince, failures = true, time.Time{}, 0
			if messages := response.GetReceivedMessages(); len(messages) > 0 {
				return messages, nil
			}
			continue
		}
		if ctx.Err() != nil {
			notice()
			return nil, nil
		}
		if refused(err) && p.over() {
			return nil, fmt.Errorf("pubsub: fetch from %s: %w", p.subscription, advised(err))
		}
		failures++
		p.client.options.Log.Warn("cannot fetch messages; trying again", "subscription", p.subscription, "error", err)
		pause(ctx, failures)
	}
}

// over notes a refusal and says whether it has lasted too long.
func (p *puller) over() bool {
	now := p.client.options.Now()
	if p.refusedSince.IsZero() {
		p.refusedSince = now
	}
	return !p.answered || now.Sub(p.refusedSince) >= refusalsLast
}

// notice gives the service time to see that a call was given up. Google's
// emulator looks every 50 ms, and hands what comes before to nobody: it would be
// missing until its lease is over.
func notice() {
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

// pause waits before a call that has failed is made again: a random time up to
// 100 ms, doubled with each failure up to 10 s.
func pause(ctx context.Context, failures int) {
	bound := 100 * time.Millisecond << min(failures-1, 7)
	timer := time.NewTimer(rand.N(min(bound, 10*time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
