package heads

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func each(t *testing.T, test func(t *testing.T, b *blob.Bucket)) {
	folder, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*blob.Bucket{"memory": memblob.OpenBucket(nil), "folder": folder} {
		t.Run(name, func(t *testing.T) { test(t, b) })
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAHeadNeverGoesBack(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		rapid.Check(t, func(r *rapid.T) {
			id := episode.ID(rapid.StringMatching(`[a-z.%?*:-]{1,8}`).Draw(r, "id")) + "x"
			one, other := New(b), New(b) // two replicas
			newest, err := one.Newest(t.Context(), id)
			if err != nil {
				r.Fatal(err)
			}
			for range rapid.IntRange(1, 10).Draw(r, "changes") {
				next := workers.Head{Revision: episode.Revision(rapid.IntRange(1, 5).Draw(r, "revision")), Removed: rapid.Bool().Draw(r, "removed")}
				if next.Supersedes(newest) {
					newest = next
				}
				if got, err := one.Advance(t.Context(), id, next); err != nil || got != newest {
					r.Fatalf("Advance %+v = %+v, %v; want %+v", next, got, err, newest)
				}
				if got, err := other.Newest(t.Context(), id); err != nil || got != newest {
					r.Fatalf("Newest = %+v, %v; want %+v", got, err, newest)
				}
				one, other = other, one
			}
		})
	})
}

func TestAnUnreadableHeadIsNamed(t *testing.T) {
	each(t, func(t *testing.T, b *blob.Bucket) {
		if err := b.WriteAll(t.Context(), "heads/e.json", []byte("{"), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := New(b).Advance(t.Context(), "e", workers.Head{Revision: 1}); err == nil || !strings.Contains(err.Error(), "heads/e.json") {
			t.Errorf("%v", err)
		}
	})
}
