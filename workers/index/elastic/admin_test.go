package elastic

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
)

func TestCreateMayRunTwiceAndAtOnce(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		o := fresh(t, url)
		var replicas sync.WaitGroup
		for range 3 {
			x := client(t, o)
			replicas.Go(func() {
				if pair, err := x.Create(t.Context()); err != nil || pair != 1 {
					t.Errorf("pair %d, %v", pair, err)
				}
			})
		}
		replicas.Wait()
		x := client(t, o)
		put(t, x, index.Stored, document("e", 1, 1))
		if pair, err := x.Create(t.Context()); err != nil || pair != 1 {
			t.Errorf("pair %d, %v", pair, err)
		}
		if _, err := x.Get(t.Context(), "e"); err != nil {
			t.Error(err)
		}
		if err := x.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCheckNamesEveryFault(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		o := fresh(t, url)
		x := client(t, o)
		says := func(wants ...string) {
			t.Helper()
			err := x.Check(t.Context())
			for _, want := range wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Check does not say %q: %v", want, err)
				}
			}
		}
		says("no alias "+o.Episodes+":", "no alias "+o.Episodes+"-write", "no alias "+o.Segments+":", "no alias "+o.Segments+"-write",
			"no index template "+o.Episodes, "no index template "+o.Segments, "earshot index create")
		if _, err := x.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := x.setProvenance(t.Context(), x.episodesOf(1), provenance{Earshot: 99}); err != nil {
			t.Fatal(err)
		}
		if err := x.block(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		says("mapping 99", "earshot index reindex", x.segmentsOf(1)+" is closed to writers", "earshot index swap")
		if err := x.unblock(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := x.createPair(t.Context(), 2, nil, provenance{Earshot: mappingVersion}); err != nil {
			t.Fatal(err)
		}
		add := field{"actions": []field{{"add": field{"index": x.episodesOf(2), "alias": o.Episodes}}}}
		if err := x.perform(t.Context(), http.MethodPost, "/_aliases", nil, add, nil); err != nil {
			t.Fatal(err)
		}
		says("the alias " + o.Episodes + " names " + x.episodesOf(1) + " and " + x.episodesOf(2))
		if _, err := x.Reindex(t.Context(), nil); err == nil {
			t.Error("Reindex of what is not as it should be")
		}
	})
	o := fresh(t, "http://127.0.0.1:1")
	x := client(t, o)
	x.pause = func(context.Context, time.Duration) error { return nil }
	if err := x.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("of nothing: %v", err)
	}
}

// traffic is writers that put and remove, and searchers that look for gaps.
type traffic struct {
	t    *testing.T
	x    *Index
	stop chan struct{}
	all  sync.WaitGroup

	mu    sync.Mutex
	acked map[episode.ID]index.Entry // what was last acknowledged
}

// steady is how many episodes there are that nobody touches.
const steady = 120

func steadyEpisode(n int) index.Document {
	d := document(episode.ID(fmt.Sprintf("steady-%d", n)), 1, 2)
	d.Title = "steady"
	return d
}

func (tr *traffic) start() {
	for w := range 2 {
		tr.all.Go(func() { tr.write(w) })
	}
	tr.all.Go(tr.search)
}

func (tr *traffic) end() {
	close(tr.stop)
	tr.all.Wait()
}

func (tr *traffic) ended() bool {
	select {
	case <-tr.stop:
		return true
	default:
		return tr.t.Failed()
	}
}

// write changes episodes of its own, so that it knows what they must be.
func (tr *traffic) write(w int) {
	random := rand.New(rand.NewPCG(7, uint64(w)))
	for revision := episode.Revision(1); !tr.ended(); revision++ {
		id := episode.ID(fmt.Sprintf("w%d-%d", w, random.IntN(12)))
		entry := index.Entry{Document: document(id, revision, 1+random.IntN(4))}
		if random.IntN(4) == 0 {
			entry = index.Entry{Document: index.Document{ID: id, Version: episode.Version{Revision: revision}}, Removed: true}
		}
		if err := tr.change(entry); err != nil {
			tr.t.Error(err)
			return
		}
		tr.mu.Lock()
		tr.acked[id] = entry
		tr.mu.Unlock()
		// What was acknowledged is found as it is, and nothing before it.
		page, err := tr.x.Search(tr.t.Context(), index.Query{Text: fmt.Sprintf("edition%d", revision), Limit: 50})
		if err != nil {
			tr.t.Error(err)
			return
		}
		found := slices.ContainsFunc(page.Hits, func(h index.Hit) bool { return h.ID == id })
		if found == entry.Removed {
			tr.t.Errorf("%s revision %d, removed %v, is found: %v", id, revision, entry.Removed, found)
		}
		if got, err := tr.x.Get(tr.t.Context(), id); err != nil || got.Version != entry.Version || got.Removed != entry.Removed {
			tr.t.Errorf("%s is %v, removed %v, %v; acknowledged was %v", id, got.Version, got.Removed, err, entry.Version)
		}
	}
}

// change makes a change until it is acknowledged: on a machine that is busy a
// swap takes longer than one Put waits for it.
func (tr *traffic) change(e index.Entry) (err error) {
	for {
		if e.Removed {
			_, err = tr.x.Remove(tr.t.Context(), e.ID, e.Version.Revision)
		} else {
			_, err = tr.x.Put(tr.t.Context(), e.Document)
		}
		if _, later := errors.AsType[*index.Unavailable](err); !later {
			return err
		}
	}
}

func (tr *traffic) search() {
	for offset := 0; !tr.ended(); offset = (offset + 17) % (steady - 10) {
		page, err := tr.x.Search(tr.t.Context(), index.Query{Text: "steady said", Offset: offset})
		if err != nil {
			tr.t.Error(err)
			return
		}
		if page.Total != steady || len(page.Hits) != 10 {
			tr.t.Errorf("a searcher finds %d of %d", page.Total, steady)
		}
		for _, h := range page.Hits {
			if len(h.Moments) != 2 {
				tr.t.Errorf("%s has %d moments of 2", h.ID, len(h.Moments))
			}
		}
	}
}

// check compares what is held in the end with what was acknowledged.
func (tr *traffic) check() {
	tr.t.Helper()
	for id, want := range tr.acked {
		got, err := tr.x.Get(tr.t.Context(), id)
		if err != nil || got.Version != want.Version || got.Removed != want.Removed {
			tr.t.Errorf("%s is %v, removed %v, %v; acknowledged was %v, %v", id, got.Version, got.Removed, err, want.Version, want.Removed)
		}
		if n, editions := segmentsHeld(tr.t, tr.x, tr.x.writeSegments(), id); n != len(want.Segments) {
			tr.t.Errorf("%s has the segments %v, want %d", id, editions, len(want.Segments))
		}
	}
}

func TestAnotherIndexTakesItsPlaceUnderTraffic(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		o := fresh(t, url)
		o.Shards = 2
		x := client(t, o)
		if _, err := x.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all []encoded
		for n := range steady {
			e, err := encode(steadyEpisode(n))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		if err := x.fill(t.Context(), x.filling(1, newerOrSame), all); err != nil {
			t.Fatal(err)
		}
		left, err := encode(document("steady-3", 0, 3))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.bulk(t.Context(), x.writing().segmentItems(left), Later); err != nil {
			t.Fatal(err)
		}
		if err := x.refresh(t.Context(), o.Episodes, o.Segments); err != nil {
			t.Fatal(err)
		}
		tr := &traffic{t: t, x: client(t, o), stop: make(chan struct{}), acked: map[episode.ID]index.Entry{}}
		tr.start()
		for round := range 2 {
			if round == 1 {
				tr.end() // the second takes what the first has made
			}
			pair, err := x.Reindex(t.Context(), nil)
			if err != nil || pair != round+2 {
				t.Fatalf("Reindex: pair %d, %v", pair, err)
			}
			if old, now, err := x.Swap(t.Context()); err != nil || old != round+1 || now != pair {
				t.Fatalf("Swap: from %d to %d, %v", old, now, err)
			}
		}
		tr.check()
		if n, editions := segmentsHeld(t, x, x.writeSegments(), "steady-3"); n != 2 {
			t.Errorf("what an interrupted Put had left was copied: %v", editions)
		}
		if err := x.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, err := x.Swap(t.Context()); err == nil || !strings.Contains(err.Error(), "earshot index reindex") {
			t.Errorf("Swap with nothing to swap: %v", err)
		}
	})
}

func TestASwapThatWasCutShort(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		put(t, x, index.Stored, document("e", 1, 2))
		if _, err := x.Reindex(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		put(t, x, index.Stored, document("e", 2, 3))
		if err := x.block(t.Context(), 1); err != nil { // and there it was killed
			t.Fatal(err)
		}
		waited := 0
		waiting := client(t, x.options)
		waiting.pause = func(context.Context, time.Duration) error { waited++; return nil }
		_, err := waiting.Put(t.Context(), document("e", 3, 1))
		if _, ok := errors.AsType[*index.Unavailable](err); !ok || waited < attempts || !strings.Contains(err.Error(), "earshot index swap") {
			t.Errorf("after %d pauses: %v; want *index.Unavailable that says what to do", waited, err)
		}
		// A writer that waits goes on when the swap is through.
		waiting.pause = func(ctx context.Context, _ time.Duration) error {
			_, _, err := x.Swap(ctx)
			return err
		}
		put(t, waiting, index.Stored, document("e", 3, 1))
		for _, c := range []*Index{x, waiting} {
			if page := find(t, c, index.Query{Text: "edition*"}); page.Total != 1 || page.Hits[0].Title != "edition3" {
				t.Errorf("%+v", page)
			}
		}
		if n, editions := segmentsHeld(t, x, x.writeSegments(), "e"); n != 1 {
			t.Errorf("segments: %v", editions)
		}
	})
}

func TestASwapThatFailsLetsWritersGoOn(t *testing.T) {
	p := newProxy(t, node(t, elastictest.V7))
	x := create(t, p.url)
	put(t, x, index.Stored, document("e", 1, 2))
	if _, err := x.Reindex(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	p.answer(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path != "/_aliases" {
			return false
		}
		http.Error(w, `{"error":{"type":"security_exception","reason":"not allowed"},"status":403}`, http.StatusForbidden)
		return true
	})
	if _, _, err := x.Swap(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("%v", err)
	}
	put(t, x, index.Stored, document("e", 2, 1))
	if page := find(t, x, index.Query{Text: "edition2"}); page.Total != 1 {
		t.Errorf("%+v", page)
	}
}

func sequence(failing error, documents ...index.Document) iter.Seq2[index.Document, error] {
	return func(yield func(index.Document, error) bool) {
		for _, d := range documents {
			if !yield(d, nil) {
				return
			}
		}
		if failing != nil {
			yield(index.Document{}, failing)
		}
	}
}

func TestRebuildFromDocumentsTakesNothingBack(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		put(t, x, index.Stored, document("newer here", 5, 1))
		put(t, x, index.Stored, document("damaged", 5, 1))
		put(t, x, index.Stored, document("only here", 5, 1))
		put(t, x, index.Stored, document("taken down", 5, 1))
		if _, err := x.Remove(t.Context(), "taken down", 5); err != nil {
			t.Fatal(err)
		}
		mended := document("damaged", 5, 3)
		mended.Title = "mended"
		documents := []index.Document{document("newer here", 4, 2), mended, document("taken down", 5, 1), document("only given", 1, 2), document("only given", 2, 1)}
		broken := errors.New("an artifact cannot be read")
		if _, err := x.Rebuild(t.Context(), sequence(broken, documents...), nil); !errors.Is(err, broken) {
			t.Fatalf("%v", err)
		}
		told := 0
		pair, err := x.Rebuild(t.Context(), sequence(nil, documents...), func(n int) { told = n })
		if err != nil || told == 0 {
			t.Fatalf("pair %d, told %d, %v", pair, told, err)
		}
		put(t, x, index.Stored, document("meanwhile", 1, 1))
		if _, now, err := x.Swap(t.Context()); err != nil || now != pair {
			t.Fatalf("pair %d, %v", now, err)
		}
		for id, want := range map[episode.ID]struct {
			title    string
			segments int
		}{
			"newer here": {"edition5", 1}, "damaged": {"mended", 3}, "only here": {"edition5", 1}, "taken down": {"", 0}, "only given": {"edition2", 1}, "meanwhile": {"edition1", 1},
		} {
			got, err := x.Get(t.Context(), id)
			if err != nil || got.Title != want.title || got.Removed != (want.title == "") {
				t.Errorf("%s: %+v, %v", id, got, err)
			}
			if n, editions := segmentsHeld(t, x, x.writeSegments(), id); n != want.segments {
				t.Errorf("%s has the segments %v, want %d", id, editions, want.segments)
			}
		}
		if page := find(t, x, index.Query{}); page.Total != 5 {
			t.Errorf("%+v", page)
		}
		p, err := x.pairs(t.Context())
		if err != nil || len(p.all) != 2 {
			t.Errorf("what failed is still there: %+v, %v", p, err)
		}
	})
}

// Two who fill at once do not take each other's half for a whole.
func TestTwoReindexAtOnce(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		put(t, x, index.Stored, document("e", 1, 2))
		_, err := x.Rebuild(t.Context(), func(yield func(index.Document, error) bool) {
			if !yield(document("first", 1, 1), nil) {
				return
			}
			if pair, err := x.Reindex(t.Context(), nil); err != nil || pair != 3 {
				t.Errorf("pair %d, %v", pair, err)
			}
			yield(document("second", 1, 1), nil)
		}, nil)
		if err == nil || !strings.Contains(err.Error(), "one at a time") {
			t.Errorf("%v", err)
		}
		if _, now, err := x.Swap(t.Context()); err != nil || now != 3 {
			t.Fatalf("pair %d, %v", now, err)
		}
		put(t, x, index.Unchanged, document("e", 1, 2))
	})
}

// With nothing left but the artifacts, the index comes back.
func TestRebuildFromNothing(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := client(t, fresh(t, url))
		if _, err := x.Reindex(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "rebuild from the artifacts") {
			t.Errorf("Reindex: %v", err)
		}
		if _, err := x.Rebuild(t.Context(), sequence(nil, document("e", 1, 2)), nil); err != nil {
			t.Fatal(err)
		}
		if _, now, err := x.Swap(t.Context()); err != nil || now != 1 {
			t.Fatalf("pair %d, %v", now, err)
		}
		put(t, x, index.Unchanged, document("e", 1, 2))
		if err := x.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
