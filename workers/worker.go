package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Enrich does all that a delivery asks for and returns only when every effect
// is done. Errors made by Rejected, RetryAfter, Outage and Broken say what becomes
// of the delivery; any other error is tried again. It stops soon after ctx ends.
type Enrich func(ctx context.Context, d Delivery) (Outcome, error)

// Options are the worker's settings; the zero value of each is its default.
type Options struct {
	Grace         time.Duration // what runs may finish for this long after a stop; zero: 30 s
	MaxFailures   int           // this many failures make a dead letter; zero: 5
	MaxDeliveries int           // this many deliveries without an end do too; zero: 25
	Backoff       Backoff
	Now           func() time.Time // nil: time.Now
	Random        *rand.Rand       // jitter; nil: seeded by the runtime
	Log           *slog.Logger     // nil: discarded

	// Name is this worker's, which an event's recipients may name. Events for
	// others are passed by.
	Name string

	// Remove takes an episode down, as Delivery.Removal says; its errors are as
	// Enrich's. nil: removals are rejected.
	Remove Enrich

	// Heads let a newer edition, or a takedown, end work on an older one. nil:
	// what is in flight goes on, and the sinks keep the newer.
	Heads Heads

	// HeadPoll is how often work in flight looks for newer editions that other
	// processes were told of. Zero: 5 s.
	HeadPoll time.Duration

	// Discard removes what was kept of an event whose episode was taken down
	// while it was in flight, or before it came. May be nil.
	Discard func(ctx context.Context, d Delivery) error

	// Observe is told each verdict before the source acts on it, from many
	// goroutines at once. May be nil.
	Observe func(d Delivery, v Verdict, took time.Duration)
}

// Lane is a source and how many of its events may be in work at once.
type Lane struct {
	Name   string
	Source Source
	Slots  int
}

// Worker runs an enrichment on what its lanes deliver.
type Worker struct {
	enrich  Enrich
	letters DeadLetters
	options Options

	randomMu sync.Mutex
	spell    spell
	flights  flights
}

// New returns a worker that files rejections in letters.
func New(enrich Enrich, letters DeadLetters, o Options) *Worker {
	if o.Grace <= 0 {
		o.Grace = 30 * time.Second
	}
	if o.MaxFailures <= 0 {
		o.MaxFailures = 5
	}
	if o.MaxDeliveries <= 0 {
		o.MaxDeliveries = 25
	}
	if o.HeadPoll <= 0 {
		o.HeadPoll = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Delivery, Verdict, time.Duration) {}
	}
	return &Worker{enrich: enrich, letters: letters, options: o}
}

// errGraceOver cancels what still runs when the grace of a stop has passed.
var errGraceOver = errors.New("workers: stopping, and the grace for what was running is over")

// Run works on all lanes until ctx ends, every source is exhausted, one of
// them fails, or an enrichment reports Broken. It then drains: no new
// deliveries, what runs has the grace to finish, the rest is cancelled and
// released. Run returns when all of that is over: nil after a stop or when the
// sources are exhausted, else the errors that ended it.
func (w *Worker) Run(ctx context.Context, lanes ...Lane) error {
	for _, l := range lanes {
		if l.Slots < 1 {
			return fmt.Errorf("workers: lane %q: %d slots; at least one is needed", l.Name, l.Slots)
		}
	}
	taking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	working, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)

	var lanesDone sync.WaitGroup
	failures := make(chan error, len(lanes))
	for _, l := range lanes {
		lanesDone.Go(func() {
			err := l.Source.Receive(taking, l.Slots, func(ctx context.Context, d Delivery) Verdict {
				return w.handle(ctx, working, stop, d)
			})
			if err != nil && taking.Err() == nil {
				err = fmt.Errorf("workers: lane %q: %w", l.Name, err)
				w.options.Log.Error("a source failed; draining", "lane", l.Name, "error", err)
				failures <- err
				stop(err)
			}
		})
	}
	finished := make(chan struct{})
	var grace sync.WaitGroup
	grace.Go(func() {
		select {
		case <-finished:
			return
		case <-taking.Done():
		}
		timer := time.NewTimer(w.options.Grace)
		defer timer.Stop()
		select {
		case <-finished:
		case <-timer.C:
			w.options.Log.Warn("grace over; handing back what still runs", "grace", w.options.Grace)
			abort(errGraceOver)
		}
	})
	lanesDone.Wait()
	close(finished)
	grace.Wait()
	close(failures)

	var all []error
	for err := range failures {
		all = append(all, err)
	}
	var breaks *breakage
	if cause := context.Cause(taking); errors.As(cause, &breaks) {
		all = append(all, breaks.err)
	}
	return errors.Join(all...)
}

// handle runs one delivery to its verdict. ctx is the source's, working ends
// when the grace of a stop is over.
func (w *Worker) handle(ctx, working context.Context, stop context.CancelCauseFunc, d Delivery) Verdict {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(working, func() { cancel(context.Cause(working)) })()

	began := w.options.Now()
	verdict := w.decide(ctx, stop, d)
	if verdict.Kind == Reject {
		err := w.file(ctx, d, verdict)
		if err == nil {
			err = w.retract(context.WithoutCancel(ctx), d)
		}
		if err != nil {
			verdict = Verdict{Kind: Retry, Err: err, After: w.wait(d.Failures + 1)}
		}
	}
	w.options.Observe(d, verdict, w.options.Now().Sub(began))
	w.log(d, verdict)
	return verdict
}

func (w *Worker) decide(ctx context.Context, stop context.CancelCauseFunc, d Delivery) Verdict {
	// A takedown is tried until it is done: nobody may look at dead letters soon.
	endless := d.Removal != nil && d.Malformed == nil
	if d.Attempt > w.options.MaxDeliveries && !endless && !w.waits(ctx, d) {
		return Verdict{Kind: Reject, Reason: "never finished",
			Err: fmt.Errorf("delivered %d times and no worker came to an end with it; it may be what takes them down", d.Attempt-1)}
	}
	work, malformed := w.enrich, d.Malformed
	switch {
	case malformed != nil:
	case d.Removal != nil:
		work, malformed = w.options.Remove, d.Removal.Check()
		if work == nil {
			return Verdict{Kind: Reject, Reason: "no takedowns here", Err: errors.New("this worker takes no episodes down")}
		}
	default:
		malformed = d.Event.Check()
	}
	if malformed != nil {
		return Verdict{Kind: Reject, Reason: Malformed, Err: malformed}
	}
	if to := d.Event.Control.Recipients; to != nil && !slices.Contains(to, w.options.Name) {
		return Verdict{Kind: Done, Outcome: Passed}
	}
	outcome, err := w.guarded(ctx, d, work)
	verdict := judge(outcome, err)
	if _, broken := errors.AsType[*breakage](err); broken {
		stop(err)
		return verdict
	}
	if verdict.Kind == Done {
		w.spell.end()
		return verdict
	}
	if ctx.Err() != nil { // whatever failed may have failed for that
		return Verdict{Kind: Release, Err: context.Cause(ctx)}
	}
	switch verdict.Kind {
	case Reject:
		return verdict
	case Release:
		if _, yields := errors.AsType[*yield](err); !yields {
			verdict.After = max(verdict.After, w.spellWait())
		}
		return verdict
	}
	failures := d.Failures + 1
	if failures >= w.options.MaxFailures && !endless {
		return Verdict{Kind: Reject, Reason: "failed too often",
			Err: fmt.Errorf("failed %d times, the last time with: %w", failures, err)}
	}
	verdict.After = max(verdict.After, w.wait(failures))
	return verdict
}

// waits says whether a delivery comes so often only because it waits for how a
// newer edition ends.
func (w *Worker) waits(ctx context.Context, d Delivery) bool {
	if w.options.Heads == nil || d.Malformed != nil || !whole(d) {
		return false
	}
	now, err := w.options.Heads.Look(ctx, d.Event.ID)
	return err == nil && (now.Begun > d.Event.Revision || now.Shown.Supersedes(edition(d)))
}

// guarded keeps a panic of one episode from ending the others.
func (w *Worker) guarded(ctx context.Context, d Delivery, work Enrich) (outcome Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Rejected("", "internal error", fmt.Errorf("workers: enriching %s panicked: %v\n%s", d.Event.ID, p, debug.Stack()))
		}
	}()
	return w.current(ctx, d, work)
}

// file keeps the rejection even when the delivery's own context has ended:
// the verdict is known, and losing it would mean doing the work again.
func (w *Worker) file(ctx context.Context, d Delivery, v Verdict) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	letter := DeadLetter{
		ID: LetterID(d), Event: d.Event, Removal: d.Removal, Raw: d.Raw,
		Node: v.Node, Reason: v.Reason, Attempts: d.Attempt, Filed: w.options.Now().UTC(),
	}
	if v.Err != nil {
		letter.Detail = v.Err.Error()
	}
	if err := w.letters.File(ctx, letter); err != nil {
		return fmt.Errorf("workers: file the dead letter of %s: %w", d.Event.ID, err)
	}
	return nil
}

func (w *Worker) wait(failure int) time.Duration {
	w.randomMu.Lock()
	defer w.randomMu.Unlock()
	return w.options.Backoff.Wait(failure, w.options.Random)
}

// spellWait is the pause of a delivery that an outage ended: between half and
// all of the time for which the outage has lasted, within the bounds of the
// backoff.
func (w *Worker) spellWait() time.Duration {
	lasted := w.spell.lasted(w.options.Now())
	w.randomMu.Lock()
	defer w.randomMu.Unlock()
	bound := w.options.Backoff.within(lasted)
	return bound/2 + time.Duration(w.options.Random.Int64N(int64(bound/2)+1))
}

// spell is a time in which work ended in outages and nothing was done.
type spell struct {
	mu    sync.Mutex
	since time.Time // zero: there is none
}

func (s *spell) lasted(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = now
	}
	return now.Sub(s.since)
}

func (s *spell) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

func (w *Worker) log(d Delivery, v Verdict) {
	log := w.options.Log.With("episode", d.Event.ID, "revision", d.Event.Revision, "attempt", d.Attempt)
	switch v.Kind {
	case Done:
		log.Info("done", "outcome", v.Outcome)
	case Reject:
		log.Error("rejected", "node", v.Node, "reason", v.Reason, "error", v.Err)
	case Retry:
		log.Warn("to be tried again", "after", v.After, "error", v.Err)
	case Release:
		level := slog.LevelInfo
		if v.After > 0 {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "handed back", "after", v.After, "error", v.Err)
	}
}
