package dag

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// audioGraph has the shape of the graph that this engine was made for: two
// nodes on demand, one of them with a live value, and what is drawn from them.
func audioGraph(b *bench, topicModel string) *Graph {
	fetch := b.node("fetch", "1", "in")
	fetch.OnDemand = true
	decode := b.node("decode", "1", "fetch")
	decode.OnDemand = true
	decode.Func = func(ctx context.Context, t *Task) (io.Reader, error) {
		t.Publish("tape")
		return b.join(ctx, t, decode.Needs)
	}
	topics := b.node("topics", topicModel, "transcript")
	topics.Func = func(ctx context.Context, t *Task) (io.Reader, error) {
		if _, err := b.join(ctx, t, topics.Needs); err != nil {
			return nil, err
		}
		// Two versions of the model that give the same topics, and one that does not.
		return strings.NewReader("topics of " + strings.TrimSuffix(topicModel, "-retrained")), nil
	}
	publish := b.node("publish", "1", "preview")
	publish.Effect = true
	return b.graph(
		publish,
		b.node("preview", "1", "topics", "live:decode", "fetch"),
		topics,
		b.node("transcript", "1", "live:decode"),
		b.node("sound", "1", "live:decode"),
		decode, fetch,
	)
}

func TestSecondRunRunsNothingButEffects(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	equal(t, "first run", b.took(), "decode fetch preview publish sound topics transcript")
	rep := b.run(audioGraph(b, "v1"))
	equal(t, "second run", b.took(), "publish")
	equal(t, "decisions", describe(rep), `fetch: reused: artifact present
decode: skipped: nothing that ran needs it
transcript: reused: artifact present
topics: reused: artifact present
preview: reused: artifact present
publish: ran: an effect runs every time
sound: reused: artifact present
`)
}

func TestChangedModelRunsWhatDependsOnIt(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	b.took()
	rep := b.run(audioGraph(b, "v2"))
	equal(t, "ran", b.took(), "decode preview publish topics")
	equal(t, "why topics", rep.Decision("topics").Reason, "version changed: v1 → v2")
	equal(t, "why preview", rep.Decision("preview").Reason, "input topics changed")
	equal(t, "why decode", rep.Decision("decode").Reason, "needed live by preview")
}

func TestSameBytesCutARerunShort(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	b.took()
	b.run(audioGraph(b, "v1-retrained"))
	equal(t, "ran", b.took(), "publish topics")
}

func TestTargetsRunOnlyWhatTheyNeed(t *testing.T) {
	b := newBench(t)
	g := audioGraph(b, "v1")
	rep := b.run(g, func(r *Request) { r.Targets = []string{"topics"} })
	equal(t, "ran", b.took(), "decode fetch topics transcript")
	equal(t, "why not preview", rep.Decision("preview").Reason, "not needed by the targets topics")
	b.run(g, func(r *Request) { r.Targets = []string{} })
	equal(t, "ran for no targets", b.took(), "")
	b.run(g)
	equal(t, "ran for all", b.took(), "decode preview publish sound")
}

func TestForceRunsAndReplaces(t *testing.T) {
	b := newBench(t)
	b.run(audioGraph(b, "v1"))
	b.took()
	rep := b.run(audioGraph(b, "v1"), func(r *Request) { r.Force = []string{"topics", "sound"} })
	equal(t, "ran", b.took(), "decode publish sound topics")
	equal(t, "why", rep.Decision("sound").Reason, "forced")

	text := "one"
	n := Node{Name: "n", Func: func(context.Context, *Task) (io.Reader, error) { return strings.NewReader(text), nil }}
	g := b.graph(n)
	b.run(g)
	text = "two"
	equal(t, "unforced", b.bytes(b.run(g), "n"), "one")
	equal(t, "forced", b.bytes(b.run(g, func(r *Request) { r.Force = []string{"n"} }), "n"), "two")
	equal(t, "after", b.bytes(b.run(g), "n"), "two")
}

func TestPingRunsNothingAndSaysWhatWould(t *testing.T) {
	b := newBench(t)
	ping := func(r *Request) { r.Ping = true }
	equal(t, "empty store", describe(b.run(audioGraph(b, "v1"), ping)), `fetch: would-run: not made before
decode: may-run: depends on what comes of fetch
transcript: may-run: depends on what comes of decode
topics: may-run: depends on what comes of transcript
preview: may-run: depends on what comes of topics, decode, fetch
publish: would-run: an effect runs every time
sound: may-run: depends on what comes of decode
`)
	equal(t, "ran", b.took(), "")
	b.run(audioGraph(b, "v1"))
	b.took()
	equal(t, "changed model", describe(b.run(audioGraph(b, "v2"), ping)), `fetch: reused: artifact present
decode: may-run: if a node that needs it runs
transcript: reused: artifact present
topics: would-run: version changed: v1 → v2
preview: may-run: depends on what comes of topics
publish: would-run: an effect runs every time
sound: reused: artifact present
`)
	equal(t, "ran", b.took(), "")
}

func TestHashOutlivesBytes(t *testing.T) {
	b := newBench(t)
	rep := b.run(audioGraph(b, "v1"))
	b.took()
	delete(b.store.objects, rep.Decision("fetch").Hash)
	b.run(audioGraph(b, "v1"))
	equal(t, "nothing reads the bytes", b.took(), "publish")
	rep = b.run(audioGraph(b, "v2"))
	equal(t, "the preview reads them", b.took(), "decode fetch preview publish topics")
	equal(t, "why", rep.Decision("fetch").Reason, "its bytes are gone from the store")
}

func TestOtherBytesTheSecondTime(t *testing.T) {
	b := newBench(t)
	enclosure := "first"
	g := func(version string) *Graph {
		return b.graph(
			Node{Name: "fetch", OnDemand: true, Func: func(context.Context, *Task) (io.Reader, error) {
				b.ran("fetch")
				return strings.NewReader(enclosure), nil
			}},
			b.node("a", "1", "fetch"),
			b.node("b", version, "fetch", "a"),
		)
	}
	b.run(g("1"))
	b.took()
	enclosure = "second"
	delete(b.store.objects, hashOf([]byte("first")))
	rep := b.run(g("2"))
	// a was reused for the first bytes; with the second it is made anew, so
	// that one run never speaks of two enclosures.
	equal(t, "ran", b.took(), "a b fetch")
	equal(t, "b", b.bytes(rep, "b"), "b(second a(second))")
}

func TestCorruptBytesAreMadeAgain(t *testing.T) {
	b := newBench(t)
	rep := b.run(b.graph(b.node("a", "1", "in"), b.node("b", "1", "a")))
	b.took()
	b.store.objects[rep.Decision("a").Hash] = []byte("rot")
	rep = b.run(b.graph(b.node("a", "1", "in"), b.node("b", "2", "a")))
	equal(t, "ran", b.took(), "a b b")
	equal(t, "b", b.bytes(rep, "b"), "b(a(in))")
}

func TestStoreThatKeepsNothingEndsTheRun(t *testing.T) {
	b := newBench(t)
	g := b.graph(b.node("a", "1", "in"), b.node("b", "1", "a"))
	_, err := b.engine().Run(t.Context(), g, Request{Inputs: b.request().Inputs, Observe: func(e Event) {
		if e.Node == "a" && e.Kind == Stopped {
			clear(b.store.objects)
		}
	}})
	failure, _ := err.(*Failure)
	if failure == nil || failure.Kind != KindRetry || failure.Node != "b" {
		t.Fatalf("got %v", err)
	}
}

func TestInputsReachOnlyThoseWhoNeedThem(t *testing.T) {
	b := newBench(t)
	g, err := New([]string{"audio", "text"}, b.node("transcript", "1", "audio"), b.node("topics", "1", "transcript", "text"))
	if err != nil {
		t.Fatal(err)
	}
	give := func(text string) func(*Request) {
		return func(r *Request) { r.Inputs = map[string][]byte{"audio": nil, "text": []byte(text)} }
	}
	b.run(g, give("one"))
	equal(t, "first text", b.took(), "topics transcript")
	b.run(g, give("two"))
	equal(t, "second text", b.took(), "topics")
}

func TestRequestMustFitTheGraph(t *testing.T) {
	b := newBench(t)
	g := b.graph(b.node("a", "1", "in"))
	_, err := b.engine().Run(t.Context(), g, Request{
		Inputs: map[string][]byte{"out": nil}, Targets: []string{"b"}, Force: []string{"c"},
	})
	equal(t, "error", err.Error(), `request: no input "in"
request: inputs.out: the graph has no such input (has in)
request: targets: no node "b" (has a)
request: force: no node "c" (has a)`)
}

// A node's small result reaches those that need it from memory, and is stored
// all the same: a second run finds it.
func TestWhatARunMadeIsNotReadBack(t *testing.T) {
	b := newBench(t)
	made := b.node("made", "1", "in")
	made.Func = func(context.Context, *Task) (io.Reader, error) { return bytes.NewReader([]byte("small")), nil }
	var got string
	reads := b.node("reads", "1", "made")
	reads.Effect = true
	reads.Func = func(ctx context.Context, t *Task) (io.Reader, error) {
		body, err := t.Input("made").Bytes(ctx)
		got = string(body)
		return nil, err
	}
	opened := 0
	b.store.fail = func(op string) error {
		if op == "open" {
			opened++
		}
		return nil
	}
	g := b.graph(reads, made)
	b.run(g)
	if got != "small" || opened != 0 {
		t.Errorf("read %q, and opened %d artifacts", got, opened)
	}
	got = ""
	b.run(g)
	if got != "small" || opened != 1 {
		t.Errorf("in a second run: read %q, and opened %d artifacts", got, opened)
	}
}
