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

func TestForgetLeavesNoByteOfAnyRun(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	b.run(audioGraph(b, "v2"))
	other := b.request()
	other.Inputs["in"] = []byte("another revision")
	failing := audioGraph(b, "v3")
	failing.nodes[failing.index["preview"]].Func = func(context.Context, *Task) (io.Reader, error) {
		return nil, Retry(errors.New("no encoder"))
	}
	if _, err := b.engine().Run(t.Context(), failing, other); err == nil {
		t.Fatal("it ended well")
	}
	if len(b.store.objects) < 10 {
		t.Fatalf("only %d objects: the runs made nothing", len(b.store.objects))
	}
	if err := b.engine().Forget(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	for hash, data := range b.store.objects {
		t.Errorf("left: %.12s %q", hash, data)
	}
	if _, known, err := b.engine().Last(t.Context(), "s"); known || err != nil {
		t.Errorf("Last = %v, %v", known, err)
	}
	b.took()
	b.run(audioGraph(b, "v1"))
	equal(t, "what runs when it comes back", b.took(), "decode fetch preview publish sound topics transcript")
}

func TestForgetReachesWhatAKilledRunMade(t *testing.T) {
	b := newBench(t)
	ctx, kill := context.WithCancel(t.Context())
	g := audioGraph(b, "v1")
	g.nodes[g.index["topics"]].Func = func(ctx context.Context, _ *Task) (io.Reader, error) {
		kill()
		return nil, ctx.Err()
	}
	if _, err := b.engine().Run(ctx, g, b.request()); err == nil {
		t.Fatal("it ended well")
	}
	if len(b.store.objects) == 0 {
		t.Fatal("the killed run made nothing")
	}
	if err := b.engine().ForgetRequest(t.Context(), audioGraph(b, "v1"), b.request()); err != nil || len(b.store.objects) != 0 {
		t.Errorf("%v; %d objects are left", err, len(b.store.objects))
	}
}

func TestAStoreThatCannotDeleteIsToldOf(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	away := errors.New("away")
	b.store.fail = func(op string) error {
		if op == "delete" {
			return away
		}
		return nil
	}
	if err := b.engine().Forget(t.Context(), "s"); !errors.Is(err, away) {
		t.Errorf("Forget = %v", err)
	}
	b.store.fail = nil
	if err := b.engine().Forget(t.Context(), "s"); err != nil || len(b.store.objects) != 0 {
		t.Errorf("the second time: %v; %d objects are left", err, len(b.store.objects))
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
