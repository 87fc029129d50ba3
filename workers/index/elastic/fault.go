package elastic

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	es "github.com/olivere/elastic/v7"
)

// fault is why a request, or one item of it, was not done.
type fault struct {
	node   string
	status int    // zero: no answer, or none that can be read
	kind   string // Elasticsearch's type of exception
	reason string
	after  time.Duration // Retry-After
	err    error         // without an answer
}

func (f *fault) Error() string {
	where := "elasticsearch"
	if f.node != "" {
		where += " at " + f.node
	}
	switch {
	case f.err != nil:
		return fmt.Sprintf("%s: %v", where, f.err)
	case f.kind == "":
		return fmt.Sprintf("%s: %d %s", where, f.status, http.StatusText(f.status))
	}
	hint := ""
	switch {
	case f.kind == "index_not_found_exception":
		hint = " (run `earshot index create`)"
	case f.blocked() && f.status == http.StatusTooManyRequests:
		hint = " (its disk is full: make room)"
	case f.blocked():
		hint = " (another index takes its place; if that was cut short, run `earshot index swap` again)"
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		hint = " (look at the credentials and what they allow)"
	}
	return fmt.Sprintf("%s: %d %s: %.300s%s", where, f.status, f.kind, f.reason, hint)
}

func (f *fault) Unwrap() error { return f.err }

// blocked: writing to the index is forbidden, as while another takes its place.
func (f *fault) blocked() bool { return f.kind == "cluster_block_exception" }

// transient: the same request may well go through later.
func (f *fault) transient() bool {
	return f.status == 0 || f.status == http.StatusRequestTimeout || f.status == http.StatusTooManyRequests ||
		f.status >= http.StatusInternalServerError || f.blocked()
}

// refusal: the document can never be taken.
func (f *fault) refusal() bool {
	return f.status == http.StatusBadRequest || f.status == http.StatusRequestEntityTooLarge
}

func isStatus(err error, status int) bool {
	f, ok := errors.AsType[*fault](err)
	return ok && f.status == status
}

// Attempts at one request, and the pauses between them.
const (
	attempts     = 6
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// call makes one request, and makes it again while that may help: pauses have
// full jitter, double up to longestPause, and are no shorter than Retry-After
// asks. do must not keep what it did when it failed.
func (x *Index) call(ctx context.Context, do func(context.Context) error) error {
	for n := 1; ; n++ {
		err := x.once(ctx, do)
		f, ok := errors.AsType[*fault](err)
		if err == nil || !ok || !f.transient() || n == attempts || f.after > longestPause {
			return err
		}
		if err := x.pause(ctx, max(f.after, backoff(n))); err != nil {
			return errors.Join(err, f)
		}
	}
}

func backoff(failures int) time.Duration {
	return time.Duration(rand.Int64N(int64(min(firstPause<<(failures-1), longestPause)) + 1))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once makes one request within the timeout; its error is a *fault, or that of
// ctx.
func (x *Index) once(ctx context.Context, do func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, x.options.Timeout)
	defer cancel()
	within, note := withAttempt(within)
	err := do(within)
	switch {
	case err == nil && note.err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case note.err != nil:
		return &fault{node: note.node, err: note.err, after: note.after}
	case within.Err() != nil:
		return &fault{node: note.node, err: fmt.Errorf("no answer within %s", x.options.Timeout)}
	}
	if f, ok := errors.AsType[*fault](err); ok {
		f.node, f.after = note.node, note.after
		return f
	}
	answer, ok := errors.AsType[*es.Error](err)
	if !ok {
		return &fault{node: note.node, err: fmt.Errorf("its answer cannot be read: %w", err), after: note.after}
	}
	f := &fault{node: note.node, status: answer.Status, after: note.after}
	if d := answer.Details; d != nil {
		f.kind, f.reason = d.Type, reason(d)
	}
	return f
}

// reason is what went wrong, down to its cause.
func reason(d *es.ErrorDetails) string {
	text := d.Reason
	for cause := d.CausedBy; cause != nil; cause, _ = cause["caused_by"].(map[string]any) {
		if why, _ := cause["reason"].(string); why != "" {
			text += ": " + why
		}
	}
	return text
}
