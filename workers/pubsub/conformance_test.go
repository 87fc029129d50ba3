package pubsub

import (
	"context"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

func TestConformance(t *testing.T) {
	lanes := map[episode.Priority]func(*Client) *Source{episode.Live: (*Client).Live, episode.Backlog: (*Client).Backlog}
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		for priority, lane := range lanes {
			for _, encoding := range []message.Encoding{message.Binary, message.JSON} {
				t.Run(string(priority)+" "+string(encoding), func(t *testing.T) {
					workerstest.Run(t, func(t *testing.T) workerstest.Harness {
						c := quick(t, open(t, address(t), Options{Encoding: encoding}))
						return workerstest.Harness{Source: lane(c), Publish: func(ctx context.Context, e episode.Event) error {
							e.Priority = priority
							return c.Publish(ctx, e)
						}}
					})
				})
			}
		}
	})
}

func TestLettersConformance(t *testing.T) {
	eachService(t, func(t *testing.T, address func(*testing.T) string) {
		workerstest.RunLetters(t, func(t *testing.T) workerstest.LettersHarness {
			c := quick(t, open(t, address(t), Options{}))
			return workerstest.LettersHarness{Letters: counting(c), Sources: []workers.Source{c.Live(), c.Backlog(), c.Removals()}}
		})
	})
}

// counted knows how many letters there are, so that it is no clock that says
// when all have come.
type counted struct {
	*Client
	letters, seen int
}

func counting(c *Client) *counted {
	k := &counted{Client: c}
	c.silent = func(ctx context.Context) (context.Context, context.CancelFunc) {
		if k.seen < k.letters {
			return context.WithCancel(ctx)
		}
		return context.WithTimeout(ctx, 100*time.Millisecond) // for one that should not come
	}
	return k
}

func (k *counted) File(ctx context.Context, l workers.DeadLetter) error {
	err := k.Client.File(ctx, l)
	if err == nil {
		k.letters++
	}
	return err
}

func (k *counted) Sift(ctx context.Context, decide func(workers.DeadLetter) (workers.Fate, error)) error {
	k.seen = 0
	taken, last := 0, false
	err := k.Client.Sift(ctx, func(l workers.DeadLetter) (workers.Fate, error) {
		k.seen++
		fate, err := decide(l)
		if last = err == nil && fate != workers.Keep; last {
			taken++
		}
		return fate, err
	})
	if err != nil && last { // it was not carried out
		taken--
	}
	k.letters -= taken
	return err
}
