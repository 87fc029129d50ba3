package dag

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadersStartWhileThePublisherRuns(t *testing.T) {
	b := newBench(t)
	reading := make(chan struct{})
	var order []string
	decode := Node{Name: "decode", Needs: On("in"), OnDemand: true, Func: func(ctx context.Context, task *Task) (io.Reader, error) {
		task.Cleanup(func() { order = append(order, "tape closed") })
		task.Publish("tape")
		<-reading
		order = append(order, "decoded")
		return strings.NewReader("loudness"), nil
	}}
	reader := Node{Name: "reader", Needs: []Need{{Name: "decode", Live: true}}, Func: func(ctx context.Context, task *Task) (io.Reader, error) {
		task.Cleanup(func() { order = append(order, "reader closed") })
		close(reading)
		return strings.NewReader("read " + task.Input("decode").Live().(string)), nil
	}}
	rep := b.run(b.graph(decode, reader))
	equal(t, "reader", b.bytes(rep, "reader"), "read tape")
	equal(t, "order", strings.Join(order, ", "), "decoded, reader closed, tape closed")
	if _, err := (&Input{name: "decode", live: 1, from: func(context.Context, string) (io.ReadCloser, error) {
		return nil, errors.New("x")
	}}).Bytes(t.Context()); err == nil {
		t.Error("bytes of a live need were read")
	}
}

// A reader sees a broken tape before the decoder has said why: the verdict is
// the decoder's, and what the reader made of half a tape is not kept.
func TestPublishersFailureIsTheVerdict(t *testing.T) {
	for name, readerErr := range map[string]error{"reader does well": nil, "reader fails first": errors.New("tape broke")} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			read := make(chan struct{})
			decode := Node{Name: "decode", Func: func(_ context.Context, task *Task) (io.Reader, error) {
				task.Publish("tape")
				<-read
				return nil, Reject("not audio", nil)
			}}
			reader := Node{Name: "reader", Needs: []Need{{Name: "decode", Live: true}}, Func: func(context.Context, *Task) (io.Reader, error) {
				close(read)
				return strings.NewReader("half"), readerErr
			}}
			_, err := b.engine().Run(t.Context(), b.graph(decode, reader), b.request())
			equal(t, "error", err.Error(), "decode: not audio")
			if len(b.store.keys) != 0 {
				t.Errorf("kept %v", b.store.keys)
			}
		})
	}
}

func TestPublisherThatPublishesNothingIsRejected(t *testing.T) {
	b := newBench(t)
	_, err := b.engine().Run(t.Context(), b.graph(b.node("decode", "1"), b.node("reader", "1", "live:decode")), b.request())
	failure, ok := errors.AsType[*Failure](err)
	if !ok || failure.Kind != KindReject || failure.Node != "decode" {
		t.Fatalf("got %v", err)
	}
}

func TestPublisherCannotBeAGap(t *testing.T) {
	b := newBench(t)
	decode := Node{Name: "decode", Func: func(_ context.Context, task *Task) (io.Reader, error) {
		task.Publish("tape")
		return nil, LastingGap("no codec")
	}}
	_, err := b.engine().Run(t.Context(), b.graph(decode, b.node("reader", "1", "live:decode")), b.request())
	equal(t, "error", err.Error(), "decode: no codec: a node that others need live cannot be a gap")
}

func TestGapBelowAPublisherIsAGapOfItsReaders(t *testing.T) {
	b := newBench(t)
	rep := b.run(b.graph(failing("fetch", Gap("gone")), b.node("decode", "1", "fetch"), b.node("reader", "1", "live:decode")))
	equal(t, "decisions", describe(rep), "fetch: gap: gone\ndecode: gap: needs fetch: gone\nreader: gap: needs fetch: gone\n")
}

// A node that made an artifact may also hand on where it lies. If another
// worker's artifact came first, that is not the artifact, and is not handed on.
func TestOwnCopyIsHandedOnOnlyIfItIsTheArtifact(t *testing.T) {
	b := newBench(t)
	started, first := make(chan struct{}), make(chan struct{})
	fetch := func(text string, before func()) Node {
		return Node{Name: "fetch", Func: func(_ context.Context, task *Task) (io.Reader, error) {
			before()
			task.Publish("file of " + text)
			return strings.NewReader(text), nil
		}}
	}
	use := Node{Name: "use", Needs: On("fetch"), Func: func(ctx context.Context, task *Task) (io.Reader, error) {
		in := task.Input("fetch")
		if file, ok := in.Live().(string); ok {
			return strings.NewReader(file), nil
		}
		data, err := in.Bytes(ctx)
		return strings.NewReader("stored " + string(data)), err
	}}
	second := make(chan Report)
	go func() {
		rep, err := b.engine().Run(t.Context(), b.graph(fetch("second", func() { close(started); <-first }), use), b.request())
		if err != nil {
			t.Error(err)
		}
		second <- rep
	}()
	<-started
	use.Version = "other key"
	rep := b.run(b.graph(fetch("first", func() {}), use))
	equal(t, "first worker", b.bytes(rep, "use"), "file of first")
	close(first)
	equal(t, "second worker", b.bytes(<-second, "use"), "stored first")
}

func TestReaderOfACutOffPublisherStartsAgain(t *testing.T) {
	b := newBench(t)
	publisher := func(version string) *Graph {
		decode := b.node("decode", "1", "fetch")
		decode.OnDemand = true
		decode.Func = func(ctx context.Context, task *Task) (io.Reader, error) {
			task.Publish("tape")
			return b.join(ctx, task, decode.Needs)
		}
		return b.graph(b.node("fetch", "1", "in"), decode, b.node("reader", version, "live:decode"))
	}
	rep := b.run(publisher("1"))
	b.took()
	b.store.objects[rep.Decision("fetch").Hash] = []byte("rot")
	rep = b.run(publisher("2"))
	equal(t, "ran", b.took(), "decode decode fetch reader reader")
	equal(t, "reader", b.bytes(rep, "reader"), "reader(live tape)")
}

func TestEventsComeInOrder(t *testing.T) {
	b := newBench(t)
	var events []string
	n := Node{Name: "n", Func: func(_ context.Context, task *Task) (io.Reader, error) {
		task.Progress(1, 2)
		task.Publish("x")
		task.Publish("y")
		return nil, nil
	}}
	b.run(b.graph(n, failing("gap", Gap("none"), On("n")...)), func(r *Request) {
		r.Observe = func(e Event) {
			text := e.Node + " " + string(e.Kind)
			if e.Err != nil {
				text += " " + e.Err.Error()
			}
			events = append(events, text)
		}
	})
	equal(t, "events", strings.Join(events, ", "), "n started, n progressed, n published, n stopped, gap started, gap stopped none")
}
