package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/earshot-fm/earshot/workers"
)

// siftBatch bounds the letters that are in memory at once.
const siftBatch = 100

// Sift implements workers.Letters, in no order. Letters that are kept stay
// leased until the pass ends, so that each is seen once, and are then given
// back; of these only the lease's id and the letter's are in memory, some 600
// bytes together. A worker that dies between filing and acknowledging files
// twice: of letters with one ID one is decided on, those that are older share its
// fate, and newer ones stay. The pass ends when no letter has come for
// Options.Silence. What another pass holds is not seen.
func (c *Client) Sift(ctx context.Context, decide func(workers.DeadLetter) (workers.Fate, error)) error {
	s := sifting{client: c, subscription: c.subscription(c.options.Names.DeadLetters), decided: map[string]decision{}}
	s.keeper = newKeeper(c, s.subscription)
	keeping, release := context.WithCancel(context.WithoutCancel(ctx))
	var heart sync.WaitGroup
	heart.Go(func() { s.keeper.run(keeping) })
	err := s.pass(ctx, decide)
	release()
	heart.Wait()
	return errors.Join(err, s.giveBack(context.WithoutCancel(ctx)))
}

// sifting is one pass over the dead letters.
type sifting struct {
	client       *Client
	subscription string
	keeper       *keeper
	decided      map[string]decision // by the letter's ID
}

// decision is what was decided on a letter that was filed at a time, by the
// service's clock.
type decision struct {
	fate  workers.Fate
	filed time.Time
}

func (s *sifting) pass(ctx context.Context, decide func(workers.DeadLetter) (workers.Fate, error)) error {
	for {
		messages, err := s.next(ctx)
		if err != nil || len(messages) == 0 {
			return err
		}
		leases := make([]*lease, len(messages))
		for i, m := range messages {
			leases[i] = s.keeper.hold(m.AckId)
		}
		for i, m := range messages {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("pubsub: look through the dead letters of %s: %w", s.subscription, context.Cause(ctx))
			}
			if err := s.one(ctx, m.GetMessage(), leases[i], decide); err != nil {
				return err
			}
		}
	}
}

// next is the letters that have come; none when it has been silent.
func (s *sifting) next(ctx context.Context) ([]*pubsubpb.ReceivedMessage, error) {
	listening, cancel := s.client.silent(ctx)
	defer cancel()
	var outage error // since the last answer
	for failures := 1; ; {
		response, err := s.client.subs.Pull(listening, &pubsubpb.PullRequest{Subscription: s.subscription, MaxMessages: siftBatch}, once)
		if messages := response.GetReceivedMessages(); len(messages) > 0 {
			return messages, nil
		}
		switch code := status.Code(err); {
		case err == nil:
			outage, failures = nil, 1
		case code != codes.DeadlineExceeded && code != codes.Canceled:
			outage = fmt.Errorf("pubsub: fetch the dead letters of %s: %w", s.subscription, advised(err))
			if refused(err) {
				return nil, outage
			}
			pause(listening, failures)
			failures++
		}
		if listening.Err() != nil {
			notice() // before letters are given back
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("pubsub: look through the dead letters of %s: %w", s.subscription, context.Cause(ctx))
		}
		if listening.Err() != nil {
			return nil, outage // an outage is no silence
		}
	}
}

// one has a letter's fate decided, unless it is, and carries it out.
func (s *sifting) one(ctx context.Context, m *pubsubpb.PubsubMessage, l *lease, decide func(workers.DeadLetter) (workers.Fate, error)) error {
	letter := s.client.letter(m)
	d, again := s.decided[letter.ID]
	if !again {
		fate, err := decide(letter)
		if err != nil {
			return err
		}
		d = decision{fate, m.GetPublishTime().AsTime()}
	} else if m.GetPublishTime().AsTime().After(d.filed) {
		return nil // what was replayed may have been rejected again
	}
	if err := s.carryOut(ctx, d.fate, letter, l, again); err != nil {
		return fmt.Errorf("pubsub: %s the dead letter %.200s of %s: %w", d.fate, letter.ID, s.subscription, err)
	}
	s.decided[letter.ID] = d
	return nil
}

func (s *sifting) carryOut(ctx context.Context, fate workers.Fate, letter workers.DeadLetter, l *lease, again bool) error {
	switch fate {
	case workers.Keep:
		return nil
	case workers.Replay:
		if again {
			break
		}
		if err := s.replay(ctx, letter); err != nil {
			return err
		}
	case workers.Drop:
	default:
		return errors.New("no such fate")
	}
	// One whose lease is over comes again, and shares this fate.
	if err := s.client.acknowledge(ctx, s.subscription, []string{l.ackID}); err != nil && !expired(err, l.ackID) {
		return advised(err)
	}
	s.keeper.let(l)
	return nil
}

func (s *sifting) replay(ctx context.Context, letter workers.DeadLetter) error {
	switch {
	case letter.Reason == workers.Malformed:
		return workers.ErrNoReplay
	case letter.Removal != nil:
		return s.client.Remove(ctx, *letter.Removal)
	default:
		return s.client.Publish(ctx, letter.Event)
	}
}

// giveBack ends the leases of what was kept. A letter for which that fails comes
// back when its lease is over.
func (s *sifting) giveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.client.settleWithin)
	defer cancel()
	kept := s.keeper.all()
	for len(kept) > 0 {
		n := min(len(kept), maxAckIDs)
		if err := s.client.modify(ctx, s.subscription, kept[:n], 0); err != nil {
			return fmt.Errorf("pubsub: give back %d dead letters of %s that were kept (they come back within %s): %w", len(kept), s.subscription, s.client.options.Lease, err)
		}
		kept = kept[n:]
	}
	return nil
}
