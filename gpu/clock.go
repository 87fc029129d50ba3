package gpu

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/earshot-fm/earshot/models"
)

// clock measures the time that one run spends inside its sessions.
type clock struct {
	sessions models.Sessions
	spent    atomic.Int64
}

func newClock(sessions models.Sessions) *clock {
	c := &clock{sessions: models.Sessions{}}
	for name, s := range sessions {
		c.sessions[name] = clockedSession{Session: s, clock: c}
	}
	return c
}

func (c *clock) inside() time.Duration { return time.Duration(c.spent.Load()) }

type clockedSession struct {
	models.Session
	clock *clock
}

func (s clockedSession) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	began := time.Now()
	defer func() { s.clock.spent.Add(int64(time.Since(began))) }()
	return s.Session.Run(ctx, inputs)
}
