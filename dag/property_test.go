package dag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// world is a random graph whose nodes are pure functions, and a log of what
// they did.
type world struct {
	nodes []Node
	graph *Graph

	mu    sync.Mutex
	ran   map[string]int
	noise func() string // what nodes add to their output: "" for pure ones
}

func drawWorld(t *rapid.T) *world {
	w := &world{ran: map[string]int{}, noise: func() string { return "" }}
	count := rapid.IntRange(1, 9).Draw(t, "nodes")
	for i := range count {
		n := Node{Name: fmt.Sprintf("n%d", i), Version: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version")}
		n.Effect = rapid.IntRange(0, 5).Draw(t, "effect") == 0
		n.OnDemand = rapid.IntRange(0, 2).Draw(t, "on demand") == 0
		if rapid.IntRange(0, 12).Draw(t, "off") == 0 {
			n.Off = "off"
		}
		for _, in := range []string{"x", "y"} {
			if rapid.IntRange(0, 3).Draw(t, "input") == 0 {
				n.Needs = append(n.Needs, Need{Name: in})
			}
		}
		for j := range i {
			switch rapid.IntRange(0, 9).Draw(t, "edge") {
			case 0, 1:
				n.Needs = append(n.Needs, Need{Name: fmt.Sprintf("n%d", j)})
			case 2:
				n.Needs = append(n.Needs, Need{Name: fmt.Sprintf("n%d", j), Optional: true})
			case 3, 4:
				n.Needs = append(n.Needs, Need{Name: fmt.Sprintf("n%d", j), Live: true})
			}
		}
		w.nodes = append(w.nodes, n)
	}
	w.build(t)
	return w
}

// build makes the graph of the nodes as they are now. What a node makes
// follows from its name, version and needs alone; there are few different
// things that it can make, so that reruns often come to the same.
func (w *world) build(t *rapid.T) {
	nodes := slices.Clone(w.nodes)
	for i, n := range nodes {
		nodes[i].Func = func(ctx context.Context, task *Task) (io.Reader, error) {
			w.mu.Lock()
			w.ran[n.Name]++
			w.mu.Unlock()
			if w.graph.neededLive[w.graph.index[n.Name]] {
				task.Publish("live " + task.Key())
			}
			var seen strings.Builder
			fmt.Fprintln(&seen, n.Name, n.Version)
			for _, need := range n.Needs {
				in := task.Input(need.Name)
				reason, missing := in.Gap()
				switch {
				case missing:
					seen.WriteString(reason)
				case need.Live:
					if in.Live() != "live "+in.Hash() {
						return nil, Reject(fmt.Sprintf("live value of %s is %v", need.Name, in.Live()), nil)
					}
					seen.WriteString(in.Hash())
				default:
					data, err := in.Bytes(ctx)
					if err != nil {
						return nil, err
					}
					seen.Write(data)
				}
			}
			dice := hashOf([]byte(seen.String()))
			switch {
			case w.graph.neededLive[w.graph.index[n.Name]]: // never a gap
			case dice[0] == '0':
				return nil, Gap("no %s", n.Name)
			case dice[0] == '1':
				return nil, LastingGap("never %s", n.Name)
			}
			if n.Effect && dice[0] < '8' {
				return nil, nil
			}
			return strings.NewReader(n.Name + dice[:1] + w.noise()), nil
		}
	}
	g, err := New([]string{"x", "y"}, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	w.graph = g
}

func drawRequest(t *rapid.T, w *world) Request {
	req := Request{Subject: "s", Inputs: map[string][]byte{"x": []byte("x"), "y": []byte("y")}}
	if rapid.Bool().Draw(t, "some targets") {
		req.Targets = []string{}
		for _, n := range w.nodes {
			if rapid.IntRange(0, 2).Draw(t, "target") == 0 {
				req.Targets = append(req.Targets, n.Name)
			}
		}
	}
	return req
}

func (w *world) do(t *rapid.T, store *shelf, req Request) (Report, map[string]int) {
	w.mu.Lock()
	w.ran = map[string]int{}
	w.mu.Unlock()
	rep, err := (&Engine{Store: store, Ledger: store}).Run(context.Background(), w.graph, req)
	if err != nil {
		t.Fatalf("%v\n%s", err, describe(rep))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return rep, w.ran
}

// disturb takes random keys and bytes out of the store and changes random
// nodes: what the next run finds may be any mixture.
func (w *world) disturb(t *rapid.T, store *shelf) {
	lose := func(what string, keys []string, drop func(string)) {
		slices.Sort(keys)
		for _, k := range keys {
			if rapid.IntRange(0, 3).Draw(t, what) == 0 {
				drop(k)
			}
		}
	}
	lose("lost key", sortedKeys(store.keys), func(k string) { delete(store.keys, k) })
	lose("lost bytes", sortedKeys(store.objects), func(k string) { delete(store.objects, k) })
	for i := range w.nodes {
		if rapid.IntRange(0, 4).Draw(t, "changed") == 0 {
			w.nodes[i].Version += "'"
		}
	}
	w.build(t)
}

// isTarget says whether the request wants the node for its own sake.
func isTarget(n Node, req Request) bool {
	if req.Targets == nil {
		return !n.OnDemand
	}
	return slices.Contains(req.Targets, n.Name)
}

// A run leaves every target with its result, and no node ran without a cause
// that holds in the store as it was before, whatever was in it.
func TestPlanIsSufficientAndMinimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		store := newShelf()
		w.do(t, store, drawRequest(t, w))
		w.disturb(t, store)

		before := store.copy()
		req := drawRequest(t, w)
		for _, n := range w.nodes {
			if rapid.IntRange(0, 9).Draw(t, "forced") == 0 {
				req.Force = append(req.Force, n.Name)
			}
		}
		ping := req
		ping.Ping = true
		forecast, asked := w.do(t, store, ping)
		if len(asked) > 0 {
			t.Fatalf("a ping ran %v", asked)
		}
		rep, ran := w.do(t, store, req)

		// An undisturbed run in an empty store says what is right.
		truth, _ := w.do(t, newShelf(), req)
		reached := w.reached(req)
		for _, n := range w.nodes {
			d := rep.Decision(n.Name)
			if ran[n.Name] > 0 && !reached[n.Name] {
				t.Fatalf("%s ran (%s), but no target needs it", n.Name, d.Reason)
			}
			if isTarget(n, req) {
				checkTarget(t, n, d, truth.Decision(n.Name), store)
			}
			if d.Key != "" && truth.Decision(n.Name).Key != "" && d.Key != truth.Decision(n.Name).Key {
				t.Fatalf("%s: another key than in an empty store", n.Name)
			}
			if ran[n.Name] > 1 {
				t.Fatalf("%s ran %d times", n.Name, ran[n.Name])
			}
			if ran[n.Name] == 1 {
				checkCause(t, w, n, rep, req, ran, before)
			}
			switch f := forecast.Decision(n.Name).Status; {
			case f == WouldRun && ran[n.Name] == 0 && d.Status != Gapped:
				t.Fatalf("%s did not run, but a ping said it would\n%s\n%s", n.Name, describe(forecast), describe(rep))
			case f != WouldRun && f != MayRun && ran[n.Name] > 0:
				t.Fatalf("%s ran, but a ping said %s\n%s\n%s", n.Name, f, describe(forecast), describe(rep))
			}
		}

		// Again: only effects, gaps that may have passed, and what these need.
		req.Force = nil
		rep, ran = w.do(t, store, req)
		for _, n := range w.nodes {
			d := rep.Decision(n.Name)
			if ran[n.Name] == 0 || n.Effect || d.Status == Gapped && strings.HasPrefix(d.Reason, "no ") {
				continue
			}
			if !neededLive(w, n, ran) {
				t.Fatalf("%s ran again\n%s", n.Name, describe(rep))
			}
		}
	})
}

// reached gives the targets and all that they need, however indirectly.
func (w *world) reached(req Request) map[string]bool {
	reached := map[string]bool{}
	for _, n := range slices.Backward(w.nodes) {
		if !isTarget(n, req) && !reached[n.Name] {
			continue
		}
		reached[n.Name] = true
		if n.Off != "" {
			continue
		}
		for _, need := range n.Needs {
			reached[need.Name] = true
		}
	}
	return reached
}

func checkTarget(t *rapid.T, n Node, d, truth Decision, store *shelf) {
	if d.Status == Gapped || truth.Status == Gapped {
		if d.Status != truth.Status || d.Reason != truth.Reason {
			t.Fatalf("%s: %s (%s), in an empty store %s (%s)", n.Name, d.Status, d.Reason, truth.Status, truth.Reason)
		}
		return
	}
	if d.Hash != truth.Hash {
		t.Fatalf("%s: another result than in an empty store", n.Name)
	}
	if n.Effect {
		if d.Status != Ran {
			t.Fatalf("effect %s: %s", n.Name, d.Status)
		}
		return
	}
	if _, there := store.objects[d.Hash]; !there || store.keys[d.Key] != d.Hash {
		t.Fatalf("%s is not in the store", n.Name)
	}
}

// checkCause fails if a node ran for no reason.
func checkCause(t *rapid.T, w *world, n Node, rep Report, req Request, ran map[string]int, before *shelf) {
	if n.Effect || slices.Contains(req.Force, n.Name) {
		return
	}
	d := rep.Decision(n.Name)
	hash, stored := before.keys[d.Key]
	if !stored {
		if gap, found := before.keys[gapKey(d.Key)]; found && before.objects[gap] != nil && !slices.Contains(req.Force, n.Name) {
			t.Fatalf("%s ran (%s), but was stored as a gap", n.Name, d.Reason)
		}
		hashWanted := isTarget(n, req)
		for _, m := range w.nodes {
			for _, need := range m.Needs {
				hashWanted = hashWanted || need.Name == n.Name && !need.Live
			}
		}
		if !hashWanted && !neededLive(w, n, ran) {
			t.Fatalf("%s ran (%s), but nobody wants its hash", n.Name, d.Reason)
		}
		return
	}
	if neededLive(w, n, ran) {
		return
	}
	if _, there := before.objects[hash]; there {
		t.Fatalf("%s ran (%s), but was stored", n.Name, d.Reason)
	}
	if isTarget(n, req) {
		return
	}
	for _, m := range w.nodes {
		for _, need := range m.Needs {
			if need.Name == n.Name && !need.Live && ran[m.Name] > 0 {
				return
			}
		}
	}
	t.Fatalf("%s ran (%s), but nobody read its bytes", n.Name, d.Reason)
}

func neededLive(w *world, n Node, ran map[string]int) bool {
	for _, m := range w.nodes {
		for _, need := range m.Needs {
			if need.Name == n.Name && need.Live && ran[m.Name] > 0 {
				return true
			}
		}
	}
	return false
}

// Stopped anywhere and started again, a run ends like one that was let be.
func TestStoppedAnywhereEndsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		req := drawRequest(t, w)
		truth, _ := w.do(t, newShelf(), req)

		store := newShelf()
		for range rapid.IntRange(1, 3).Draw(t, "stops") {
			ctx, stop := context.WithCancel(context.Background())
			left := rapid.IntRange(0, 25).Draw(t, "operations")
			store.fail = func(string) error {
				// The store's calls are where a run can be cut in two.
				if left--; left < 0 {
					stop()
				}
				return ctx.Err()
			}
			_, err := (&Engine{Store: store, Ledger: store}).Run(ctx, w.graph, req)
			stop()
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		store.fail = nil
		rep, _ := w.do(t, store, req)
		for _, n := range w.nodes {
			if !isTarget(n, req) {
				continue
			}
			checkTarget(t, n, rep.Decision(n.Name), truth.Decision(n.Name), store)
		}
	})
}

// Workers that run one request on one store at once end with the same bytes,
// even where a node makes something else each time.
func TestWorkersAtOnceEndWithTheSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for i := range w.nodes {
			w.nodes[i].Effect = false // each worker has its own effects
		}
		w.noise = func() string { return fmt.Sprint(rand.Uint64()) }
		w.build(t)
		req := drawRequest(t, w)
		store := newShelf()
		var reports [3]Report
		var workers sync.WaitGroup
		for i := range reports {
			workers.Go(func() {
				rep, err := (&Engine{Store: store, Ledger: store}).Run(context.Background(), w.graph, req)
				if err != nil {
					t.Errorf("%v\n%s", err, describe(rep))
				}
				reports[i] = rep
			})
		}
		workers.Wait()
		for _, n := range w.nodes {
			first := reports[0].Decision(n.Name)
			for _, rep := range reports[1:] {
				d := rep.Decision(n.Name)
				if isTarget(n, req) && (d.Hash != first.Hash || (d.Status == Gapped) != (first.Status == Gapped)) {
					t.Errorf("%s: %.8s and %.8s", n.Name, d.Hash, first.Hash)
				}
			}
		}
	})
}
