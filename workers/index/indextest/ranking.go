package indextest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

func facets(t *testing.T, x index.Index) {
	topics := [][]string{{"Sports", "Travel"}, {"Sports"}, {"Science"}}
	for i, names := range topics {
		d := document(i+1, 1, "common words")
		for _, name := range names {
			d.Topics = append(d.Topics, episode.Topic{Name: name, ID: name})
		}
		if i == 2 {
			d.Language = "fr"
			d.Segments[0].Text = "autres mots"
		}
		d.SoundEvents = []episode.SoundEvent{{Label: "Music", ID: "/m/04rlf"}, {Label: "Music", ID: "/m/04rlf", Span: episode.Span{Start: 5, End: 6}}}
		put(t, x, index.Stored, d)
	}
	tests := []struct {
		query index.Query
		want  index.Facets
	}{
		{index.Query{Limit: 1}, index.Facets{
			Language: []index.Facet{{Value: "en", Count: 2}, {Value: "fr", Count: 1}},
			Topic:    []index.Facet{{Value: "Sports", Count: 2}, {Value: "Science", Count: 1}, {Value: "Travel", Count: 1}},
			Event:    []index.Facet{{Value: "Music", Count: 3}},
		}},
		{index.Query{Text: "common", Topic: "travel"}, index.Facets{
			Language: []index.Facet{{Value: "en", Count: 1}},
			Topic:    []index.Facet{{Value: "Sports", Count: 1}, {Value: "Travel", Count: 1}},
			Event:    []index.Facet{{Value: "Music", Count: 1}},
		}},
		{index.Query{Text: "absent"}, index.Facets{Language: []index.Facet{}, Topic: []index.Facet{}, Event: []index.Facet{}}},
	}
	for _, test := range tests {
		if got := search(t, x, test.query).Facets; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v: %+v, want %+v", test.query, got, test.want)
		}
	}
}

func paging(t *testing.T, x index.Index) {
	for n := 1; n <= 23; n++ {
		put(t, x, index.Stored, document(n, 1, "the same words"))
	}
	for _, text := range []string{"", "words"} {
		seen := map[episode.ID]bool{}
		for offset := 0; ; offset += 5 {
			page := search(t, x, index.Query{Text: text, Offset: offset, Limit: 5})
			if page.Total != 23 {
				t.Fatalf("total = %d", page.Total)
			}
			for _, h := range page.Hits {
				if seen[h.ID] {
					t.Errorf("%s is on two pages of %q", h.ID, text)
				}
				seen[h.ID] = true
			}
			if len(page.Hits) == 0 {
				break
			}
		}
		if len(seen) != 23 {
			t.Errorf("%d episodes on all pages of %q", len(seen), text)
		}
	}
}

func newestFirst(t *testing.T, x index.Index) {
	for _, n := range []int{2, 5, 1, 4, 3} {
		put(t, x, index.Stored, document(n, 1))
	}
	hits := search(t, x, index.Query{}).Hits
	for i, h := range hits {
		if want := ID(5 - i); h.ID != want {
			t.Errorf("place %d is %s, want %s", i, h.ID, want)
		}
		if len(h.Moments) != 0 || h.Score != 0 {
			t.Errorf("without text: %+v", h)
		}
	}
}

func titlesWeighMore(t *testing.T, x index.Index) {
	spoken := document(1, 1, "someone mentions a volcano in passing and goes on to other things")
	titled := document(2, 1, "we went up and saw lava and smoke and heard it rumble in the night")
	titled.Title = "Volcano"
	other := document(3, 1, "nothing to do with it")
	for _, d := range []index.Document{spoken, titled, other} {
		put(t, x, index.Stored, d)
	}
	hits := search(t, x, index.Query{Text: "volcano"}).Hits
	if len(hits) != 2 || hits[0].ID != ID(2) || hits[0].Score <= hits[1].Score {
		t.Errorf("hits = %+v", hits)
	}
}

func writersAtOnce(t *testing.T, x index.Index) {
	var writers sync.WaitGroup
	for revision := range 12 {
		writers.Go(func() {
			if _, err := x.Put(t.Context(), document(1, episode.Revision(revision+1), fmt.Sprintf("edition%d", revision+1))); err != nil {
				t.Error(err)
			}
			if _, err := x.Search(t.Context(), index.Query{Text: "edition*"}); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got, err := x.Get(t.Context(), ID(1)); err != nil || got.Version.Revision != 12 {
		t.Errorf("Get = %v, %v", got.Version, err)
	}
	expect(t, x, index.Query{Text: "edition12"}, 1)
	expect(t, x, index.Query{Text: "edition* -edition12"})
}

// anyOrder: whatever order puts and removals arrive in, the newest wins, and
// among equals of one revision the removal.
func anyOrder(t *testing.T, x index.Index) {
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		type change struct {
			version episode.Version
			remove  bool
		}
		var want change
		changes := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) change {
			return change{
				episode.Version{Revision: episode.Revision(rapid.IntRange(1, 4).Draw(r, "revision")), Generation: episode.Generation(rapid.IntRange(1, 3).Draw(r, "generation"))},
				rapid.IntRange(0, 3).Draw(r, "remove") == 0,
			}
		}), 1, 8).Draw(r, "changes")
		for _, c := range changes {
			var err error
			if c.remove {
				c.version.Generation = 0
				_, err = x.Remove(t.Context(), ID(n), c.version.Revision)
			} else {
				d := document(1, c.version.Revision, "words")
				d.ID, d.Version = ID(n), c.version
				_, err = x.Put(t.Context(), d)
			}
			if err != nil {
				r.Fatal(err)
			}
			switch {
			case c.version.Revision != want.version.Revision:
				if c.version.Revision > want.version.Revision {
					want = c
				}
			case want.remove:
			case c.remove || c.version.Generation > want.version.Generation:
				want = c
			}
		}
		got, err := x.Get(t.Context(), ID(n))
		if err != nil || got.Version != want.version || got.Removed != want.remove {
			r.Fatalf("after %+v: %+v, %v; want %+v", changes, got, err, want)
		}
	})
}

func moreLikeThis(t *testing.T, x index.Index) {
	at := func(n int, model string, values ...episode.Component) index.Document {
		d := document(n, 1, "common words")
		d.Embedding = &episode.Embedding{Model: model, Values: values}
		return d
	}
	far, near := at(2, "m@1", -1, 0), at(3, "m@1", 0.8, 0.6)
	far.Language = "fr"
	for _, d := range []index.Document{
		at(1, "m@1", 1, 0), far, near, at(4, "m@1", 0, 1), at(5, "m@2", 1, 0), at(6, "m@1", 1, 0, 0), document(7, 1, "common words"),
	} {
		put(t, x, index.Stored, d)
	}
	order := func(q index.Query) (ids []episode.ID) {
		t.Helper()
		page := search(t, x, q)
		for i, h := range page.Hits {
			ids = append(ids, h.ID)
			if i > 0 && h.Score > page.Hits[i-1].Score {
				t.Errorf("%+v: scores rise: %v after %v", q, h.Score, page.Hits[i-1].Score)
			}
		}
		return ids
	}
	for _, test := range []struct {
		query index.Query
		want  []episode.ID
	}{
		{index.Query{Like: ID(1)}, []episode.ID{ID(3), ID(4), ID(2)}},
		{index.Query{Like: ID(1), Limit: 1, Offset: 1}, []episode.ID{ID(4)}},
		{index.Query{Like: ID(1), Language: "fr"}, []episode.ID{ID(2)}},
		{index.Query{Like: ID(1), Text: "common -absent"}, []episode.ID{ID(3), ID(4), ID(2)}},
		{index.Query{Like: ID(1), Text: "absent"}, nil},
		{index.Query{Like: ID(5)}, nil}, // no other of its model
	} {
		if got := order(test.query); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%+v finds %v, want %v", test.query, got, test.want)
		}
	}
	if hit := search(t, x, index.Query{Like: ID(1)}).Hits[0]; math.Abs(hit.Score-0.8) > 1e-6 {
		t.Errorf("likeness %v, want 0.8", hit.Score)
	}
	if _, err := x.Search(t.Context(), index.Query{Like: ID(99)}); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("like what is not there: %v", err)
	}
	if _, ok := errors.AsType[*index.QueryError](second(x.Search(t.Context(), index.Query{Like: ID(7)}))); !ok {
		t.Error("like an episode without an embedding: want a *QueryError")
	}
	near.Version.Revision, near.Embedding = 2, nil
	put(t, x, index.Stored, near)
	if _, err := x.Remove(t.Context(), ID(4), 1); err != nil {
		t.Fatal(err)
	}
	if got := order(index.Query{Like: ID(1)}); !reflect.DeepEqual(got, []episode.ID{ID(2)}) {
		t.Errorf("after an edition without an embedding and a removal: %v", got)
	}
	if _, err := x.Search(t.Context(), index.Query{Like: ID(4)}); !errors.Is(err, index.ErrNotFound) {
		t.Errorf("like what was taken down: %v", err)
	}
}

func second(_ index.Page, err error) error { return err }
