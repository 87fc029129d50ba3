package dag

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// run is one request being worked on. One goroutine, the loop, owns all of it:
// whatever else runs sends the loop a function to call. After each call the
// loop looks again at all that is known and starts what has become possible,
// so there is no plan to keep up to date, only facts.
type run struct {
	engine  *Engine
	store   Store // the subject's
	graph   *Graph
	req     Request
	now     func() time.Time
	started time.Time
	inputs  map[string]string // hashes by name
	page    page              // the ledger's on the subject
	targets []bool            // by index in the graph, as are all below
	forced  []bool
	facts   []facts

	ticks    int
	inflight int
	failure  *Failure // what ended the run
	cleanups []func()
	stop     context.CancelFunc

	calls chan func() // what goroutines have the loop do
	ended chan struct{}
	wait  sync.WaitGroup
}

func (r *run) loop(parent context.Context) error {
	ctx, stop := context.WithCancel(parent)
	r.stop = stop
	for {
		if ctx.Err() == nil {
			r.advance(ctx)
		}
		if r.inflight == 0 {
			break
		}
		call := <-r.calls
		if parent.Err() != nil {
			stop() // at once, so that no call takes the end of the context for a failure
		}
		call()
	}
	stop()
	close(r.ended)
	r.wait.Wait()
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
	switch {
	case r.failure != nil:
		return r.failure
	case parent.Err() != nil:
		return fmt.Errorf("run of %q stopped: %w", r.req.Subject, context.Cause(parent))
	case !r.req.Ping:
		return r.complete()
	}
	return nil
}

// advance starts all that can be started by what is known now.
func (r *run) advance(ctx context.Context) {
	r.resolve()
	wants := r.wants(r.req.Ping)
	for i, w := range wants {
		n, f := &r.graph.nodes[i], &r.facts[i]
		if w == 0 || f.key == "" || f.gap != "" {
			continue
		}
		if w&wantLive != 0 && f.ran && !f.published() {
			r.fail(classify(n.Name, Reject("published nothing", errors.New("the node ended without a value for the nodes that need it live"))))
			return
		}
		if w&wantHash != 0 && f.lookup == unasked && !n.Effect && !r.forced[i] {
			r.look(ctx, i)
		}
		if w&wantBytes != 0 && f.hash != "" && f.check == unasked {
			r.check(ctx, i)
		}
		if r.req.Ping || f.running || !r.mustRun(i, w) {
			continue
		}
		if after, ok := r.ready(i); ok {
			f.decision = Decision{Reason: r.reason(i, wants), After: after}
			r.start(ctx, i)
		}
	}
}

// look asks the store for a node's artifact, and if there is none for a gap
// that lasts.
func (r *run) look(ctx context.Context, i int) {
	f := &r.facts[i]
	f.lookup = asked
	key := f.key
	r.spawn(i, func() func() {
		store := r.store
		hash, found, err := store.Lookup(ctx, key)
		gap := ""
		if err == nil && !found {
			gap, err = lookupGap(ctx, store, key)
		}
		return func() {
			switch {
			case f.key != key || f.ran:
			case err != nil:
				r.storeFailed(ctx, i, "looking up its artifact", err)
			default:
				f.lookup, f.hash = answered, hash
				if gap != "" {
					f.gap, f.root, f.why = gap, r.graph.nodes[i].Name, gap
				}
			}
		}
	})
}

// check asks the store whether the bytes behind a hash are still there.
func (r *run) check(ctx context.Context, i int) {
	f := &r.facts[i]
	f.check = asked
	key, hash := f.key, f.hash
	r.spawn(i, func() func() {
		there, err := r.store.Has(ctx, hash)
		return func() {
			switch {
			case f.key != key || f.check == answered:
			case err != nil:
				r.storeFailed(ctx, i, "checking for its artifact", err)
			default:
				f.check, f.there = answered, there
			}
		}
	})
}

func (r *run) storeFailed(ctx context.Context, i int, doing string, err error) {
	if ctx.Err() == nil {
		r.fail(&Failure{Node: r.graph.nodes[i].Name, Kind: KindRetry, Reason: doing, Err: err})
	}
}

// fail ends the run. Only the first failure counts: those after it may be no
// more than nodes noticing that their context has ended.
func (r *run) fail(f *Failure) {
	if r.failure == nil {
		r.failure = f
		r.stop()
	}
}

// complete says whether every target has what it was wanted for, which can
// only be otherwise if this package is wrong.
func (r *run) complete() error {
	for i, wanted := range r.targets {
		f := &r.facts[i]
		if wanted && f.gap == "" && !f.there {
			return fmt.Errorf("dag: the run of %q came to rest before its target %q", r.req.Subject, r.graph.nodes[i].Name)
		}
	}
	return nil
}

// spawn does work in a goroutine of its own, and in the loop what work says is
// to be done then.
func (r *run) spawn(i int, work func() (then func())) {
	r.inflight++
	r.wait.Go(func() {
		then := work()
		r.calls <- func() {
			r.inflight--
			then()
		}
	})
}

// do has the loop call f, and returns when it has. It says whether it did:
// once the run has ended nothing can be called.
func (r *run) do(f func()) bool {
	called := make(chan struct{})
	select {
	case r.calls <- func() { defer close(called); f() }:
		<-called
		return true
	case <-r.ended:
		return false
	}
}

func (r *run) emit(e Event) { r.do(func() { r.tell(e) }) }

// tell must only be called in the loop, which is what keeps events in order.
func (r *run) tell(e Event) {
	if r.req.Observe != nil {
		r.req.Observe(e)
	}
}

func (r *run) cleanup(f func()) {
	if !r.do(func() { r.cleanups = append(r.cleanups, f) }) {
		f()
	}
}

func (r *run) tick() int {
	r.ticks++
	return r.ticks
}
