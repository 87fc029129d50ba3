package pubsub

import (
	"context"
	"errors"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/earshot-fm/earshot/workers"
)

// Source is one subscription. Messages are fetched by Pull, as many as there
// are free slots: none waits here while another worker has nothing to do, and a
// message that waits to be tried again takes no slot.
type Source struct {
	client       *Client
	subscription string // projects/…/subscriptions/…
	lane         lane
	tallies      *tallies
}

func newSource(c *Client, id string, l lane) *Source {
	return &Source{client: c, subscription: c.subscription(id), lane: l, tallies: newTallies(maxTallies)}
}

// Receive implements workers.Source. Several may run at once, in one process or
// in many. A service that is down, busy or refuses for a while does not end it;
// one that refuses from the start, or for refusalsLast, does.
func (s *Source) Receive(ctx context.Context, slots int, handle workers.Handler) error {
	working := context.WithoutCancel(ctx)
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)

	k := newKeeper(s.client, s.subscription)
	keeping, release := context.WithCancel(working)
	var heart sync.WaitGroup
	heart.Go(func() { k.run(keeping) })

	var running sync.WaitGroup
	free := make(chan struct{}, slots)
	for range slots {
		free <- struct{}{}
	}
	err := s.each(taking, free, k, func(m *pubsubpb.ReceivedMessage, l *lease) {
		running.Go(func() {
			if err := s.work(working, k, m, l, handle); err != nil {
				stop(err)
			}
			free <- struct{}{}
		})
	})
	running.Wait()
	release()
	heart.Wait()
	if cause := context.Cause(taking); err == nil && ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// each starts work on every message that comes while slots are free, until ctx
// ends.
func (s *Source) each(ctx context.Context, free chan struct{}, k *keeper, start func(*pubsubpb.ReceivedMessage, *lease)) error {
	p := puller{client: s.client, subscription: s.subscription}
	for {
		n, ok := takeAll(ctx, free)
		if !ok {
			return nil
		}
		messages, err := p.pull(ctx, n)
		if err != nil {
			return err
		}
		for range n - len(messages) {
			free <- struct{}{}
		}
		for _, m := range messages {
			start(m, k.hold(m.AckId))
		}
	}
}

// takeAll waits for a free slot and takes all there are; false when ctx ended
// first.
func takeAll(ctx context.Context, free <-chan struct{}) (n int, ok bool) {
	select {
	case <-ctx.Done():
		return 0, false
	case <-free:
	}
	if ctx.Err() != nil {
		return 0, false
	}
	for n = 1; ; n++ {
		select {
		case <-free:
		default:
			return n, true
		}
	}
}

// work handles one message with its lease kept, and acts on the verdict.
func (s *Source) work(ctx context.Context, k *keeper, m *pubsubpb.ReceivedMessage, l *lease, handle workers.Handler) error {
	handling, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	k.onLoss(l, func() { lost(workers.ErrLeaseLost) })

	d := s.delivery(m)
	verdict := handle(handling, d)
	s.tallies.note(m.GetMessage().GetMessageId(), verdict.Kind)
	return s.settle(ctx, k, l, verdict)
}
