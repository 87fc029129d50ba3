// Package purge is what the drivers that purge a CDN have in common: sending a
// request so that an answer becomes an error or none, trying again what may
// pass, and the addresses that a cache knows an origin's names by.
package purge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Refusal is a CDN's answer that the purge was not accepted.
type Refusal struct {
	Status int           // HTTP status
	Detail string        // what the CDN said of it
	After  time.Duration // how long it asks to wait before the next try; zero: it does not say
	Passes bool          // whether trying again may help
}

func (r *Refusal) Error() string {
	said := fmt.Sprintf("it answered %d %s", r.Status, http.StatusText(r.Status))
	if r.Detail != "" {
		said += ": " + r.Detail
	}
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		said += " (the credentials were refused: give some that are valid and may purge)"
	}
	return said
}

// passes tells statuses of load and faults from those of a wrong request.
func passes(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 && status != http.StatusNotImplemented
}

// retryAfter reads the header of RFC 9110, section 10.2.3.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 && seconds < 1<<30 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// Retry says how what may pass is tried again. The zero value of each field is
// its default.
type Retry struct {
	Attempts int           // all in all; zero: 5
	First    time.Duration // the wait before the second attempt, which doubles with each further one; zero: 500 ms
	Longest  time.Duration // a CDN that asks to wait for longer is given up; zero: 30 s

	Wait func(ctx context.Context, d time.Duration) error // nil: by the clock
}

// Do calls attempt until it succeeds, fails for good, or there is no more
// point in trying. A Refusal says itself whether it passes; other errors are
// those of a connection, which do.
func (r Retry) Do(ctx context.Context, attempt func(ctx context.Context) error) error {
	attempts, wait, longest := r.Attempts, r.First, r.Longest
	if attempts <= 0 {
		attempts = 5
	}
	if wait <= 0 {
		wait = 500 * time.Millisecond
	}
	if longest <= 0 {
		longest = 30 * time.Second
	}
	sleep := r.Wait
	if sleep == nil {
		sleep = byClock
	}
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		pause := wait/2 + rand.N(wait/2+1) // so that many do not come back at once
		if refusal, ok := errors.AsType[*Refusal](err); ok {
			if !refusal.Passes {
				return err
			}
			pause = max(pause, refusal.After)
		}
		if n == attempts {
			return fmt.Errorf("given up after %d attempts: %w", n, err)
		}
		if deadline, ok := ctx.Deadline(); pause > longest || ok && time.Until(deadline) < pause {
			return fmt.Errorf("given up, since the next attempt would have to wait %s: %w", pause.Round(time.Millisecond), err)
		}
		if sleep(ctx, pause) != nil {
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		wait = min(2*wait, longest)
	}
}

func byClock(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
