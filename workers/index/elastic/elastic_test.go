package elastic

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	es "github.com/olivere/elastic/v7"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
	"github.com/earshot-fm/earshot/workers/index/indextest"
)

func TestConformance(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		indextest.Run(t, func(t *testing.T) index.Index { return create(t, url) })
	})
}

// document is of an episode whose every text names its revision.
func document(id episode.ID, revision episode.Revision, segments int) index.Document {
	d := index.Document{
		ID: id, Version: episode.Version{Revision: revision}, Title: fmt.Sprintf("edition%d", revision), Language: "en",
	}
	for i := range segments {
		at := episode.Seconds(10 * i)
		d.Segments = append(d.Segments, index.Segment{Span: episode.Span{Start: at, End: at + 5}, Text: fmt.Sprintf("said in edition%d", revision)})
	}
	return d
}

func put(t testing.TB, x *Index, want index.Result, d index.Document) {
	t.Helper()
	if got, err := x.Put(t.Context(), d); err != nil || got != want {
		t.Fatalf("Put %s %v = %q, %v; want %q", d.ID, d.Version, got, err, want)
	}
}

func find(t testing.TB, x *Index, q index.Query) index.Page {
	t.Helper()
	page, err := x.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("Search %+v: %v", q, err)
	}
	return page
}

// segmentsHeld is how many segments an index holds of an episode, seen or not.
func segmentsHeld(t testing.TB, x *Index, name string, id episode.ID) (all int, editions map[edition]int) {
	t.Helper()
	if err := x.refresh(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	answer, err := x.ask(t.Context(), name, es.NewSearchSource().Query(es.NewTermQuery("episode", string(id))).Size(1000))
	if err != nil {
		t.Fatal(err)
	}
	editions = map[edition]int{}
	for _, h := range answer.Hits.Hits {
		var s segmentSource
		if err := json.Unmarshal(h.Source, &s); err != nil {
			t.Fatal(err)
		}
		editions[s.Edition]++
	}
	return int(answer.Hits.TotalHits.Value), editions
}

func TestOtherFormsOfAWordAreFound(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		d := document("en", 1, 0)
		d.Title, d.Description = "Walking the goal’s line", "Goalkeepers and their goals."
		d.Segments = []index.Segment{{Text: "nothing here"}, {Text: "many goals were scored"}, {Text: "one goal as said"}}
		put(t, x, index.Stored, d)
		q := index.Query{Text: "goal", Open: "<", Close: ">"}
		h := find(t, x, q).Hits
		if len(h) != 1 || h[0].Title != "Walking the <goal>’s line" || h[0].Description != "Goalkeepers and their <goals>." {
			t.Fatalf("hits = %+v", h)
		}
		if m := h[0].Moments; len(m) != 2 || m[0].Text != "one <goal> as said" || m[1].Text != "many <goals> were scored" {
			t.Errorf("moments = %+v: the word itself comes before its other forms", m)
		}
		finds := map[string]int{
			"scoring": 1, "walks goals": 1, "were": 1,
			`"walks"`: 0, "walks*": 0, // as they are written
			"-nothing walked": 0, "goal -scores": 1, // an exclusion too
		}
		for text, want := range finds {
			if got := find(t, x, index.Query{Text: text}).Total; got != want {
				t.Errorf("%q finds %d, want %d", text, got, want)
			}
		}
		if n := find(t, x, index.Query{Text: "walks", Language: "en"}).Total; n != 1 {
			t.Errorf("in its language: %d", n)
		}
		if n := find(t, x, index.Query{Text: "walks", Language: "fr"}).Total; n != 0 {
			t.Errorf("in another: %d", n)
		}
	})
}

// An analyzer that the cluster lacks costs the other forms of its language's
// words, and nothing else.
func TestLanguagesOfWhichTheClusterKnowsNothing(t *testing.T) {
	for version, forms := range map[string]int{elastictest.V7: 1, elastictest.V8: 0} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			x := create(t, node(t, version))
			d := document("de", 1, 0)
			d.Language, d.Title = "de-AT", "Die Häuser am Bach"
			d.Segments = []index.Segment{{Text: "viele Häuser standen dort"}}
			put(t, x, index.Stored, d)
			if got := find(t, x, index.Query{Text: "haus"}).Total; got != forms {
				t.Errorf("another form finds %d, want %d", got, forms)
			}
			page := find(t, x, index.Query{Text: "HAUSER", Open: "<", Close: ">"})
			if page.Total != 1 || page.Hits[0].Moments[0].Text != "viele <Häuser> standen dort" || page.Hits[0].Title != "Die <Häuser> am Bach" {
				t.Errorf("the word itself: %+v", page)
			}
		})
	}
}

func TestWhatAKilledPutLeavesNeverShowsAndGoesWithTheNext(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		put(t, x, index.Stored, document("e", 2, 3))
		for revision := range episode.Revision(4) { // of an older version, the same and newer ones
			left, err := encode(document("e", revision, 5))
			if err != nil {
				t.Fatal(err)
			}
			if revision != 2 {
				if _, err := x.bulk(t.Context(), x.writing().segmentItems(left), Now); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n, _ := segmentsHeld(t, x, x.writeSegments(), "e"); n != 3+3*5 {
			t.Fatalf("the test holds %d segments", n)
		}
		for _, text := range []string{"edition0", "edition1", "edition3", "edition* -edition2"} {
			if page := find(t, x, index.Query{Text: text}); page.Total != 0 {
				t.Errorf("%q finds %+v", text, page)
			}
		}
		page := find(t, x, index.Query{Text: "edition*", Moments: index.MaxMoments})
		if page.Total != 1 || len(page.Hits[0].Moments) != 3 {
			t.Errorf("%+v", page)
		}
		put(t, x, index.Overtaken, document("e", 1, 1)) // a late delivery clears what is older
		if n, editions := segmentsHeld(t, x, x.writeSegments(), "e"); n != 3+5 {
			t.Errorf("after a late delivery %v", editions)
		}
		put(t, x, index.Stored, document("e", 4, 2))
		if n, editions := segmentsHeld(t, x, x.writeSegments(), "e"); n != 2 {
			t.Errorf("after the next Put %v", editions)
		}
	})
}

// The episode's document is there and its segments are not, or not all: its
// moments are shown nevertheless, and putting it again makes it whole.
func TestAnEpisodeWithoutItsSegmentsShowsItsMoments(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		d := document("e", 1, 4)
		d.Segments[2].Text = "here the rare words are said"
		e, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.bulk(t.Context(), append(x.writing().segmentItems(e)[2:], x.writing().episodeItem(e)), Now); err != nil {
			t.Fatal(err)
		}
		shown := func() {
			t.Helper()
			for _, text := range []string{"rare words", `"words are said"`, `"edition1 said" rare`} {
				h := find(t, x, index.Query{Text: text, Open: "<", Close: ">"}).Hits
				if len(h) != 1 || len(h[0].Moments) == 0 || !strings.Contains(h[0].Moments[0].Text, "<") {
					t.Fatalf("%q: %+v", text, h)
				}
			}
			h := find(t, x, index.Query{Text: "rare"}).Hits
			want := index.Moment{Segment: 2, Span: episode.Span{Start: 20, End: 25}, Text: "here the rare words are said"}
			if len(h) != 1 || len(h[0].Moments) != 1 || h[0].Moments[0] != want {
				t.Errorf("%+v", h)
			}
		}
		shown()
		put(t, x, index.Unchanged, d)
		if n, _ := segmentsHeld(t, x, x.writeSegments(), "e"); n != 4 {
			t.Errorf("%d segments after it was put again, want 4", n)
		}
		shown()
	})
}

// Of what was taken down nothing is left but that it was.
func TestARemovalLeavesNoWord(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		o := fresh(t, url)
		o.Refresh = Later // a removal is seen by all whatever is chosen for Put
		x := client(t, o)
		if _, err := x.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, x, index.Stored, document("e", 5, 40))
		if r, err := x.Remove(t.Context(), "e", 5); err != nil || r != index.Stored {
			t.Fatalf("%q, %v", r, err)
		}
		if page := find(t, x, index.Query{}); page.Total != 0 {
			t.Errorf("%+v", page)
		}
		if n, _ := segmentsHeld(t, x, x.writeSegments(), "e"); n != 0 {
			t.Errorf("%d segments are left", n)
		}
		answer, err := x.ask(t.Context(), x.writeEpisodes(), es.NewSearchSource())
		if err != nil || len(answer.Hits.Hits) != 1 || strings.Contains(string(answer.Hits.Hits[0].Source), "edition5") {
			t.Errorf("%v, %v", answer, err)
		}
		// Elasticsearch forgets the version of what was deleted; what was taken down
		// is not deleted.
		if err := x.perform(t.Context(), http.MethodPut, "/"+x.episodesOf(1)+"/_settings", nil, field{"index.gc_deletes": "0ms"}, nil); err != nil {
			t.Fatal(err)
		}
		late := document("e", 5, 1)
		late.Version.Generation = 7
		put(t, x, index.Overtaken, late)
		// A removal that was cut short after the episode's document goes on.
		e, err := encode(document("e", 4, 7))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.bulk(t.Context(), x.writing().segmentItems(e), Later); err != nil {
			t.Fatal(err)
		}
		if r, err := x.Remove(t.Context(), "e", 5); err != nil || r != index.Unchanged {
			t.Fatalf("%q, %v", r, err)
		}
		if n, _ := segmentsHeld(t, x, x.writeSegments(), "e"); n != 0 {
			t.Errorf("%d segments are left", n)
		}
	})
}

// As many words as a query may have, in all languages at once, are few enough
// for a node.
func TestTheLongestQueryIsAnswered(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		d := document("e", 1, 1)
		var words []string
		for n := range 32 {
			words = append(words, fmt.Sprintf("word%c%c", 'a'+n/26, 'a'+n%26))
		}
		d.Segments[0].Text = strings.Join(words, " ")
		put(t, x, index.Stored, d)
		for _, text := range []string{strings.Join(words, " "), strings.Join(words, "* ") + "*", `"` + strings.Join(words, " ") + `"`} {
			h := find(t, x, index.Query{Text: text, Open: "<", Close: ">"}).Hits
			if len(h) != 1 || len(h[0].Moments) != 1 || strings.Count(h[0].Moments[0].Text, "<") != 32 {
				t.Errorf("%q: %+v", text, h)
			}
		}
	})
}

// More are compared than one answer holds, those without a date too.
func TestMoreLikeThisAmongMany(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		const many = comparedPage + 300
		var page []encoded
		for n := range many {
			d := document(episode.ID(fmt.Sprintf("e%05d", n)), 1, 0)
			angle := float64(n) / many
			d.Embedding = &episode.Embedding{Model: "m@1", Values: []episode.Component{episode.Component(math.Cos(angle)), episode.Component(math.Sin(angle))}}
			if n%3 > 0 {
				d.PublishedAt = time.Unix(int64(n%100)*86400-86400, 0)
			}
			e, err := encode(d)
			if err != nil {
				t.Fatal(err)
			}
			if page = append(page, e); len(page) == 500 || n == many-1 {
				if err := x.fill(t.Context(), x.filling(1, newerOrSame), page); err != nil {
					t.Fatal(err)
				}
				page = nil
			}
		}
		if err := x.refresh(t.Context(), x.options.Episodes); err != nil {
			t.Fatal(err)
		}
		for offset := range 3 {
			got := find(t, x, index.Query{Like: "e00000", Offset: offset * 1000, Limit: 2})
			want := [2]episode.ID{episode.ID(fmt.Sprintf("e%05d", offset*1000+1)), episode.ID(fmt.Sprintf("e%05d", offset*1000+2))}
			if got.Total != many-1 || len(got.Hits) != 2 || got.Hits[0].ID != want[0] || got.Hits[1].ID != want[1] {
				t.Errorf("at %d: %+v, want %v", offset*1000, got, want)
			}
		}
	})
}

func TestGetSeesAtOnceWhatSearchSeesLater(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		for _, refresh := range []Refresh{Wait, Later} {
			o := fresh(t, url)
			o.Refresh = refresh
			x := client(t, o)
			if _, err := x.Create(t.Context()); err != nil {
				t.Fatal(err)
			}
			for revision := range episode.Revision(3) {
				put(t, x, index.Stored, document("e", revision+1, 2))
				if got, err := x.Get(t.Context(), "e"); err != nil || got.Version.Revision != revision+1 || len(got.Segments) != 2 {
					t.Fatalf("%s: Get %+v, %v", refresh, got, err)
				}
				if refresh == Wait {
					if page := find(t, x, index.Query{Text: fmt.Sprintf("edition%d", revision+1)}); page.Total != 1 || len(page.Hits[0].Moments) != 2 {
						t.Fatalf("%s: %+v", refresh, page)
					}
				}
			}
		}
	})
}

// While an episode is replaced over and over, each search finds one version of
// it, whole.
func TestSearchersSeeNoMixture(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		for _, refresh := range []Refresh{Now, Later} {
			o := fresh(t, url)
			o.Refresh = refresh
			x := client(t, o)
			if _, err := x.Create(t.Context()); err != nil {
				t.Fatal(err)
			}
			put(t, x, index.Stored, document("e", 1, 2))
			if err := x.refresh(t.Context(), o.Episodes, o.Segments); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 3 {
				readers.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						oneEdition(t, x)
					}
				})
			}
			for revision := range episode.Revision(14) {
				put(t, x, index.Stored, document("e", revision+2, 1+int(revision)%7))
			}
			close(done)
			readers.Wait()
		}
	})
}

// oneEdition checks that the one episode is found, and all of what is shown is
// of one edition; later editions may be found from one search to the next.
func oneEdition(t *testing.T, x *Index) {
	page, err := x.Search(t.Context(), index.Query{Text: "edition*", Moments: index.MaxMoments})
	if err != nil {
		t.Error(err)
		return
	}
	if page.Total != 1 || len(page.Hits) != 1 {
		t.Errorf("found %+v", page)
		return
	}
	var revision int
	h := page.Hits[0]
	if _, err := fmt.Sscanf(h.Title, "edition%d", &revision); err != nil {
		t.Error(err)
	}
	want := 2
	if revision > 1 {
		want = 1 + (revision-2)%7
	}
	if len(h.Moments) != want {
		t.Errorf("%s is shown with %d of its %d segments", h.Title, len(h.Moments), want)
	}
	for _, m := range h.Moments {
		if m.Text != "said in "+h.Title {
			t.Errorf("%s is shown with %q", h.Title, m.Text)
		}
	}
}
