package heads

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/feed/cursors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Documents = feed.Cursors(nil)

func documents(t *testing.T) Documents {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return cursors.New(cursors.Store{Bucket: b})
}

// Replicas that change one episode's editions at once lose none of the changes.
func TestNoChangeIsLost(t *testing.T) {
	shared := documents(t)
	const replicas, each = 4, 25
	var all sync.WaitGroup
	for range replicas {
		all.Go(func() {
			h := New(shared)
			for range each {
				_, err := h.Change(t.Context(), "e", func(e workers.Editions) workers.Editions {
					e.Begun++
					return e
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	e, err := New(shared).Look(t.Context(), "e")
	if err != nil || e.Begun != replicas*each {
		t.Errorf("%+v, %v", e, err)
	}
	if other, err := New(shared).Look(t.Context(), "f"); err != nil || other != (workers.Editions{}) {
		t.Errorf("another episode: %+v, %v", other, err)
	}
}

func TestATakedownIsKeptWhole(t *testing.T) {
	h := New(documents(t))
	want := workers.Editions{Begun: 7}.TakenDown(9)
	if got, err := h.Change(t.Context(), "..", func(workers.Editions) workers.Editions { return want }); err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := h.Look(t.Context(), ".."); err != nil || got != want || !got.Shown.Removed {
		t.Errorf("%+v, %v", got, err)
	}
}

// broken fails, and holds what nobody can read.
type broken struct{ err error }

func (b broken) LoadCursor(context.Context, string) ([]byte, error) { return []byte("{"), b.err }
func (b broken) SaveCursor(context.Context, string, []byte, []byte) (bool, error) {
	return false, errors.New("never called")
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	away := errors.New("away")
	for _, d := range []broken{{}, {away}} {
		_, err := New(d).Change(t.Context(), episode.ID("e"), func(e workers.Editions) workers.Editions { return e })
		if err == nil || !strings.Contains(err.Error(), "head of e") || d.err != nil && !errors.Is(err, away) {
			t.Errorf("%v", err)
		}
	}
}
