package dag

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func failing(name string, err error, needs ...Need) Node {
	return Node{Name: name, Needs: needs, Func: func(context.Context, *Task) (io.Reader, error) { return nil, err }}
}

func TestGapIsWorkedAroundAndTriedAgain(t *testing.T) {
	b := newBench(t)
	broken := true
	transcript := b.node("transcript", "1", "in")
	transcript.Func = func(ctx context.Context, task *Task) (io.Reader, error) {
		out, err := b.join(ctx, task, transcript.Needs)
		if broken {
			return nil, Gap("no device for %s", "whisper")
		}
		return out, err
	}
	g := b.graph(
		transcript,
		b.node("topics", "1", "transcript"),
		b.node("chapters", "1", "topics"),
		b.node("record", "1", "chapters?", "transcript?", "in"),
	)
	rep := b.run(g)
	equal(t, "ran", b.took(), "record transcript")
	equal(t, "decisions", describe(rep), `transcript: gap: no device for whisper
topics: gap: needs transcript: no device for whisper
chapters: gap: needs transcript: no device for whisper
record: ran: not made before
`)
	equal(t, "record", b.bytes(rep, "record"),
		"record(<needs transcript: no device for whisper> <no device for whisper> in)")

	b.run(g)
	equal(t, "tried again", b.took(), "transcript")
	broken = false
	rep = b.run(g)
	equal(t, "cured", b.took(), "chapters record topics transcript")
	equal(t, "why", rep.Decision("transcript").Reason, "was a gap: no device for whisper")
}

func TestLastingGapIsStored(t *testing.T) {
	b := newBench(t)
	transcript := func(version string) *Graph {
		n := b.node("transcript", version, "in")
		n.Func = func(context.Context, *Task) (io.Reader, error) {
			b.ran("transcript")
			return nil, LastingGap("no recogniser for sv")
		}
		return b.graph(n, b.node("topics", "1", "transcript"))
	}
	b.run(transcript("1"))
	equal(t, "first", b.took(), "transcript")
	rep := b.run(transcript("1"))
	equal(t, "second", b.took(), "")
	equal(t, "decisions", describe(rep), "transcript: gap: no recogniser for sv\ntopics: gap: needs transcript: no recogniser for sv\n")
	b.run(transcript("2"))
	equal(t, "new version", b.took(), "transcript")
	b.run(transcript("2"), func(r *Request) { r.Force = []string{"transcript"} })
	equal(t, "forced", b.took(), "transcript")
}

func TestNodeThatIsOffIsAGap(t *testing.T) {
	b := newBench(t)
	rep := b.run(b.graph(
		Node{Name: "ads", Needs: On("sound"), Off: "switched off"},
		b.node("sound", "1", "in"),
		b.node("preview", "1", "ads?"),
	), func(r *Request) { r.Targets = []string{"preview"} })
	equal(t, "ran", b.took(), "preview")
	equal(t, "preview", b.bytes(rep, "preview"), "preview(<switched off>)")
}

func TestFailuresEndTheRun(t *testing.T) {
	cause := errors.New("cause")
	for name, c := range map[string]struct {
		give error
		kind Kind
		text string
	}{
		"retry":   {Retry(cause), KindRetry, "n: cause"},
		"other":   {cause, KindRetry, "n: cause"},
		"reject":  {Reject("no audio", cause), KindReject, "n: no audio: cause"},
		"bare":    {Reject("no audio", nil), KindReject, "n: no audio"},
		"wrapped": {errors.Join(errors.New("decoding"), Reject("no audio", nil)), KindReject, "n: decoding\nno audio"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			g := b.graph(failing("n", c.give), b.node("after", "1", "n"))
			rep, err := b.engine().Run(t.Context(), g, b.request())
			failure, ok := errors.AsType[*Failure](err)
			if !ok || failure.Kind != c.kind || failure.Node != "n" {
				t.Fatalf("got %#v", err)
			}
			equal(t, "error", err.Error(), c.text)
			equal(t, "n", string(rep.Decision("n").Status), "failed")
			equal(t, "after", describe(Report{Decisions: rep.Decisions[1:]}), "after: skipped: the run ended before it: n failed\n")
			equal(t, "ran", b.took(), "")
		})
	}
}

func TestPanicIsARejectWithItsStack(t *testing.T) {
	for name, f := range map[string]Func{
		"in the node":      func(context.Context, *Task) (io.Reader, error) { panic("oops") },
		"while being read": func(context.Context, *Task) (io.Reader, error) { return panicking{}, nil },
		"undeclared need":  func(_ context.Context, t *Task) (io.Reader, error) { t.Input("oops"); return nil, nil },
		"with an error":    func(context.Context, *Task) (io.Reader, error) { panic(errors.New("oops")) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, err := b.engine().Run(t.Context(), b.graph(Node{Name: "n", Func: f}), b.request())
			failure, ok := errors.AsType[*Failure](err)
			if !ok || failure.Kind != KindReject || failure.Reason != "panic" {
				t.Fatalf("got %v", err)
			}
			for _, part := range []string{"oops", "outcome_test.go"} {
				if !strings.Contains(err.Error(), part) && name != "undeclared need" {
					t.Errorf("%q is not in %v", part, err)
				}
			}
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("oops") }

func TestFailureStopsTheOthersAndWaitsForThem(t *testing.T) {
	b := newBench(t)
	stopped, started := false, make(chan struct{})
	rep, err := b.engine().Run(t.Context(), b.graph(
		Node{Name: "slow", Func: func(ctx context.Context, _ *Task) (io.Reader, error) {
			close(started)
			<-ctx.Done()
			stopped = true
			return nil, Reject("looks permanent, but is only the end of the context", nil)
		}},
		Node{Name: "bad", Func: func(context.Context, *Task) (io.Reader, error) {
			<-started
			return nil, Retry(errors.New("try later"))
		}},
	), b.request())
	equal(t, "error", err.Error(), "bad: try later")
	if !stopped {
		t.Error("the run did not wait for slow")
	}
	equal(t, "slow", string(rep.Decision("slow").Status), "skipped")
}

func TestCallerCanStopTheRun(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := b.engine().Run(ctx, b.graph(Node{Name: "slow", Func: func(ctx context.Context, _ *Task) (io.Reader, error) {
		cancel(errors.New("draining"))
		<-ctx.Done()
		return nil, Reject("killed", nil)
	}}), b.request())
	equal(t, "error", err.Error(), `run of "s" stopped: draining`)
}

func TestStoreFailureIsARetry(t *testing.T) {
	for _, op := range []string{"lookup", "has", "put", "bind", "open", "recall", "record"} {
		t.Run(op, func(t *testing.T) {
			b := newBench(t)
			g := b.graph(b.node("a", "1", "in"), b.node("b", "1", "a"))
			b.run(g, func(r *Request) { r.Targets = []string{"a"} })
			b.store.fail = func(o string) error {
				if o == op {
					return errors.New("disk full")
				}
				return nil
			}
			_, err := b.engine().Run(t.Context(), g, b.request())
			failure, ok := errors.AsType[*Failure](err)
			if !ok || failure.Kind != KindRetry || !strings.Contains(err.Error(), "disk full") {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestReportTellsTimesAndFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		wait := func(d time.Duration) Func {
			return func(ctx context.Context, task *Task) (io.Reader, error) {
				task.Note("model", "m@1")
				<-time.After(d)
				return nil, nil
			}
		}
		rep := b.run(b.graph(
			Node{Name: "a", Func: wait(3 * time.Second)},
			Node{Name: "b", Func: wait(2 * time.Second)},
			Node{Name: "c", Needs: On("a", "b"), Func: wait(time.Second)},
		))
		if rep.Took != 4*time.Second {
			t.Errorf("took %v: a and b did not run side by side", rep.Took)
		}
		c := rep.Decision("c")
		if c.Queued != 3*time.Second || c.Ran != time.Second || c.After != "a" || c.Detail["model"] != "m@1" {
			t.Errorf("got %+v", c)
		}
		last, known, err := b.engine().Last(t.Context(), "s")
		if err != nil || !known || last.Decision("c").Ran != time.Second {
			t.Errorf("ledger: %v %v %+v", err, known, last.Decision("c"))
		}
	})
}

func TestTheLedgerNamesWhatEachNodeMade(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	rep := b.run(audioGraph(b, "v2"))
	made, err := Made(b.store.pages["s"])
	if err != nil || len(made["fetch"]) != 1 || len(made["topics"]) != 2 || !slices.Contains(made["topics"], rep.Decision("topics").Hash) {
		t.Errorf("%v, %v", made, err)
	}
	subject, known, err := Known(b.store.pages["s"])
	if err != nil || subject != "s" || known["topics"].Hash != rep.Decision("topics").Hash {
		t.Errorf("%v, %v", known, err)
	}
	if _, err := Made([]byte("{")); err == nil {
		t.Error("half a document was read")
	}
}
