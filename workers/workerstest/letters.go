package workerstest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// LettersHarness is a keeper of dead letters and the sources to which it
// replays them: each lane in Sources gets what belongs there.
type LettersHarness struct {
	Letters workers.Letters
	Sources []workers.Source
}

// Letter makes the n-th dead letter.
func Letter(n int) workers.DeadLetter {
	e := Event(n)
	return workers.DeadLetter{
		ID: workers.LetterID(workers.Delivery{Event: e}), Event: e,
		Node: "decode", Reason: "no audio", Detail: "why", Attempts: 2, Filed: time.Date(2026, 11, 23, 0, n, 0, 0, time.UTC),
	}
}

// RunLetters runs the suite of workers.Letters; open gives an empty keeper
// that open's t cleans up.
func RunLetters(t *testing.T, open func(t *testing.T) LettersHarness) {
	tests := []struct {
		name string
		run  func(*testing.T, LettersHarness)
	}{
		{"a letter is kept whole", letterKeptWhole},
		{"what is kept stays", keptStays},
		{"a replay delivers the event again", replayDelivers},
		{"a removal is replayed as one", replaysRemoval},
		{"what is dropped is gone", droppedIsGone},
		{"a malformed letter is not replayed", malformedStays},
		{"an error of decide ends the pass", decideEnds},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func fileAll(t *testing.T, h LettersHarness, letters ...workers.DeadLetter) {
	t.Helper()
	for _, l := range letters {
		if err := h.Letters.File(t.Context(), l); err != nil {
			t.Fatalf("File: %v", err)
		}
	}
}

// sift passes over all letters and returns them in the order of their names.
func sift(t *testing.T, h LettersHarness, fates map[string]workers.Fate) (seen []workers.DeadLetter) {
	t.Helper()
	err := h.Letters.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		seen = append(seen, l)
		if f := fates[l.ID]; f != "" {
			return f, nil
		}
		return workers.Keep, nil
	})
	if err != nil {
		t.Fatalf("Sift: %v", err)
	}
	slices.SortFunc(seen, func(a, b workers.DeadLetter) int { return a.Filed.Compare(b.Filed) })
	return seen
}

func ids(letters []workers.DeadLetter) (ids []string) {
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}

func letterKeptWhole(t *testing.T, h LettersHarness) {
	raw := []byte("\xff\x00 no message")
	malformed := workers.DeadLetter{
		ID: workers.LetterID(workers.Delivery{Raw: raw}), Raw: raw, Reason: workers.Malformed,
		Detail: "event: message: cut off", Attempts: 1, Filed: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC),
	}
	want := []workers.DeadLetter{Letter(1), Letter(2), malformed}
	fileAll(t, h, want...)
	if got := sift(t, h, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("kept\n%+v\nwant\n%+v", got, want)
	}
}

func keptStays(t *testing.T, h LettersHarness) {
	fileAll(t, h, Letter(1), Letter(2), Letter(3))
	for range 3 {
		if got := sift(t, h, nil); len(got) != 3 {
			t.Errorf("%d letters, want 3", len(got))
		}
	}
}

// delivered receives from all sources until n events came.
func delivered(t *testing.T, h LettersHarness, n int) (all []workers.Delivery) {
	t.Helper()
	got := make(chan workers.Delivery, n+8)
	for _, s := range h.Sources {
		defer receive(t, s, 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
			got <- d
			return done()
		})()
	}
	for range n {
		all = append(all, next(t, got))
	}
	return all
}

func replayDelivers(t *testing.T, h LettersHarness) {
	backlog := Letter(2)
	backlog.Event.Priority = episode.Backlog
	fileAll(t, h, Letter(1), backlog, Letter(3))
	sift(t, h, map[string]workers.Fate{Letter(1).ID: workers.Replay, backlog.ID: workers.Replay})
	got := delivered(t, h, 2)
	slices.SortFunc(got, func(a, b workers.Delivery) int { return int(a.Event.Revision - b.Event.Revision) })
	for i, want := range []workers.DeadLetter{Letter(1), backlog} {
		if d := got[i]; d.Event.ID != want.Event.ID || d.Event.Title != want.Event.Title || d.Event.Priority != want.Event.Priority || d.Attempt != 1 || d.Failures != 0 {
			t.Errorf("delivered %+v, want %+v as new", d, want.Event)
		}
	}
	if left := ids(sift(t, h, nil)); !slices.Equal(left, []string{Letter(3).ID}) {
		t.Errorf("left are %v", left)
	}
}

func replaysRemoval(t *testing.T, h LettersHarness) {
	r := episode.Removal{ID: Event(1).ID, Revision: Event(1).Revision, Reason: "asked for"}
	l := workers.DeadLetter{
		Event: episode.Event{ID: r.ID, Revision: r.Revision}, Removal: &r,
		Reason: "failed too often", Attempts: 5, Filed: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
	}
	l.ID = workers.LetterID(workers.Delivery{Event: l.Event, Removal: &r})
	fileAll(t, h, l)
	sift(t, h, map[string]workers.Fate{l.ID: workers.Replay})
	if d := delivered(t, h, 1)[0]; d.Removal == nil || *d.Removal != r || d.Event.ID != r.ID || d.Event.Revision != r.Revision {
		t.Errorf("delivered %+v", d)
	}
}

func droppedIsGone(t *testing.T, h LettersHarness) {
	fileAll(t, h, Letter(1), Letter(2))
	sift(t, h, map[string]workers.Fate{Letter(1).ID: workers.Drop})
	if left := ids(sift(t, h, nil)); !slices.Equal(left, []string{Letter(2).ID}) {
		t.Errorf("left are %v", left)
	}
}

func malformedStays(t *testing.T, h LettersHarness) {
	l := Letter(1)
	l.Reason, l.Raw = workers.Malformed, []byte("no message")
	fileAll(t, h, l)
	err := h.Letters.Sift(t.Context(), func(workers.DeadLetter) (workers.Fate, error) { return workers.Replay, nil })
	if !errors.Is(err, workers.ErrNoReplay) {
		t.Errorf("Sift = %v", err)
	}
	if left := sift(t, h, nil); len(left) != 1 {
		t.Errorf("%d letters are left", len(left))
	}
}

func decideEnds(t *testing.T, h LettersHarness) {
	fileAll(t, h, Letter(1), Letter(2), Letter(3))
	enough := errors.New("enough")
	calls := 0
	err := h.Letters.Sift(t.Context(), func(workers.DeadLetter) (workers.Fate, error) {
		if calls++; calls == 2 {
			return workers.Keep, enough
		}
		return workers.Drop, nil
	})
	if !errors.Is(err, enough) || calls != 2 {
		t.Errorf("Sift = %v after %d calls", err, calls)
	}
	if left := sift(t, h, nil); len(left) != 2 {
		t.Errorf("%d letters are left, want 2", len(left))
	}
}
