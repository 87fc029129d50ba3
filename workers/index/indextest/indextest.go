// Package indextest is the suite that every driver of package index must pass.
package indextest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// Run runs the suite; open gives an empty index that open's t cleans up.
func Run(t *testing.T, open func(t *testing.T) index.Index) {
	tests := []struct {
		name string
		run  func(*testing.T, index.Index)
	}{
		{"what was put comes back", putComesBack},
		{"the version never goes back", versionNeverGoesBack},
		{"what was taken down stays down", takenDownStaysDown},
		{"nothing of an older version is found", olderVersionIsGone},
		{"search finds the moment", findsTheMoment},
		{"the query language", queryLanguage},
		{"queries cannot break out", hostileQueries},
		{"accents and case do not matter", accents},
		{"languages without spaces", withoutSpaces},
		{"filters", filters},
		{"facets count what matches", facets},
		{"pages do not overlap", paging},
		{"newest first without text", newestFirst},
		{"titles weigh more than speech", titlesWeighMore},
		{"more like this", moreLikeThis},
		{"queries that make no sense are refused", refused},
		{"writers at once agree on the newest", writersAtOnce},
		{"any order of changes ends alike", anyOrder},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// ID makes the n-th episode's id.
func ID(n int) episode.ID { return episode.NewID("suite", fmt.Sprint(n)) }

func document(n int, revision episode.Revision, speech ...string) index.Document {
	d := index.Document{
		ID:          ID(n),
		Version:     episode.Version{Revision: revision, Generation: 1},
		Podcast:     "9b024349-ccf0-5f69-a609-6b82873eab3c",
		Title:       fmt.Sprintf("Number %d", n),
		PublishedAt: time.Date(2026, 11, n, 6, 0, 0, 0, time.UTC),
		Duration:    90,
		Language:    "en",
	}
	for i, s := range speech {
		start := episode.Seconds(10 * i)
		d.Segments = append(d.Segments, index.Segment{Span: episode.Span{Start: start, End: start + 5}, Text: s})
	}
	return d
}

func put(t *testing.T, x index.Index, want index.Result, d index.Document) {
	t.Helper()
	if got, err := x.Put(t.Context(), d); err != nil || got != want {
		t.Fatalf("Put %s %v = %q, %v; want %q", d.ID, d.Version, got, err, want)
	}
}

func search(t *testing.T, x index.Index, q index.Query) index.Page {
	t.Helper()
	page, err := x.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("Search %+v: %v", q, err)
	}
	return page
}

// expect checks which episodes a query finds, in any order.
func expect(t *testing.T, x index.Index, q index.Query, want ...int) {
	t.Helper()
	page := search(t, x, q)
	got := map[episode.ID]bool{}
	for _, h := range page.Hits {
		got[h.ID] = true
	}
	ids := map[episode.ID]bool{}
	for _, n := range want {
		ids[ID(n)] = true
	}
	if !reflect.DeepEqual(got, ids) || page.Total != len(want) {
		t.Errorf("%+v finds %d: %v, want %v", q, page.Total, got, want)
	}
}

func putComesBack(t *testing.T, x index.Index) {
	if _, err := x.Get(t.Context(), ID(1)); !errors.Is(err, index.ErrNotFound) {
		t.Fatalf("Get of what never was: %v", err)
	}
	d := document(1, 5, "hello there", "and good bye")
	d.Description = "A description"
	explicit := false // which is not the same as unsaid
	d.Explicit = &explicit
	d.Topics = []episode.Topic{{Taxonomy: "iab-3.1", ID: "483", Name: "Sports", Score: 0.91}}
	d.SoundEvents = []episode.SoundEvent{{Label: "Music", ID: "/m/04rlf", Span: episode.Span{End: 6.24}, Confidence: 0.97}}
	d.Chapters = []episode.Chapter{{Start: 0, Title: "Introduction"}}
	d.Embedding = &episode.Embedding{Model: "m@1", Values: []episode.Component{0.6, -0.8}}
	d.Preview = &episode.Preview{Span: episode.Span{Start: 12.4, End: 71.9}, Score: 0.77, Manifest: "episodes/x/preview.json",
		Renditions: []episode.Rendition{{Codec: "vorbis", Container: "ogg", BitrateKbps: 96}}}
	put(t, x, index.Stored, d)
	got, err := x.Get(t.Context(), d.ID)
	if err != nil || got.Removed || !reflect.DeepEqual(got.Document, d) {
		t.Fatalf("Get = %+v, %v\nwant %+v", got, err, d)
	}
	put(t, x, index.Unchanged, d)
	if h := search(t, x, index.Query{Text: "hello"}).Hits[0]; h.Preview != d.Preview.Manifest || h.Language != "en" || h.Duration != 90 || !h.PublishedAt.Equal(d.PublishedAt) {
		t.Errorf("hit = %+v", h)
	}
}

func versionNeverGoesBack(t *testing.T, x index.Index) {
	newer := document(1, 10, "the second edition")
	put(t, x, index.Stored, newer)
	put(t, x, index.Overtaken, document(1, 9, "the first edition"))
	older := document(1, 10, "an older pipeline")
	older.Version.Generation = 0
	put(t, x, index.Overtaken, older)
	if got, err := x.Get(t.Context(), ID(1)); err != nil || got.Version != newer.Version {
		t.Fatalf("Get = %+v, %v", got.Version, err)
	}
	expect(t, x, index.Query{Text: "first"})
	expect(t, x, index.Query{Text: "pipeline"})
	newer.Version.Generation = 2
	newer.Title = "Made by a newer pipeline"
	put(t, x, index.Stored, newer)
	newer.Title = "Made again by the same"
	put(t, x, index.Stored, newer)
	expect(t, x, index.Query{Text: "again"}, 1)
}

func takenDownStaysDown(t *testing.T, x index.Index) {
	remove := func(want index.Result, n int, revision episode.Revision) {
		t.Helper()
		if got, err := x.Remove(t.Context(), ID(n), revision); err != nil || got != want {
			t.Fatalf("Remove %d revision %d = %q, %v; want %q", n, revision, got, err, want)
		}
	}
	put(t, x, index.Stored, document(1, 10, "regrettable words"))
	remove(index.Overtaken, 1, 9)
	expect(t, x, index.Query{Text: "regrettable"}, 1)
	remove(index.Stored, 1, 10)
	remove(index.Unchanged, 1, 10)
	expect(t, x, index.Query{Text: "regrettable"})
	expect(t, x, index.Query{})
	if got, err := x.Get(t.Context(), ID(1)); err != nil || !got.Removed || got.Version.Revision != 10 || got.Title != "" {
		t.Fatalf("Get of a removed episode = %+v, %v", got, err)
	}
	late := document(1, 10, "regrettable words")
	late.Version.Generation = 9
	put(t, x, index.Overtaken, late)
	put(t, x, index.Stored, document(1, 11, "better words"))
	expect(t, x, index.Query{Text: "words"}, 1)
	expect(t, x, index.Query{Text: "regrettable"})

	remove(index.Stored, 2, 7)
	put(t, x, index.Overtaken, document(2, 7, "never seen"))
	put(t, x, index.Stored, document(2, 8, "seen"))
}

func olderVersionIsGone(t *testing.T, x index.Index) {
	old := document(1, 1, "alpha", "beta", "gamma", "delta")
	old.Description = "epsilon"
	old.Topics = []episode.Topic{{Name: "Sports", ID: "483"}}
	old.SoundEvents = []episode.SoundEvent{{Label: "Music", ID: "/m/04rlf"}}
	put(t, x, index.Stored, old)
	next := document(1, 2, "alpha")
	next.Language = "fr"
	put(t, x, index.Stored, next)
	for _, gone := range []string{"beta", "gamma", "delta", "epsilon"} {
		expect(t, x, index.Query{Text: gone})
	}
	expect(t, x, index.Query{Topic: "Sports"})
	expect(t, x, index.Query{Event: "Music"})
	expect(t, x, index.Query{Language: "en"})
	page := search(t, x, index.Query{Text: "alpha"})
	if page.Total != 1 || len(page.Hits[0].Moments) != 1 {
		t.Errorf("page = %+v", page)
	}
	if f := page.Facets; len(f.Topic)+len(f.Event) != 0 || len(f.Language) != 1 || f.Language[0].Value != "fr" {
		t.Errorf("facets = %+v", f)
	}
}

func findsTheMoment(t *testing.T, x index.Index) {
	d := document(1, 1, "welcome to the show", "the goalkeeper ran forward", "and that was it")
	d.Title = "The Goalkeeper’s fear"
	d.Description = strings.Repeat("Much is said before. ", 30) + "Then a goalkeeper appears. " + strings.Repeat("Much is said after. ", 30)
	put(t, x, index.Stored, d)
	put(t, x, index.Stored, document(2, 1, "nothing of the kind"))
	page := search(t, x, index.Query{Text: "goalkeeper", Open: "<b>", Close: "</b>"})
	if page.Total != 1 || len(page.Hits) != 1 {
		t.Fatalf("page = %+v", page)
	}
	h := page.Hits[0]
	if h.Title != "The <b>Goalkeeper</b>’s fear" {
		t.Errorf("title = %q", h.Title)
	}
	if !strings.Contains(h.Description, "a <b>goalkeeper</b> appears") || len(h.Description) > 400 {
		t.Errorf("description = %q", h.Description)
	}
	want := []index.Moment{{Segment: 1, Span: episode.Span{Start: 10, End: 15}, Text: "the <b>goalkeeper</b> ran forward"}}
	if !reflect.DeepEqual(h.Moments, want) {
		t.Errorf("moments = %+v", h.Moments)
	}
	if h.Score <= 0 {
		t.Errorf("score = %v", h.Score)
	}
	plain := search(t, x, index.Query{Text: "goalkeeper"}).Hits[0]
	if plain.Moments[0].Text != "the goalkeeper ran forward" {
		t.Errorf("without marks: %q", plain.Moments[0].Text)
	}
	var many []string
	for range 20 {
		many = append(many, "again and again")
	}
	put(t, x, index.Stored, document(3, 1, many...))
	if n := len(search(t, x, index.Query{Text: "again", Moments: 5}).Hits[0].Moments); n != 5 {
		t.Errorf("%d moments, want 5", n)
	}
}
