package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start")) // of the gs driver's module
}

// onEach runs a test on each kind of bucket.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	for name, open := range map[string]func(t *testing.T) (*blob.Bucket, error){
		"memory": func(*testing.T) (*blob.Bucket, error) { return memblob.OpenBucket(nil), nil },
		"folder": func(t *testing.T) (*blob.Bucket, error) {
			return fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
		},
		"s3": func(t *testing.T) (*blob.Bucket, error) {
			return blob.OpenBucket(t.Context(), buckettest.S3(t, nil))
		},
		"gs": func(t *testing.T) (*blob.Bucket, error) {
			return blob.OpenBucket(t.Context(), buckettest.GCS(t, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bucket, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer bucket.Close()
			test(t, New(bucket, t.TempDir()))
		})
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func put(t *testing.T, s *Store, text string) string {
	t.Helper()
	hash, err := s.Put(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func bind(t *testing.T, s *Store, key, hash string, replace bool) string {
	t.Helper()
	bound, err := s.Bind(t.Context(), key, hash, replace)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// damage replaces an object behind the store's back.
func damage(t *testing.T, s *Store, hash, with string) {
	t.Helper()
	name, err := s.name("objects", hash)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bucket.WriteAll(t.Context(), name, []byte(with), nil); err != nil {
		t.Fatal(err)
	}
}

func TestPutThenRead(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, text := range []string{"", "text", strings.Repeat("long ", 1<<20)} {
			hash := put(t, s, text)
			equal(t, "hash", hash, sum(text))
			equal(t, "again", put(t, s, text), hash)
			streamed, err := s.Put(t.Context(), iotest.HalfReader(strings.NewReader(text)))
			equal(t, "streamed", streamed, hash)
			equal(t, "error", err, nil)
			data, err := s.Read(t.Context(), hash)
			equal(t, "error", err, nil)
			equal(t, "bytes", string(data) == text, true)
		}
	})
}

func TestPutTakesASeekerFromWhereItStands(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		r := strings.NewReader("skipped kept")
		r.Seek(8, io.SeekStart)
		hash, err := s.Put(t.Context(), r)
		equal(t, "error", err, nil)
		equal(t, "hash", hash, sum("kept"))
	})
}

func TestFirstBindingWins(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		key, one, two := sum("key"), put(t, s, "one"), put(t, s, "two")
		_, found, err := s.Lookup(t.Context(), key)
		equal(t, "found", found, false)
		equal(t, "error", err, nil)
		equal(t, "first", bind(t, s, key, one, false), one)
		equal(t, "second", bind(t, s, key, two, false), one)
		equal(t, "replacing", bind(t, s, key, two, true), two)
		hash, found, err := s.Lookup(t.Context(), key)
		equal(t, "hash", hash, two)
		equal(t, "found", found, true)
		equal(t, "error", err, nil)
	})
}

func TestKeyOutlivesBytesAndThenTakesOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		key, one := sum("key"), put(t, s, "one")
		bind(t, s, key, one, false)
		equal(t, "delete", s.Delete(t.Context(), one), nil)
		equal(t, "delete again", s.Delete(t.Context(), one), nil)
		hash, found, _ := s.Lookup(t.Context(), key)
		equal(t, "hash", hash, one)
		equal(t, "found", found, true)
		there, err := s.Has(t.Context(), one)
		equal(t, "there", there, false)
		equal(t, "error", err, nil)
		_, err = s.Read(t.Context(), one)
		equal(t, "not there", errors.Is(err, fs.ErrNotExist), true)
		two := put(t, s, "two")
		equal(t, "others", bind(t, s, key, two, false), two)
	})
}

func TestCorruptBytesAreAbsentAndWrittenAgain(t *testing.T) {
	for name, rot := range map[string]string{"flipped": "tExt", "shorter": "te", "longer": "text and", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, s *Store) {
				hash := put(t, s, "text")
				damage(t, s, hash, rot)
				_, err := s.Read(t.Context(), hash)
				equal(t, "error is of absence", errors.Is(err, fs.ErrNotExist), true)
				there, _ := s.Has(t.Context(), hash)
				equal(t, "there", there, false)
				put(t, s, "text")
				data, err := s.Read(t.Context(), hash)
				equal(t, "bytes", string(data), "text")
				equal(t, "error", err, nil)

				if len(rot) != len("text") {
					damage(t, s, hash, rot)
					put(t, s, "text")
					data, _ = s.Read(t.Context(), hash)
					equal(t, "written over unread", string(data), "text")
				}
			})
		})
	}
}

func TestTornKeyIsAbsent(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		key, hash := sum("key"), put(t, s, "text")
		name, _ := s.name("keys", key)
		if err := s.bucket.WriteAll(t.Context(), name, []byte(hash[:10]), nil); err != nil {
			t.Fatal(err)
		}
		_, found, err := s.Lookup(t.Context(), key)
		equal(t, "found", found, false)
		equal(t, "error", err, nil)
		equal(t, "bound", bind(t, s, key, hash, false), hash)
	})
}

func TestFailedPutLeavesNothing(t *testing.T) {
	broken := errors.New("connection reset")
	onEach(t, func(t *testing.T, s *Store) {
		for name, size := range map[string]int{"small": 10, "large": 3 << 20} {
			_, err := s.Put(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken)))
			equal(t, name, errors.Is(err, broken), true)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Put(ctx, strings.NewReader("text")); err == nil {
			t.Error("put with an ended context")
		}
		for hash := range s.Objects(t.Context()) {
			t.Errorf("left %s", hash)
		}
		left, err := os.ReadDir(s.scratch)
		equal(t, "scratch files", len(left), 0)
		equal(t, "error", err, nil)
	})
}

func TestManyWritersAgree(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		key := sum("key")
		bound := make([]string, 16)
		var writers sync.WaitGroup
		for i := range bound {
			writers.Go(func() {
				hash, err := s.Put(t.Context(), strings.NewReader(strings.Repeat("x", i/2)))
				if err == nil {
					bound[i], err = s.Bind(t.Context(), key, hash, false)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		writers.Wait()
		for _, hash := range bound {
			equal(t, "bound", hash, bound[0])
		}
	})
}

// Two processes, each with a client of its own, bind the same keys at once.
func TestProcessesOnOneBucketAgree(t *testing.T) {
	for scheme, serve := range buckettest.Stores {
		t.Run(scheme, func(t *testing.T) {
			address := serve(t, nil)
			var stores [2]*Store
			for i := range stores {
				bucket, err := blob.OpenBucket(t.Context(), address)
				if err != nil {
					t.Fatal(err)
				}
				defer bucket.Close()
				stores[i] = New(bucket, t.TempDir())
			}
			const keys = 20
			var bound [2][keys]string
			var processes sync.WaitGroup
			for i, s := range stores {
				for k := range keys {
					processes.Go(func() {
						hash, err := s.Put(t.Context(), strings.NewReader(strings.Repeat("x", i+1)))
						if err == nil {
							bound[i][k], err = s.Bind(t.Context(), sum(strings.Repeat("key", k)), hash, false)
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			processes.Wait()
			equal(t, "both go on with the same", bound[0], bound[1])
			for k, hash := range bound[0] {
				last, found, err := stores[1].Lookup(t.Context(), sum(strings.Repeat("key", k)))
				equal(t, "error", err, nil)
				equal(t, "found", found, true)
				equal(t, "bound", last, hash)
			}
		})
	}
}

// S3 answers one of two conditional writes at once with a conflict.
func TestAConflictThatTheOtherWonIsNoError(t *testing.T) {
	key, first := sum("key"), sum("first")
	other := func() {}
	bucket, err := blob.OpenBucket(t.Context(), buckettest.S3(t, func(store http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "*" {
				store.ServeHTTP(w, r)
				return
			}
			other()
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, "<Error><Code>ConditionalRequestConflict</Code><Message>at once</Message></Error>")
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	s := New(bucket, t.TempDir())
	put(t, s, "first")
	second := put(t, s, "second")
	if _, err := s.Bind(t.Context(), key, second, false); err == nil || !strings.Contains(err.Error(), "ConditionalRequestConflict") {
		t.Errorf("a conflict that nobody has won: %v", err)
	}
	other = func() {
		name, _ := s.name("keys", key)
		if err := bucket.WriteAll(context.WithoutCancel(t.Context()), name, []byte(first), nil); err != nil {
			t.Error(err)
		}
	}
	equal(t, "bound", bind(t, s, key, second, false), first)
}

// A hundred megabytes go in and out without being held in memory.
func TestLargeArtifactsAreStreamed(t *testing.T) {
	const size = 100 << 20
	bucket, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer bucket.Close()
	s := New(bucket, t.TempDir())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	hash, err := s.Put(t.Context(), io.LimitReader(zeroes{}, size))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	runtime.ReadMemStats(&after)
	equal(t, "error", err, nil)
	equal(t, "bytes", n, size)
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("allocated %d MiB", used>>20)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestListsAreInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, text := range []string{"a", "b", "c"} {
			bind(t, s, sum("key "+text), put(t, s, text), false)
		}
		if err := s.bucket.WriteAll(t.Context(), "keys/ab/abc123.tmp", nil, nil); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for key, err := range s.Keys(t.Context()) {
			equal(t, "error", err, nil)
			keys = append(keys, key)
		}
		equal(t, "keys", len(keys), 3)
		equal(t, "order", keys[0] < keys[1] && keys[1] < keys[2], true)
		for range s.Objects(t.Context()) {
			break
		}
	})
}

func TestOnlyHashesAreNames(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		for _, bad := range []string{"", "abc", "../../etc/passwd", strings.ToUpper(sum("a")), sum("a") + "0"} {
			_, _, lookup := s.Lookup(t.Context(), bad)
			_, open := s.Open(t.Context(), bad)
			_, has := s.Has(t.Context(), bad)
			_, bindKey := s.Bind(t.Context(), bad, sum("a"), false)
			_, bindHash := s.Bind(t.Context(), sum("a"), bad, false)
			for _, err := range []error{lookup, open, has, bindKey, bindHash, s.Delete(t.Context(), bad)} {
				equal(t, "refused", err != nil && strings.Contains(err.Error(), "is not a SHA-256"), true)
			}
		}
	})
}

func TestLedgerKeepsTheLastDocumentOfEverySubject(t *testing.T) {
	onEach(t, func(t *testing.T, s *Store) {
		doc, err := s.Recall(t.Context(), "unknown")
		equal(t, "document", doc == nil, true)
		equal(t, "error", err, nil)
		rapid.Check(t, func(rt *rapid.T) {
			pages := rapid.MapOfN(rapid.StringN(0, 12, 30), rapid.SliceOf(rapid.Byte()), 1, 4).Draw(rt, "pages")
			pages[".."], pages["a/b"] = []byte("up"), []byte("down")
			for subject, doc := range pages {
				if err := s.Record(t.Context(), subject, []byte("old")); err != nil {
					rt.Fatal(err)
				}
				if err := s.Record(t.Context(), subject, doc); err != nil {
					rt.Fatal(err)
				}
			}
			for subject, doc := range pages {
				got, err := s.Recall(t.Context(), subject)
				if err != nil || !bytes.Equal(got, doc) {
					rt.Fatalf("%q: got %q (%v), want %q", subject, got, err, doc)
				}
			}
		})
	})
}
