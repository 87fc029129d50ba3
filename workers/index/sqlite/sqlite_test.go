package sqlite

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/indextest"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("EARSHOT_TEST_INDEX_CHILD"); path != "" {
		os.Exit(putUntilKilled(path))
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB) *Index {
	t.Helper()
	x, err := Open(t.Context(), filepath.Join(t.TempDir(), "a name with ?, # and %.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func TestConformance(t *testing.T) {
	indextest.Run(t, func(t *testing.T) index.Index { return open(t) })
}

func TestASecondProcessSeesWhatTheFirstPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	first, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	d := index.Document{ID: "a", Version: episode.Version{Revision: 1}, Title: "Shared"}
	if _, err := first.Put(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if page, err := second.Search(t.Context(), index.Query{Text: "shared"}); err != nil || page.Total != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "no", "such", "folder.db"))
	if err == nil || !strings.Contains(err.Error(), "is its folder there and writable?") {
		t.Fatalf("%v", err)
	}
}

// scripts that texts are drawn from: words, accents, scripts without spaces,
// marks, and what tokenizers stumble over.
var alphabet = []rune("aBcé Éß'-\"*.0١øŁ ёЖ 東京都の天気ーｽﾋﾟがが สวัสดี हिन्दी 한국어 اَلع עִב \u00ad\u200d\x00ﬁ①½")

func text() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom(alphabet), 0, 24, -1)
}

// Every word of an episode, every run of its characters where no spaces
// divide words, finds the episode, and is marked in the moment.
func TestWhatWasSaidIsFound(t *testing.T) {
	x := open(t)
	revision := episode.Revision(0)
	rapid.Check(t, func(r *rapid.T) {
		body := text().Draw(r, "text")
		all := tokens.Split(body)
		if len(all) == 0 {
			r.Skip("no words")
		}
		revision++
		d := index.Document{ID: "e", Version: episode.Version{Revision: revision}, Segments: []index.Segment{{Text: body}}}
		if _, err := x.Put(t.Context(), d); err != nil {
			r.Fatal(err)
		}
		token := all[rapid.IntRange(0, len(all)-1).Draw(r, "token")]
		query := `"` + body[token.Start:token.End] + `"`
		page, err := x.Search(t.Context(), index.Query{Text: query, Open: "\x01", Close: "\x02"})
		if err != nil {
			r.Fatal(err)
		}
		if page.Total != 1 || len(page.Hits[0].Moments) != 1 || !strings.Contains(page.Hits[0].Moments[0].Text, "\x01") {
			r.Fatalf("%q does not find %q: %+v", query, body, page)
		}
	})
}

// putUntilKilled is the child of TestKilledWhilePutting: it puts growing
// revisions of one episode whose segments all name their revision.
func putUntilKilled(path string) int {
	x, err := Open(ctx, path)
	if err != nil {
		println(err.Error())
		return 1
	}
	entry, err := x.Get(ctx, "e")
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		println(err.Error())
		return 1
	}
	revision := entry.Version.Revision
	for {
		revision++
		if _, err = x.Put(ctx, edition(revision)); err != nil {
			println(err.Error())
			return 1
		}
		if _, err := os.Stdout.WriteString("\n"); err != nil {
			return 1
		}
	}
}

func TestKilledWhilePutting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	acknowledged := 0
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "EARSHOT_TEST_INDEX_CHILD="+path)
		var lines strings.Builder
		child.Stdout = &killAfter{child: child, lines: 1 + round%4, then: &lines}
		child.Stderr = os.Stderr
		if err := child.Run(); err == nil {
			t.Fatal("the child ended by itself")
		}
		acknowledged += lines.Len()

		x, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		entry, err := x.Get(t.Context(), "e")
		if err != nil || int(entry.Version.Revision) < acknowledged {
			t.Fatalf("revision %v after %d acknowledged, %v", entry.Version.Revision, acknowledged, err)
		}
		acknowledged = int(entry.Version.Revision)
		whole := edition(entry.Version.Revision)
		page, err := x.Search(t.Context(), index.Query{Text: whole.Segments[0].Text, Moments: index.MaxMoments})
		if err != nil || page.Total != 1 || len(page.Hits[0].Moments) != len(whole.Segments) {
			t.Fatalf("a mixture of versions: %+v, %v", page, err)
		}
		if page, err := x.Search(t.Context(), index.Query{Text: "edition* -" + whole.Segments[0].Text}); err != nil || page.Total != 0 {
			t.Fatalf("%+v, %v", page, err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	x := open(b)
	for n := range 200 {
		d := index.Document{ID: indextest.ID(n), Version: episode.Version{Revision: 1}, Title: "Episode", PublishedAt: time.Unix(int64(n), 0)}
		for range 300 {
			d.Segments = append(d.Segments, index.Segment{Text: "some words that are said in every segment of it"})
		}
		d.Segments[n].Text = "here is the rare word"
		if _, err := x.Put(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := x.Search(b.Context(), index.Query{Text: "rare word", Open: "[", Close: "]"}); err != nil {
			b.Fatal(err)
		}
	}
}
