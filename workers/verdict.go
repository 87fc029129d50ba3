package workers

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Outcome is how an event that is done ended.
type Outcome string

const (
	// Enriched: every effect that the event asks for is done.
	Enriched Outcome = "enriched"
	// Overtaken: a newer revision of the episode is there already.
	Overtaken Outcome = "overtaken"
	// Removed: the episode is gone from everywhere.
	Removed Outcome = "removed"
	// Passed: the event is for other recipients than this worker.
	Passed Outcome = "passed"
)

// Kind says what becomes of a delivery.
type Kind string

const (
	// Done: acknowledge, for ever.
	Done Kind = "done"
	// Retry: deliver again, not before After has passed; counts as a failure.
	Retry Kind = "retry"
	// Reject: acknowledge; the dead letter has been filed.
	Reject Kind = "reject"
	// Release: deliver again, not before After has passed, to anyone; counts as
	// nothing.
	Release Kind = "release"
)

// Verdict is what becomes of a delivery.
type Verdict struct {
	Kind    Kind
	Outcome Outcome       // of Done
	After   time.Duration // of Retry and Release
	Node    string        // of Reject: the step that rejected, where one did
	Reason  string        // of Reject: short and stable
	Err     error         // of all but Done
}

func (v Verdict) String() string {
	switch v.Kind {
	case Done:
		return string(v.Outcome)
	case Retry:
		return fmt.Sprintf("retry after %s: %v", v.After, v.Err)
	case Reject:
		return fmt.Sprintf("rejected: %s: %v", v.Reason, v.Err)
	case Release:
		if v.After > 0 {
			return fmt.Sprintf("%s, not before %s: %v", v.Kind, v.After, v.Err)
		}
		fallthrough
	default:
		return fmt.Sprintf("%s: %v", v.Kind, v.Err)
	}
}

// Rejected makes err permanent: the event becomes a dead letter with this
// reason, and is never tried again by itself. node is the step that gave up,
// and may be empty.
func Rejected(node, reason string, err error) error {
	return &rejection{node: node, reason: reason, err: err}
}

// RetryAfter makes err transient with a wait that the failing side asked for
// (a Retry-After header, say); it replaces the worker's own backoff when longer.
func RetryAfter(after time.Duration, err error) error {
	return &postponement{after: after, err: err}
}

// Outage says that something all episodes need is away: a service, or room on a
// disk. The delivery is released and comes back after a wait, which grows with
// the outage and is at least after. It is never a reason to give an episode up,
// however long it lasts.
func Outage(after time.Duration, err error) error { return &outage{after: after, err: err} }

// Broken says that this process can do no more work (a device that needs a
// fresh process): the delivery is released, the worker drains, and Run returns
// err so that main can exit with the code that says so.
func Broken(err error) error { return &breakage{err: err} }

type rejection struct {
	node, reason string
	err          error
}

func (e *rejection) Unwrap() error { return e.err }
func (e *rejection) Error() string {
	if e.err == nil {
		return e.reason
	}
	return e.err.Error()
}

type postponement struct {
	after time.Duration
	err   error
}

func (e *postponement) Unwrap() error { return e.err }
func (e *postponement) Error() string { return fmt.Sprintf("%v (retry after %s)", e.err, e.after) }

type outage struct {
	after time.Duration
	err   error
}

func (e *outage) Unwrap() error { return e.err }
func (e *outage) Error() string { return e.err.Error() }

type breakage struct{ err error }

func (e *breakage) Unwrap() error { return e.err }
func (e *breakage) Error() string { return e.err.Error() }

// judge turns what an enrichment returned into a verdict, before attempts are
// counted. Any error that says nothing of itself is transient.
func judge(outcome Outcome, err error) Verdict {
	var (
		reject  *rejection
		later   *postponement
		breaks  *breakage
		away    *outage
		yields  *yield
		verdict = Verdict{Kind: Retry, Err: err}
	)
	switch {
	case err == nil && !slices.Contains([]Outcome{Enriched, Overtaken, Removed, Passed}, outcome):
		err = fmt.Errorf("workers: an enrichment ended with outcome %q and no error", outcome)
		verdict = Verdict{Kind: Reject, Reason: "internal error", Err: err}
	case err == nil:
		verdict = Verdict{Kind: Done, Outcome: outcome}
	case errors.As(err, &breaks):
		verdict.Kind = Release
	case errors.As(err, &reject):
		verdict = Verdict{Kind: Reject, Node: reject.node, Reason: reject.reason, Err: err}
	case errors.As(err, &yields):
		verdict.Kind, verdict.After = Release, yields.after
	case errors.As(err, &away):
		verdict.Kind, verdict.After = Release, away.after
	case errors.As(err, &later):
		verdict.After = later.after
	}
	return verdict
}
