// Package lease chooses a leader among replicas in Kubernetes by a Lease
// object (coordination.k8s.io/v1), as Kubernetes' own controllers do: the
// leader renews the Lease, and who sees it unchanged for as long as it is to
// last takes it over. Clocks of different machines are not compared. A leader
// that cannot renew stops before another can begin, as long as its process
// runs; one that was frozen for longer than a Lease lasts may go on for a
// moment when it wakes, so that what leaders write should be conditional.
package lease

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"github.com/earshot-fm/earshot/workers/lead"
)

// Options are the leader's settings; Name is needed, and the zero value of each
// other is its default.
type Options struct {
	Namespace, Name string // the Lease's; without a namespace, that of the pod
	Identity        string // of this replica, the pod's name; zero: the host's name, which in a pod is the same

	Duration time.Duration // that a Lease lasts unless renewed, whole seconds; zero: 15 s
	Deadline time.Duration // after the last renewal, when a leader gives up; what remains of Duration is for work to return in. Zero: two thirds of Duration
	Retry    time.Duration // between renewals, and between a follower's looks; zero: 2 s

	Log *slog.Logger // nil: discarded
}

// podNamespace is where Kubernetes tells a pod its namespace.
const podNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Leader is a candidate for one Lease. It implements lead.Leader.
type Leader struct {
	api     *api
	options Options
}

var _ lead.Leader = (*Leader)(nil)

// New returns a candidate. The service account needs get, create and update on
// leases of coordination.k8s.io in the namespace.
func New(config *rest.Config, o Options) (*Leader, error) {
	if o.Duration <= 0 {
		o.Duration = 15 * time.Second
	}
	if o.Deadline <= 0 {
		o.Deadline = o.Duration * 2 / 3
	}
	if o.Retry <= 0 {
		o.Retry = 2 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("lease: who this replica is: %w", err)
		}
		o.Identity = host
	}
	if o.Namespace == "" {
		namespace, err := os.ReadFile(podNamespace)
		if err != nil {
			return nil, fmt.Errorf("lease: the Lease needs a namespace, since this is no pod: %w", err)
		}
		o.Namespace = string(bytes.TrimSpace(namespace))
	}
	switch {
	case o.Name == "":
		return nil, errors.New("lease: the Lease needs a name")
	case o.Duration%time.Second != 0:
		return nil, fmt.Errorf("lease: a Lease lasts whole seconds, not %v", o.Duration)
	case o.Deadline >= o.Duration || o.Retry >= o.Deadline:
		return nil, fmt.Errorf("lease: want retry (%v) < deadline (%v) < duration (%v)", o.Retry, o.Deadline, o.Duration)
	}
	a, err := newAPI(config, o.Namespace, o.Name)
	if err != nil {
		return nil, err
	}
	return &Leader{api: a, options: o}, nil
}

// Lead implements lead.Leader. A Kubernetes that does not answer is waited
// for; one that at first says that this service account may not use Leases is
// an error.
func (l *Leader) Lead(ctx context.Context, work func(ctx context.Context) error) error {
	for first := true; ; first = false {
		held, err := l.acquire(ctx, first)
		if err != nil {
			return err
		}
		if held == nil {
			return nil // ctx ended
		}
		l.options.Log.Info("leading", "lease", l.options.Name, "identity", l.options.Identity)
		err, lost := l.hold(ctx, held, work)
		if lost {
			l.options.Log.Warn("leadership was lost", "lease", l.options.Name, "identity", l.options.Identity)
			continue
		}
		l.release(context.WithoutCancel(ctx), held)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// tenure is a Lease that is ours.
type tenure struct {
	lease *leaseObject
	until time.Time // when to give up without another renewal
}

// acquire waits for the Lease; nil: ctx ended.
func (l *Leader) acquire(ctx context.Context, first bool) (*tenure, error) {
	var seen observation
	for ctx.Err() == nil {
		held, err := l.attempt(ctx, &seen)
		if held != nil {
			return held, nil
		}
		if first && (is(err, http.StatusForbidden) || is(err, http.StatusUnauthorized)) {
			return nil, fmt.Errorf("lease: %w (the service account needs get, create and update on leases.coordination.k8s.io in namespace %s)", err, l.options.Namespace)
		}
		if err == nil {
			first = false
		} else if ctx.Err() == nil {
			l.options.Log.Warn("the lease cannot be had", "lease", l.options.Name, "error", err)
		}
		// Jitter, so that followers do not ask in step.
		wait(ctx, l.options.Retry+time.Duration(rand.Int64N(int64(l.options.Retry)/4+1)))
	}
	return nil, nil
}

// observation is a Lease as it was last seen, and when it was first seen so.
type observation struct {
	version string
	at      time.Time
}

// attempt takes the Lease if it is free; nil without an error: another has it.
func (l *Leader) attempt(ctx context.Context, seen *observation) (*tenure, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Deadline)
	defer cancel()
	began := time.Now()
	there, err := l.api.get(ctx)
	if is(err, http.StatusNotFound) {
		return l.write(ctx, began, l.api.create, l.mine(nil))
	}
	if err != nil {
		return nil, err
	}
	if there.ResourceVersion != seen.version {
		*seen = observation{there.ResourceVersion, time.Now()}
	}
	if holder := deref(there.Spec.HolderIdentity); holder != "" && holder != l.options.Identity {
		lasts := l.options.Duration
		if s := there.Spec.LeaseDurationSeconds; s != nil {
			lasts = time.Duration(*s) * time.Second
		}
		if time.Since(seen.at) < lasts {
			return nil, nil
		}
	}
	began = time.Now()
	return l.write(ctx, began, l.api.update, l.mine(there))
}

// write makes the Lease ours, if nobody else changed it in between.
func (l *Leader) write(ctx context.Context, began time.Time, write func(context.Context, *leaseObject) (*leaseObject, error), want *leaseObject) (*tenure, error) {
	got, err := write(ctx, want)
	if is(err, http.StatusConflict) {
		return nil, nil // another was faster
	}
	if err != nil {
		return nil, err
	}
	return &tenure{lease: got, until: began.Add(l.options.Deadline)}, nil
}

// hold runs work and renews the Lease until work has returned; lost says that
// the Lease was lost before.
func (l *Leader) hold(ctx context.Context, held *tenure, work func(ctx context.Context) error) (err error, lost bool) {
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// Renewing goes on while work ends because ctx did.
	renewing, stopRenewing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRenewing()
	done := make(chan error, 1)
	go func() {
		done <- work(working)
		stopRenewing()
	}()
	for {
		timer := time.NewTimer(min(l.options.Retry, time.Until(held.until)))
		select {
		case err := <-done:
			timer.Stop()
			return err, false
		case <-timer.C:
		}
		l.renew(renewing, held)
		if renewing.Err() != nil {
			return <-done, false
		}
		if time.Until(held.until) <= 0 {
			stop(errLost)
			return <-done, true
		}
	}
}

var errLost = errors.New("lease: leadership was lost")

// renew extends the tenure; where that fails it stays as it was, and is over
// when another has the Lease.
func (l *Leader) renew(ctx context.Context, held *tenure) {
	ctx, cancel := context.WithDeadline(ctx, held.until)
	defer cancel()
	began := time.Now()
	got, err := l.api.update(ctx, l.mine(held.lease))
	if is(err, http.StatusConflict) || is(err, http.StatusNotFound) {
		// Someone wrote to it: another leader, who ends this tenure, or an
		// operator who put a label on it.
		got, err = l.api.get(ctx)
		if is(err, http.StatusNotFound) || err == nil && deref(got.Spec.HolderIdentity) != l.options.Identity {
			held.until = began
			return
		}
		if err == nil {
			got, err = l.api.update(ctx, l.mine(got))
		}
	}
	if err == nil {
		held.lease, held.until = got, began.Add(l.options.Deadline)
	} else if ctx.Err() == nil {
		l.options.Log.Warn("the lease could not be renewed", "lease", l.options.Name, "error", err)
	}
}

// release lets the next leader begin at once.
func (l *Leader) release(ctx context.Context, held *tenure) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Retry)
	defer cancel()
	free := l.mine(held.lease)
	free.Spec.HolderIdentity = new("")
	if _, err := l.api.update(ctx, free); err != nil {
		l.options.Log.Warn("the lease could not be given back: the next leader waits for its end", "lease", l.options.Name, "error", err)
	}
}

// mine is the Lease held by this replica from now on.
func (l *Leader) mine(there *leaseObject) *leaseObject {
	now := microTime(time.Now())
	next := &leaseObject{}
	if there == nil {
		next.Namespace, next.Name = l.options.Namespace, l.options.Name
	} else {
		next = there.DeepCopy()
	}
	if deref(next.Spec.HolderIdentity) != l.options.Identity {
		if there != nil {
			next.Spec.LeaseTransitions = new(deref(next.Spec.LeaseTransitions) + 1)
		}
		next.Spec.AcquireTime = now
	}
	next.Spec.HolderIdentity = new(l.options.Identity)
	next.Spec.LeaseDurationSeconds = new(int32(l.options.Duration / time.Second))
	next.Spec.RenewTime = now
	return next
}

func deref[T cmp.Ordered](p *T) (zero T) {
	if p == nil {
		return zero
	}
	return *p
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
