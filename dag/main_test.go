package dag

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a Store and Ledger in memory.
type shelf struct {
	mu      sync.Mutex
	keys    map[string]string
	objects map[string][]byte
	pages   map[string][]byte
	fail    func(op string) error
}

func newShelf() *shelf {
	return &shelf{keys: map[string]string{}, objects: map[string][]byte{}, pages: map[string][]byte{}}
}

func (s *shelf) enter(ctx context.Context, op string) (leave func(), err error) {
	s.mu.Lock()
	if err = ctx.Err(); err == nil && s.fail != nil {
		err = s.fail(op)
	}
	return s.mu.Unlock, err
}

func (s *shelf) Lookup(ctx context.Context, key string) (string, bool, error) {
	leave, err := s.enter(ctx, "lookup")
	defer leave()
	hash, ok := s.keys[key]
	return hash, ok, err
}

func (s *shelf) Has(ctx context.Context, hash string) (bool, error) {
	leave, err := s.enter(ctx, "has")
	defer leave()
	_, ok := s.objects[hash]
	return ok, err
}

func (s *shelf) Open(ctx context.Context, hash string) (io.ReadCloser, error) {
	leave, err := s.enter(ctx, "open")
	defer leave()
	if err != nil {
		return nil, err
	}
	data, ok := s.objects[hash]
	if ok && hashOf(data) != hash {
		delete(s.objects, hash)
		ok = false
	}
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (s *shelf) Put(ctx context.Context, r io.Reader) (string, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	leave, err := s.enter(ctx, "put")
	defer leave()
	if err != nil {
		return "", err
	}
	s.objects[hashOf(data)] = data
	return hashOf(data), nil
}

func (s *shelf) Bind(ctx context.Context, key, hash string, replace bool) (string, error) {
	leave, err := s.enter(ctx, "bind")
	defer leave()
	if err != nil {
		return "", err
	}
	if first, bound := s.keys[key]; bound && !replace {
		if _, there := s.objects[first]; there {
			return first, nil
		}
	}
	s.keys[key] = hash
	return hash, nil
}

// Of: these tests have one subject.
func (s *shelf) Of(string) Store { return s }

func (s *shelf) Clear(ctx context.Context, keep []string) error {
	leave, err := s.enter(ctx, "clear")
	defer leave()
	if err != nil {
		return err
	}
	if len(keep) == 0 {
		clear(s.keys)
	}
	maps.DeleteFunc(s.objects, func(hash string, _ []byte) bool { return !slices.Contains(keep, hash) })
	return nil
}

func (s *shelf) Recall(ctx context.Context, subject string) ([]byte, error) {
	leave, err := s.enter(ctx, "recall")
	defer leave()
	return s.pages[subject], err
}

func (s *shelf) Record(ctx context.Context, subject string, doc []byte) error {
	leave, err := s.enter(ctx, "record")
	defer leave()
	if err == nil {
		s.pages[subject] = doc
	}
	return err
}

func (s *shelf) copy() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &shelf{keys: maps.Clone(s.keys), objects: maps.Clone(s.objects), pages: maps.Clone(s.pages)}
}

// bench runs graphs of small nodes and keeps a log of what ran.
type bench struct {
	t     *testing.T
	store *shelf
	mu    sync.Mutex
	log   []string
}

func newBench(t *testing.T) *bench { return &bench{t: t, store: newShelf()} }

// join makes "name(need need …)" of what a node needs.
func (b *bench) join(ctx context.Context, t *Task, needs []Need) (io.Reader, error) {
	b.ran(t.Node())
	var parts []string
	for _, need := range needs {
		in := t.Input(need.Name)
		if reason, missing := in.Gap(); missing {
			parts = append(parts, "<"+reason+">")
			continue
		}
		if need.Live {
			parts = append(parts, fmt.Sprint("live ", in.Live()))
			continue
		}
		data, err := in.Bytes(ctx)
		if err != nil {
			return nil, err
		}
		parts = append(parts, string(data))
	}
	return strings.NewReader(t.Node() + "(" + strings.Join(parts, " ") + ")"), nil
}

func (b *bench) ran(node string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, node)
}

// took gives what ran since it was last called, in the order of names.
func (b *bench) took() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.log)
	s := strings.Join(b.log, " ")
	b.log = nil
	return s
}

// node is a node that joins what it needs; "live:x" needs x live, "x?" is
// optional.
func (b *bench) node(name, version string, needs ...string) Node {
	n := Node{Name: name, Version: version}
	for _, need := range needs {
		rest, live := strings.CutPrefix(need, "live:")
		rest, optional := strings.CutSuffix(rest, "?")
		n.Needs = append(n.Needs, Need{Name: rest, Live: live, Optional: optional})
	}
	n.Func = func(ctx context.Context, t *Task) (io.Reader, error) { return b.join(ctx, t, n.Needs) }
	return n
}

func (b *bench) graph(nodes ...Node) *Graph {
	b.t.Helper()
	g, err := New([]string{"in"}, nodes...)
	if err != nil {
		b.t.Fatal(err)
	}
	return g
}

func (b *bench) engine() *Engine { return &Engine{Store: b.store, Ledger: b.store} }

func (b *bench) request() Request {
	return Request{Subject: "s", Inputs: map[string][]byte{"in": []byte("in")}}
}

func (b *bench) run(g *Graph, change ...func(*Request)) Report {
	b.t.Helper()
	req := b.request()
	for _, c := range change {
		c(&req)
	}
	rep, err := b.engine().Run(b.t.Context(), g, req)
	if err != nil {
		b.t.Fatalf("run: %v\n%s", err, describe(rep))
	}
	return rep
}

func (b *bench) bytes(rep Report, node string) string {
	b.t.Helper()
	data, ok := b.store.objects[rep.Decision(node).Hash]
	if !ok {
		b.t.Fatalf("no bytes for %s\n%s", node, describe(rep))
	}
	return string(data)
}

func describe(rep Report) string {
	var b strings.Builder
	for _, d := range rep.Decisions {
		fmt.Fprintf(&b, "%s: %s: %s\n", d.Node, d.Status, d.Reason)
	}
	return b.String()
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got: %s\nwant: %s", what, got, want)
	}
}
