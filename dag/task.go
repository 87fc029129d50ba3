package dag

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// Task is a node's view of the run that it is part of: what it needs, and what
// it has to say. It is valid until the node's Func returns; its methods may be
// called from many goroutines.
type Task struct {
	node   string
	key    string
	inputs map[string]*Input
	run    *run
	live   *publication
	reads  []*publication // what it reads live
	lost   bool           // a need's bytes were gone; only the run's loop touches it

	mu     sync.Mutex
	detail map[string]any
}

// Node is the name of the node that runs.
func (t *Task) Node() string { return t.node }

// Key is the node's key, in hexadecimal: for an effect, what tells one
// request for the same thing from another.
func (t *Task) Key() string { return t.key }

// Input gives one of the node's needs by name. It panics when the node does
// not declare it, since a key could not account for it.
func (t *Task) Input(name string) *Input {
	in := t.inputs[name]
	if in == nil {
		panic(fmt.Sprintf("dag: node %q reads %q, which it does not declare as a need", t.node, name))
	}
	return in
}

// Has says whether the node declares the need: a graph may leave an optional
// one out.
func (t *Task) Has(name string) bool { return t.inputs[name] != nil }

// Report tells what became of the other nodes so far.
func (t *Task) Report() (rep Report) {
	t.run.do(func() { rep = t.run.report() })
	return rep
}

// Publish gives the node's live value to those who need it, before the node
// ends. They may use it at once, and until the run ends. Only the first call
// counts.
func (t *Task) Publish(value any) { t.run.publish(t, value) }

// Cleanup has f called when the run has ended and no node uses what this one
// published any more; last come, first served.
func (t *Task) Cleanup(f func()) { t.run.cleanup(f) }

// Note adds a fact about this run, the model or device used for instance, to
// the node's decision. It must be fit for encoding/json.
func (t *Task) Note(name string, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.detail == nil {
		t.detail = map[string]any{}
	}
	t.detail[name] = value
}

// Progress tells the run's observer how far the node is, in a unit of its
// own; total is 0 while it is not known.
func (t *Task) Progress(done, total float64) {
	t.run.emit(Event{Node: t.node, Kind: Progressed, Done: done, Total: total})
}

func (t *Task) notes() map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.detail
}

// Input is one need of a running node.
type Input struct {
	name string
	hash string
	gap  string
	live any
	data []byte // when from is nil
	from func(ctx context.Context, hash string) (io.ReadCloser, error)
	lost func() // tells the run that the bytes were not to be had
}

// Gap says whether the need, which must be optional, has no result, and why.
func (in *Input) Gap() (reason string, missing bool) { return in.gap, in.gap != "" }

// Hash is the SHA-256 of the need's bytes in hexadecimal; for a live need, the
// key of the node that publishes it.
func (in *Input) Hash() string { return in.hash }

// Live is the value that the node published in this run, nil if it did not. A
// live need always has one. A need for an artifact has one when the node ran
// in this run and made these very bytes: a local file, say, that spares
// reading them from the store.
func (in *Input) Live() any { return in.live }

// Open reads the need's bytes. A reader that reaches io.EOF has had the bytes
// that the hash stands for. Its errors are to be returned from the node's
// Func, wrapped or not: if the bytes are gone the engine has them made again.
func (in *Input) Open(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case in.gap != "":
		return nil, fmt.Errorf("opening %s, which is a gap: %s", in.name, in.gap)
	case in.from == nil:
		return io.NopCloser(bytes.NewReader(in.data)), nil
	}
	r, err := in.from(ctx, in.hash)
	if err != nil {
		return nil, in.failed("opening", err)
	}
	return &inputReader{r, in}, nil
}

// Bytes reads all of the need into memory.
func (in *Input) Bytes(ctx context.Context) ([]byte, error) {
	r, err := in.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (in *Input) failed(doing string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		in.lost()
	}
	return fmt.Errorf("%s the artifact of %s (%.12s): %w", doing, in.name, in.hash, err)
}

type inputReader struct {
	io.ReadCloser
	in *Input
}

func (r *inputReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.in.failed("reading", err)
	}
	return n, err
}
