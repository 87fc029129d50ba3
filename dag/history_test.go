package dag

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestForgetLeavesNothingButVisits(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"), func(r *Request) { r.By = "a" })
	ctx, kill := context.WithCancel(t.Context())
	killed := audioGraph(b, "v2")
	killed.nodes[killed.index["topics"]].Func = func(ctx context.Context, _ *Task) (io.Reader, error) {
		kill()
		return nil, ctx.Err()
	}
	other := b.request()
	other.Inputs["in"] = []byte("another revision")
	if _, err := b.engine().Run(ctx, killed, other); err == nil {
		t.Fatal("it ended well")
	}
	if err := b.engine().Forget(t.Context(), "s", false); err != nil || len(b.store.objects)+len(b.store.keys) > 0 {
		t.Fatalf("%v; left: %v %v", err, b.store.objects, b.store.keys)
	}
	if _, known, err := b.engine().Last(t.Context(), "s"); known || err != nil {
		t.Errorf("Last = %v, %v", known, err)
	}
	b.took()
	rep := b.run(audioGraph(b, "v1"))
	equal(t, "what runs when it comes back", b.took(), "decode fetch preview publish sound topics transcript")
	if len(rep.Visits) != 2 || rep.Visits[0].By != "a" {
		t.Errorf("visits: %+v", rep.Visits)
	}
}

func TestForgetMayKeepWhatTheLastRunUsed(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	before := b.store.copy()
	rep := b.run(audioGraph(b, "v2"))
	if err := b.engine().Forget(t.Context(), "s", true); err != nil {
		t.Fatal(err)
	}
	for _, d := range rep.Decisions {
		if d.Hash != "" && b.store.objects[d.Hash] == nil {
			t.Errorf("%s is gone", d.Node)
		}
	}
	gone := 0
	for hash := range before.objects {
		if b.store.objects[hash] == nil {
			gone++
		}
	}
	if gone != 3 { // topics, preview and publish of v1
		t.Errorf("%d objects of the first run are gone", gone)
	}
	b.took()
	b.run(audioGraph(b, "v2"))
	equal(t, "what runs then", b.took(), "publish")
}

func TestAStoreThatCannotClearIsToldOf(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	away := errors.New("away")
	b.store.fail = func(op string) error {
		if op == "clear" {
			return away
		}
		return nil
	}
	if err := b.engine().Forget(t.Context(), "s", false); !errors.Is(err, away) {
		t.Errorf("Forget = %v", err)
	}
	if _, known, _ := b.engine().Last(t.Context(), "s"); !known {
		t.Error("the ledger forgot what is still there")
	}
}

func TestVisitsTellEachRun(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"), func(r *Request) { r.By = "a" })
	rep := b.run(audioGraph(b, "v2"), func(r *Request) { r.By = "b" })
	if len(rep.Visits) != 2 {
		t.Fatalf("%+v", rep.Visits)
	}
	first, second := rep.Visits[0], rep.Visits[1]
	if first.By != "a" || first.Failure != "" || strings.Join(first.Ran, " ") != "fetch decode transcript topics preview publish sound" {
		t.Errorf("first: %+v", first)
	}
	if second.By != "b" || slices.Contains(second.Ran, "transcript") || !slices.Contains(second.Ran, "topics") || second.Began.Before(first.Began) {
		t.Errorf("second: %+v", second)
	}
	b.run(audioGraph(b, "v2"), func(r *Request) { r.Ping = true })
	for n := range 2 * maxVisits {
		rep = b.run(audioGraph(b, "v2"), func(r *Request) { r.By = fmt.Sprint(n) })
	}
	if n := len(rep.Visits); n != maxVisits || rep.Visits[n-1].By != fmt.Sprint(2*maxVisits-1) {
		t.Errorf("%d visits, the last by %s", n, rep.Visits[n-1].By)
	}
}

func TestATaskSeesWhatBecameOfTheOthers(t *testing.T) {
	b := newBench(t)
	g := audioGraph(b, "v1")
	var seen Report
	g.nodes[g.index["publish"]].Func = func(_ context.Context, task *Task) (io.Reader, error) {
		seen = task.Report()
		return nil, nil
	}
	b.run(g)
	for _, node := range []string{"fetch", "transcript", "preview"} {
		if d := seen.Decision(node); d.Status != Ran || d.Hash == "" {
			t.Errorf("%s: %+v", node, d)
		}
	}
	if d := seen.Decision("publish"); d.Status == Ran {
		t.Errorf("publish has not ended: %+v", d)
	}
}
