package dag

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
)

// publication is the live value of one start of a node. Its fields belong to
// the loop; outcome may be read by anyone once done is closed.
type publication struct {
	node    string
	value   any
	open    bool // the value is there
	done    chan struct{}
	outcome error
}

// maxVain bounds how often a node starts again since a need's bytes were gone
// when it read them, or since a node it needs live did. More than once or
// twice and the store is not keeping what it is given.
const maxVain = 4

// result is what one start of a node came to.
type result struct {
	hash    string
	body    []byte // what the hash stands for, where it is small and at hand
	own     bool
	nothing bool
	vain    bool // the node has to start again: what it read live was cut off
	err     error
}

// start runs a node whose needs are all at hand.
func (r *run) start(ctx context.Context, i int) {
	n, f := &r.graph.nodes[i], &r.facts[i]
	t := r.task(i)
	f.running = true
	f.live = t.live
	begun := r.now()
	f.decision.Queued = begun.Sub(r.started)
	r.tell(Event{Node: n.Name, Kind: Started})
	r.spawn(i, func() func() {
		res := t.make(ctx, n, r.forced[i])
		return func() {
			t.live.outcome = res.err
			close(t.live.done)
			f.running = false
			r.finish(ctx, i, t, res)
			f.decision.Ran = r.now().Sub(begun)
			f.decision.Detail = t.notes()
			r.tell(Event{Node: n.Name, Kind: Stopped, Err: res.err})
		}
	})
}

// finish takes note of what a start came to.
func (r *run) finish(ctx context.Context, i int, t *Task, res result) {
	n, f := &r.graph.nodes[i], &r.facts[i]
	switch {
	case f.live != t.live:
		// A need has other content than when the node started. What it made is
		// stored under its key of then, and is not the result asked for now.
	case t.lost || res.vain:
		f.live = nil
		if f.vain++; f.vain == maxVain {
			r.fail(&Failure{Node: n.Name, Kind: KindRetry, Reason: "the store does not keep what it needs", Err: res.err})
		}
	case res.err == nil:
		f.ran, f.hash, f.own, f.nothing = true, res.hash, res.own, res.nothing
		f.made = made{res.hash, res.body}
		f.lookup, f.check, f.there = answered, answered, true
		f.readyAt = r.tick()
	default:
		failure := classify(n.Name, res.err)
		switch {
		case failure.Kind == KindGap && !r.graph.neededLive[i]:
			f.ran, f.live = true, nil
			f.gap, f.root, f.why = failure.Reason, n.Name, failure.Reason
			f.readyAt = r.tick()
		case ctx.Err() == nil:
			if failure.Kind == KindGap {
				failure.Kind = KindReject
				failure.Err = errors.New("a node that others need live cannot be a gap")
			}
			f.decision.Status = Failed
			f.decision.Reason = failure.Error()
			r.fail(failure)
		}
	}
}

// publish makes a node's live value known.
func (r *run) publish(t *Task, value any) {
	r.do(func() {
		if t.live.open {
			return
		}
		t.live.value, t.live.open = value, true
		if f := &r.facts[r.graph.index[t.node]]; f.live == t.live {
			f.readyAt = r.tick()
		}
		r.tell(Event{Node: t.node, Kind: Published})
	})
}

// task gathers what a node reads. It is called in the loop, when all is ready.
func (r *run) task(i int) *Task {
	n := &r.graph.nodes[i]
	t := &Task{
		node:   n.Name,
		key:    r.facts[i].key,
		inputs: map[string]*Input{},
		run:    r,
		live:   &publication{node: n.Name, done: make(chan struct{})},
	}
	for _, need := range n.Needs {
		in := &Input{name: need.Name}
		t.inputs[need.Name] = in
		m, isNode := r.graph.index[need.Name]
		if !isNode {
			in.hash, in.data = r.inputs[need.Name], r.req.Inputs[need.Name]
			continue
		}
		f := &r.facts[m]
		switch {
		case f.gap != "":
			in.gap = f.gap
		case need.Live:
			in.hash, in.live = f.key, f.live.value
			t.reads = append(t.reads, f.live)
			in.from = func(context.Context, string) (io.ReadCloser, error) {
				return nil, errors.New("it is needed live, not as an artifact")
			}
		default:
			in.hash = f.hash
			if f.own && f.published() {
				in.live = f.live.value
			}
			switch {
			case f.nothing:
			case f.made.body != nil && f.made.hash == f.hash: // it need not be read back
				in.data = f.made.body
			default:
				in.from = r.store.Open
				in.lost = func() { r.lost(t, m, in.hash) }
			}
		}
	}
	return t
}

// lost notes that bytes which were there when t's node started are not, so
// that the node which made them makes them again, and then t's node starts
// again.
func (r *run) lost(t *Task, m int, hash string) {
	r.do(func() {
		t.lost = true
		f := &r.facts[m]
		if f.hash != hash {
			return
		}
		f.check, f.there = answered, false
		if !f.running {
			f.ran, f.live = false, nil
		}
	})
}

// make runs a node's Func and stores what it gives.
//
// A node that reads live values ends after those who publish them, whether it
// did well or not: what it made may not outlive a publisher's failure, and a
// failure of its own may only be how the publisher's showed.
func (t *Task) make(ctx context.Context, n *Node, replace bool) (res result) {
	store := t.run.store
	out, err := t.call(ctx, n)
	if c, ok := out.(io.Closer); ok {
		defer c.Close()
	}
	for _, p := range t.reads {
		select {
		case <-p.done:
			if p.outcome != nil {
				return result{vain: true, err: fmt.Errorf("%s, which is needed live, failed: %w", p.node, p.outcome)}
			}
		case <-ctx.Done():
			return result{err: context.Cause(ctx)}
		}
	}
	if err != nil {
		if f, ok := errors.AsType[*Failure](err); ok && f.lasting && !n.Effect && !t.run.graph.neededLive[t.run.graph.index[n.Name]] {
			if err := recordGap(ctx, store, t.key, f.Reason); err != nil {
				return result{err: fmt.Errorf("storing that it is a gap: %w", err)}
			}
		}
		return result{err: err}
	}
	if out == nil {
		if n.Effect {
			return result{hash: hashOf(nil), own: true, nothing: true}
		}
		out = bytes.NewReader(nil)
	}
	out, body := inMemory(out)
	hash, err := t.put(ctx, out)
	if err != nil {
		return result{err: fmt.Errorf("storing what it made: %w", err)}
	}
	if n.Effect {
		// The next run makes it anew whatever its key, so no key is bound.
		return result{hash: hash, own: true}
	}
	bound, err := store.Bind(ctx, t.key, hash, replace)
	if err != nil {
		return result{err: fmt.Errorf("binding its key to what it made: %w", err)}
	}
	if bound != hash {
		body = nil
	}
	return result{hash: bound, own: bound == hash, body: body}
}

// made is a small artifact that this run made, which nodes that need it have
// from memory.
type made struct {
	hash string
	body []byte
}

// maxMade is the largest artifact that a run keeps in memory for itself.
const maxMade = 256 << 10

// inMemory gives the bytes of what a Func gave, where they are in memory and few.
func inMemory(out io.Reader) (same io.Reader, body []byte) {
	b, ok := out.(*bytes.Reader)
	if !ok || b.Len() > maxMade {
		return out, nil
	}
	body = make([]byte, b.Len())
	_, _ = io.ReadFull(b, body) // it is in memory, and as long
	return bytes.NewReader(body), body
}

// call runs the node's Func. A panic is that node's failure and nobody else's.
func (t *Task) call(ctx context.Context, n *Node) (out io.Reader, err error) {
	defer caught(&err)
	return n.Func(ctx, t)
}

// put stores what a Func gave. Reading that is still the node's own code.
func (t *Task) put(ctx context.Context, out io.Reader) (hash string, err error) {
	defer caught(&err)
	return t.run.store.Put(ctx, out)
}

func caught(err *error) {
	if p := recover(); p != nil {
		*err = Reject("panic", fmt.Errorf("%v\n%s", p, debug.Stack()))
	}
}

// gapKey is where the store keeps that the node with this key is a gap.
func gapKey(key string) string { return hashOf([]byte("gap " + key)) }

func recordGap(ctx context.Context, store Store, key, reason string) error {
	hash, err := store.Put(ctx, bytes.NewReader([]byte(reason)))
	if err != nil {
		return err
	}
	_, err = store.Bind(ctx, gapKey(key), hash, false)
	return err
}

// lookupGap gives the reason of the gap stored for a key, "" if there is none.
func lookupGap(ctx context.Context, store Store, key string) (string, error) {
	hash, found, err := store.Lookup(ctx, gapKey(key))
	if err != nil || !found {
		return "", err
	}
	r, err := store.Open(ctx, hash)
	if err == nil {
		defer r.Close()
		var reason []byte
		if reason, err = io.ReadAll(r); err == nil {
			return string(reason), nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return "", err
}
