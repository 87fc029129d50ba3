package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/feed/feedtest"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("EARSHOT_TEST_QUEUE_CHILD"); path != "" {
		os.Exit(workUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, o Options) *Queue {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "queue.db"), o)
}

func openAt(t testing.TB, path string, o Options) *Queue {
	t.Helper()
	q, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func publish(t testing.TB, q *Queue, events ...episode.Event) {
	t.Helper()
	for _, e := range events {
		if added, err := q.Publish(t.Context(), e); err != nil || !added {
			t.Fatalf("Publish %s: %v, %v", e.ID, added, err)
		}
	}
}

func done() workers.Verdict {
	return workers.Verdict{Kind: workers.Done, Outcome: workers.Enriched}
}

func TestConformance(t *testing.T) {
	workerstest.Run(t, func(t *testing.T) workerstest.Harness {
		q := open(t, Options{})
		return workerstest.Harness{Source: q, Publish: func(ctx context.Context, e episode.Event) error {
			_, err := q.Publish(ctx, e)
			return err
		}}
	})
}

// Each test in a bubble has a clock of its own, on which hours pass at once.

func TestTheLeaseIsExtendedWhileTheHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Visibility: time.Minute, UntilEmpty: true})
		publish(t, q, workerstest.Event(1))
		var deliveries int
		handle := func(ctx context.Context, _ workers.Delivery) workers.Verdict {
			deliveries++
			<-time.After(time.Hour)
			if ctx.Err() != nil {
				t.Errorf("cancelled: %v", context.Cause(ctx))
			}
			return done()
		}
		var second sync.WaitGroup
		second.Go(func() {
			if err := q.Receive(t.Context(), 1, handle); err != nil {
				t.Error(err)
			}
		})
		if err := q.Receive(t.Context(), 1, handle); err != nil {
			t.Fatal(err)
		}
		second.Wait()
		if deliveries != 1 {
			t.Errorf("delivered %d times", deliveries)
		}
	})
}

func TestAForgottenLeaseComesBackAfterItsVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Visibility: time.Minute, UntilEmpty: true})
		publish(t, q, workerstest.Event(1))
		dead, err := q.lease(t.Context()) // by a worker that dies with it
		if err != nil || dead == nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			if waited := time.Since(began); waited < time.Minute || waited > time.Minute+time.Second {
				t.Errorf("came back after %s", waited)
			}
			if d.Attempt != 2 || d.Failures != 0 {
				t.Errorf("delivery = %+v", d)
			}
			return done()
		})
		if err != nil {
			t.Fatal(err)
		}
		if ours, err := q.settle(t.Context(), dead, workers.Verdict{Kind: workers.Release}); err != nil || ours {
			t.Errorf("a verdict under a lost lease had an effect: %v, %v", ours, err)
		}
	})
}

func TestALostLeaseCancelsTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{Visibility: time.Minute, UntilEmpty: true})
		publish(t, q, workerstest.Event(1))
		err := q.Receive(t.Context(), 1, func(ctx context.Context, d workers.Delivery) workers.Verdict {
			if d.Attempt > 1 {
				return done()
			}
			// Another process took the event, as it may after this one was
			// suspended for longer than the visibility.
			if _, err := q.db.ExecContext(ctx, `UPDATE event SET lease = 'another', visible_at = visible_at + 60000`); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, workers.ErrLeaseLost) {
				t.Errorf("cause = %v", cause)
			}
			return done()
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestARetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, Options{UntilEmpty: true})
		publish(t, q, workerstest.Event(1))
		var times []time.Time
		err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			times = append(times, time.Now())
			if d.Failures == 0 {
				return workers.Verdict{Kind: workers.Retry, After: 10 * time.Minute, Err: errors.New("not now")}
			}
			return done()
		})
		if err != nil || len(times) != 2 {
			t.Fatalf("%v, %v", times, err)
		}
		if waited := times[1].Sub(times[0]); waited < 10*time.Minute || waited > 10*time.Minute+time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestReleasesCountForNothing(t *testing.T) {
	q := open(t, Options{UntilEmpty: true})
	publish(t, q, workerstest.Event(1))
	releases := 0
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		if d.Attempt != 1 || d.Failures != 0 {
			t.Errorf("delivery = %+v", d)
		}
		if releases++; releases < 30 {
			return workers.Verdict{Kind: workers.Release}
		}
		return done()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLiveGoesFirstAndBacklogDoesNotStarve(t *testing.T) {
	q := open(t, Options{UntilEmpty: true, BacklogTurn: 4})
	for n := range 20 {
		e := workerstest.Event(n)
		e.Priority = episode.Backlog
		publish(t, q, e)
	}
	for n := range 20 {
		publish(t, q, workerstest.Event(100+n))
	}
	var order strings.Builder
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		order.WriteByte(map[bool]byte{true: 'b', false: 'l'}[d.Event.Priority == episode.Backlog])
		return done()
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := order.String(), strings.Repeat("lllb", 6)+"llb"+strings.Repeat("b", 13); got[:24] != want[:24] || strings.Count(got, "b") != 20 {
		t.Errorf("order = %s", got)
	}
}

func TestTheSameEventIsQueuedOnce(t *testing.T) {
	q := open(t, Options{UntilEmpty: true})
	first := workerstest.Event(1)
	first.Priority = episode.Backlog
	publish(t, q, first)
	again := first
	again.Priority = episode.Live
	again.FirstSeen = first.FirstSeen.Add(time.Hour)
	if added, err := q.Publish(t.Context(), again); err != nil || added {
		t.Fatalf("%v, %v", added, err)
	}
	if d, err := q.Depth(t.Context(), episode.Live); err != nil || d.Ready != 1 {
		t.Errorf("the live lane has %+v, %v", d, err)
	}
	special := first
	special.Control.Force = []string{"transcript"}
	publish(t, q, special)
	newer := first
	newer.Revision++
	publish(t, q, newer)
	deliveries := 0
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		deliveries++
		if !d.FirstSeen.Equal(first.FirstSeen) {
			t.Errorf("first seen %s", d.FirstSeen)
		}
		return done()
	})
	if err != nil || deliveries != 3 {
		t.Errorf("%d deliveries, %v", deliveries, err)
	}
	publish(t, q, first) // done is forgotten: whether to work again is not the queue's to say
}

func TestNoTargetsAreNotAllTargets(t *testing.T) {
	q := open(t, Options{UntilEmpty: true})
	e := workerstest.Event(1)
	e.Control.Targets = []string{}
	publish(t, q, e)
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		if d.Event.Control.Targets == nil || d.Event.Control.Force != nil {
			t.Errorf("%+v", d.Event.Control)
		}
		return done()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLetters(t *testing.T) {
	workerstest.RunLetters(t, func(t *testing.T) workerstest.LettersHarness {
		q := open(t, Options{})
		return workerstest.LettersHarness{Letters: q, Sources: []workers.Source{q}}
	})
}

// letters are all of a queue's dead letters, in the order of their filing.
func letters(t *testing.T, q *Queue) (all []workers.DeadLetter) {
	t.Helper()
	err := q.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		all = append(all, l)
		return workers.Keep, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestALaterLetterOfTheSameEventReplacesTheFirst(t *testing.T) {
	q := open(t, Options{})
	again := workerstest.Letter(1)
	again.Reason = "not audio"
	for _, l := range []workers.DeadLetter{workerstest.Letter(2), workerstest.Letter(1), again} {
		if err := q.File(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := letters(t, q), []workers.DeadLetter{again, workerstest.Letter(2)}; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestAnUnreadableEventBecomesADeadLetter(t *testing.T) {
	q := open(t, Options{UntilEmpty: true})
	publish(t, q, workerstest.Event(1), workerstest.Event(2))
	if _, err := q.db.ExecContext(t.Context(), `UPDATE event SET body = '{"id": 7' WHERE seq = 1`); err != nil {
		t.Fatal(err)
	}
	var got []episode.ID
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got = append(got, d.Event.ID)
		return done()
	})
	if err != nil || len(got) != 1 || got[0] != workerstest.Event(2).ID {
		t.Errorf("%v, %v", got, err)
	}
	if left := letters(t, q); len(left) != 1 || string(left[0].Raw) != `{"id": 7` || left[0].Reason != workers.Malformed {
		t.Errorf("%+v", left)
	}
}

func TestDepth(t *testing.T) {
	now := time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC)
	q := open(t, Options{Now: func() time.Time { return now }})
	publish(t, q, workerstest.Event(1), workerstest.Event(2), workerstest.Event(3))
	failed, err := q.lease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.settle(t.Context(), failed, workers.Verdict{Kind: workers.Retry, After: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.lease(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := q.Depth(t.Context(), episode.Live)
	if want := (Depth{Ready: 1, Delayed: 1, Leased: 1, Oldest: time.Hour}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := q.Depth(t.Context(), episode.Backlog); err != nil || got != (Depth{}) {
		t.Errorf("backlog: %+v, %v", got, err)
	}
}

func TestWhatCannotBeWorkedOnIsNotPublished(t *testing.T) {
	q := open(t, Options{})
	if _, err := q.Publish(t.Context(), episode.Event{ID: "x"}); err == nil || !strings.Contains(err.Error(), "revision") {
		t.Errorf("%v", err)
	}
}

func TestCursors(t *testing.T) {
	feedtest.Run(t, func(t *testing.T) func() feed.Cursors {
		path := filepath.Join(t.TempDir(), "queue.db")
		return func() feed.Cursors { return openAt(t, path, Options{}) }
	})
}

func TestManyOpenOneFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			q, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 5 {
				if _, err := q.Publish(t.Context(), workerstest.Event(10*n+i)); err != nil {
					t.Error(err)
				}
			}
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if d, err := openAt(t, path, Options{}).Depth(t.Context(), episode.Live); err != nil || d.Ready != 40 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "no", "folder.db"), Options{})
	if err == nil || !strings.Contains(err.Error(), "is its folder there and writable?") {
		t.Errorf("%v", err)
	}
}

func BenchmarkPublish(b *testing.B) {
	q := open(b, Options{})
	n := 0
	for b.Loop() {
		n++
		if _, err := q.Publish(b.Context(), workerstest.Event(n)); err != nil {
			b.Fatal(fmt.Errorf("event %d: %w", n, err))
		}
	}
}

func TestRemovalsGoBeforeAllElse(t *testing.T) {
	for turn := 1; turn <= 2; turn++ { // of backlog's
		q := open(t, Options{UntilEmpty: true, BacklogTurn: turn})
		old := workerstest.Event(2)
		old.Priority = episode.Backlog
		publish(t, q, workerstest.Event(1), old)
		r := episode.Removal{ID: workerstest.Event(1).ID, Revision: workerstest.Event(1).Revision, Reason: "asked for"}
		for range 2 { // the second is the same
			if err := q.Remove(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		var got []workers.Delivery
		err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			got = append(got, d)
			return done()
		})
		if err != nil || len(got) != 3 || got[0].Removal == nil || *got[0].Removal != r || got[0].Event.ID != r.ID {
			t.Errorf("turn %d: %v, %+v", turn, err, got)
		}
	}
	if err := open(t, Options{}).Remove(t.Context(), episode.Removal{ID: "x"}); err == nil {
		t.Error("a removal without a revision was taken")
	}
}

func TestTheFilesAreForTheirOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	publish(t, openAt(t, path, Options{}), workerstest.Event(1))
	for _, name := range []string{path, path + "-wal"} {
		if s, err := os.Stat(name); err != nil || s.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
