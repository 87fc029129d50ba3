package pubsub

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"

	"github.com/earshot-fm/earshot/workers"
)

// lease is the right to a message, until a time.
type lease struct {
	ackID string
	began time.Time
	until time.Time
	lost  func() // called once, when it is over; nil: nobody asks

	// waits, when set, is until when a message that nobody works on is to be kept
	// away from all workers: it is to be tried again then.
	waits time.Time
}

// keeper extends the leases of one subscription's messages, all in one call.
type keeper struct {
	client       *Client
	subscription string

	// calling is held while leases are extended, so that no extension overtakes
	// what is then done to a message that is let go.
	calling sync.Mutex

	mu     sync.Mutex
	leases map[*lease]struct{}
	gone   map[*lease]bool // lost before anybody asked
}

const (
	// maxAckIDs keeps a call below the service's 512 KiB: an id has about 200 bytes.
	maxAckIDs = 1000
	// together rounds the waits up, so that many messages are extended in one call.
	together = 5 * time.Second
	// maxWaiting bounds the messages that are kept away for longer than one lease
	// can last.
	maxWaiting = 10_000
)

func newKeeper(c *Client, subscription string) *keeper {
	return &keeper{client: c, subscription: subscription, leases: map[*lease]struct{}{}, gone: map[*lease]bool{}}
}

// hold keeps the lease of a message that has just come. How long the
// subscription has leased it for is not known: the least that Pub/Sub allows.
func (k *keeper) hold(ackID string) *lease {
	now := k.client.options.Now()
	l := &lease{ackID: ackID, began: now, until: now.Add(shortestLease)}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leases[l] = struct{}{}
	return l
}

// onLoss has lost called when the lease is over, at once if it is.
func (k *keeper) onLoss(l *lease, lost func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone[l] {
		lost()
		return
	}
	l.lost = lost
}

// let stops extending the lease, and says whether it was still held. No
// extension is under way when it returns.
func (k *keeper) let(l *lease) bool {
	k.calling.Lock()
	defer k.calling.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	_, held := k.leases[l]
	delete(k.leases, l)
	delete(k.gone, l)
	return held
}

// held says whether the lease is not over.
func (k *keeper) held(l *lease) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, held := k.leases[l]
	return held
}

// all are the ids of what is held.
func (k *keeper) all() (ackIDs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for l := range k.leases {
		ackIDs = append(ackIDs, l.ackID)
	}
	return ackIDs
}

// wait keeps a message away from all workers until a time; false when too many
// wait already.
func (k *keeper) wait(ackID string, held, until time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	waiting := 0
	for l := range k.leases {
		if !l.waits.IsZero() {
			waiting++
		}
	}
	if waiting >= maxWaiting {
		return false
	}
	k.leases[&lease{ackID: ackID, began: k.client.options.Now(), until: held, waits: until}] = struct{}{}
	return true
}

// run extends leases until ctx ends.
func (k *keeper) run(ctx context.Context) {
	// Work that is done before the first beat costs no extension.
	next, stop := k.client.tick(min(k.client.options.Lease/6, shortestLease/4))
	defer stop()
	for next(ctx) {
		k.beat(ctx)
	}
}

// beat extends what has less than two thirds of its lease left, and tells those
// whose lease is over.
func (k *keeper) beat(ctx context.Context) {
	k.calling.Lock()
	defer k.calling.Unlock()
	due := map[time.Duration][]*lease{} // by how long they are extended
	now := k.client.options.Now()
	k.mu.Lock()
	for l := range k.leases {
		extension := k.client.options.Lease
		switch {
		case !l.until.After(now) || l.waits.IsZero() && now.Sub(l.began) >= k.client.options.MaxExtension:
			k.lose(l)
			continue
		case !l.waits.IsZero() && !l.waits.After(l.until): // the service gives it back by itself
			delete(k.leases, l)
			continue
		case !l.waits.IsZero():
			extension = min(longestLease, (l.waits.Sub(now) + together).Truncate(together))
		}
		if l.until.Sub(now) <= extension*2/3 {
			due[extension] = append(due[extension], l)
		}
	}
	k.mu.Unlock()
	for extension, leases := range due {
		for len(leases) > 0 {
			n := min(len(leases), maxAckIDs)
			k.extend(ctx, leases[:n], extension)
			leases = leases[n:]
		}
	}
}

// extend makes one call. A lease that it fails for has further beats before it
// is over.
func (k *keeper) extend(ctx context.Context, leases []*lease, extension time.Duration) {
	ids := make([]string, len(leases))
	for i, l := range leases {
		ids[i] = l.ackID
	}
	ctx, cancel := context.WithTimeout(ctx, k.client.options.Lease/12)
	defer cancel()
	sent := k.client.options.Now()
	err := k.client.modify(ctx, k.subscription, ids, extension, once)
	if err != nil && ctx.Err() != context.Canceled {
		k.client.options.Log.Warn("cannot extend leases; trying again", "subscription", k.subscription, "leases", len(ids), "error", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		if _, held := k.leases[l]; !held {
			continue
		}
		switch {
		case err == nil:
			l.until = sent.Add(wholeSeconds(extension))
		case expired(err, l.ackID):
			k.lose(l)
		}
	}
}

// lose tells that a lease is over. k.mu is held.
func (k *keeper) lose(l *lease) {
	delete(k.leases, l)
	switch {
	case !l.waits.IsZero(): // it has come back earlier than it was to
	case l.lost != nil:
		l.lost()
	default:
		k.gone[l] = true
	}
}

// modify sets how long from now messages are leased; zero gives them back.
func (c *Client) modify(ctx context.Context, subscription string, ackIDs []string, lease time.Duration, o ...gax.CallOption) error {
	return c.subs.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: subscription, AckIds: ackIDs, AckDeadlineSeconds: int32(wholeSeconds(lease) / time.Second),
	}, o...)
}

// wholeSeconds rounds up: no wait may be too short.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

var errLeaseOver = fmt.Errorf("pubsub: the verdict comes too late: %w", workers.ErrLeaseLost)
