package bucket

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/dag/artifact/buckettest"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

// overHTTP runs a test on each store that is reached over its real protocol.
func overHTTP(t *testing.T, test func(t *testing.T, serve func(*testing.T, buckettest.Between) string)) {
	for scheme, serve := range buckettest.Stores {
		t.Run(scheme, func(t *testing.T) { test(t, serve) })
	}
}

func TestConformanceOverTheRealProtocols(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		origintest.Run(t, func(t *testing.T) origin.Store { return open(t, serve(t, nil)) })
	})
}

func TestCachesAndPlayersAreTold(t *testing.T) {
	t.Run("mem", func(t *testing.T) { origintest.Headers(t, open(t, "mem://")) })
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		origintest.Headers(t, open(t, serve(t, nil)))
	})
}

func TestAStoreThatFailsHarmsNoPreview(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // so that the fault is what ends it
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		origintest.Faults(t, func(t *testing.T, between func(http.Handler) http.Handler) origin.Store {
			return open(t, serve(t, between))
		})
	})
}

func TestProcessesOnOneBucketAgree(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		address := serve(t, nil)
		stores := []origin.Store{open(t, address), open(t, address)}
		var all sync.WaitGroup
		const newest = 8
		for n := range newest {
			all.Go(func() {
				m, objects := origintest.Publication(1, episode.Version{Revision: episode.Revision(n + 1)})
				if _, err := origin.New(stores[n%2], origin.Options{}).Publish(t.Context(), m, objects); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		want, objects := origintest.Publication(1, episode.Version{Revision: newest})
		m, found, err := origin.New(stores[0], origin.Options{}).Manifest(t.Context(), want.ID)
		if err != nil || !found || m.Version != want.Version {
			t.Fatalf("%+v, %v, %v", m.Version, found, err)
		}
		for _, object := range objects {
			if body, err := stores[1].Bucket.ReadAll(t.Context(), object.Name); err != nil || string(body) != string(object.Body) {
				t.Errorf("%s: %q, %v", object.Name, body, err)
			}
		}
	})
}

// One process takes revision 1 down while another publishes revision 2, which
// has the same objects, between the first one's look at the manifest and its
// deletes.
func TestATakedownSparesWhatANewerRevisionShares(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		var (
			publish func()
			once    sync.Once
		)
		s := open(t, serve(t, func(store http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					once.Do(publish)
				}
				store.ServeHTTP(w, r)
			})
		}))
		m, objects := origintest.Publication(1, episode.Version{Revision: 1})
		if _, err := origin.New(s, origin.Options{}).Publish(t.Context(), m, objects); err != nil {
			t.Fatal(err)
		}
		newer := m
		newer.Version.Revision = 2
		publish = func() {
			if got, err := origin.New(s, origin.Options{}).Publish(context.WithoutCancel(t.Context()), newer, objects); err != nil || got != origin.Stored {
				t.Errorf("%q, %v", got, err)
			}
		}
		if got, err := origin.New(s, origin.Options{}).Remove(t.Context(), m.ID, 1); err != nil || got != origin.Stored {
			t.Fatalf("%q, %v", got, err)
		}
		for _, object := range objects {
			a, err := s.Bucket.Attributes(t.Context(), object.Name)
			if err != nil || a.ContentType != object.ContentType {
				t.Errorf("%s: %v", object.Name, err)
			}
		}
	})
}

// A publication that was under way when its episode was taken down has written
// objects that the takedown did not find: it removes and purges them itself.
func TestAPublicationThatMeetsATakedownLeavesNothing(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		var (
			remove func()
			once   sync.Once
		)
		s := open(t, serve(t, func(store http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.EscapedPath()+r.URL.RawQuery, "preview") && r.Method != http.MethodGet && r.Method != http.MethodHead {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						return
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
					if bytes.Contains(body, []byte("m4a of ")) {
						once.Do(remove)
					}
				}
				store.ServeHTTP(w, r)
			})
		}))
		m, objects := origintest.Publication(1, episode.Version{Revision: 1})
		remove = func() {
			if _, err := origin.New(s, origin.Options{}).Remove(context.WithoutCancel(t.Context()), m.ID, 1); err != nil {
				t.Error(err)
			}
		}
		edge := &purges{}
		if got, err := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}}).Publish(t.Context(), m, objects); err != nil || got != origin.Overtaken {
			t.Fatalf("%q, %v", got, err)
		}
		for _, object := range objects {
			if there, err := s.Bucket.Exists(t.Context(), object.Name); err != nil || there {
				t.Errorf("%s is there (%v)", object.Name, err)
			}
			if !slices.Contains(edge.forgotten, object.Name) {
				t.Errorf("%s was not purged", object.Name)
			}
		}
	})
}

// atAManifest has do stand in for each write of a manifest that has a preview.
func atAManifest(do func(write func())) buckettest.Between {
	return func(store http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if !bytes.Contains(body, []byte(`"renditions"`)) {
				store.ServeHTTP(w, r)
				return
			}
			do(func() { store.ServeHTTP(w, r) })
		})
	}
}

// A publication looks at its objects once more when its manifest is written,
// and writes those that are missing. A takedown of the same revision has just
// deleted them: they stay deleted.
func TestAPublicationThatATakedownFollowsLeavesNothing(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		var remove func()
		s := open(t, serve(t, atAManifest(func(write func()) {
			write()
			remove() // before the publication knows that the manifest is written
		})))
		m, objects := origintest.Publication(1, episode.Version{Revision: 1})
		removed := false
		remove = func() {
			if got, err := origin.New(s, origin.Options{}).Remove(context.WithoutCancel(t.Context()), m.ID, 1); err != nil || got != origin.Stored {
				t.Errorf("%q, %v", got, err)
			}
			removed = true
		}
		edge := &purges{}
		if got, err := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}}).Publish(t.Context(), m, objects); err != nil || got != origin.Overtaken || !removed {
			t.Fatalf("%q, %v", got, err)
		}
		for _, object := range objects {
			if there, err := s.Bucket.Exists(t.Context(), object.Name); err != nil || there {
				t.Errorf("%s is there (%v)", object.Name, err)
			}
			if !slices.Contains(edge.forgotten, object.Name) {
				t.Errorf("%s was not purged", object.Name)
			}
		}
	})
}

// While revision 6 is being published, its objects written and its manifest
// not, revision 5 is taken down, and before that revision 4: what revision 6
// has is not touched.
func TestATakedownSparesANewerRevisionThatIsBeingPublished(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		var remove func()
		s := open(t, serve(t, atAManifest(func(write func()) {
			if first := remove; first != nil {
				remove = nil // the write is tried again
				first()
			}
			write()
		})))
		publish(t, s, 4)
		publish(t, s, 5)
		m, objects := origintest.Publication(1, episode.Version{Revision: 6})
		edge := &purges{}
		remove = func() {
			o := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}})
			for i, want := range []origin.Result{origin.Overtaken, origin.Stored} {
				if got, err := o.Remove(context.WithoutCancel(t.Context()), m.ID, episode.Revision(4+i)); err != nil || got != want {
					t.Errorf("%q, %v", got, err)
				}
			}
			for _, object := range objects {
				if there, err := s.Bucket.Exists(context.WithoutCancel(t.Context()), object.Name); err != nil || !there {
					t.Errorf("%s of the newer revision is gone (%v)", object.Name, err)
				}
			}
		}
		publish(t, s, 6)
		there(t, s, objects)
		for _, revision := range []episode.Revision{4, 5} {
			_, old := origintest.Publication(1, episode.Version{Revision: revision})
			for _, object := range old {
				if ok, err := s.Bucket.Exists(t.Context(), object.Name); err != nil || ok || !slices.Contains(edge.forgotten, object.Name) {
					t.Errorf("%s is there: %v (%v); purged %v", object.Name, ok, err, edge.forgotten)
				}
			}
		}
		if slices.ContainsFunc(objects, func(o origin.Object) bool { return slices.Contains(edge.forgotten, o.Name) }) {
			t.Errorf("purged %v", edge.forgotten)
		}
	})
}

// Revision 6 has no preview, and is done while revision 5 is about to be
// published: that one comes too late.
func TestARevisionWithoutAPreviewStopsAnOlderOneThatIsBeingPublished(t *testing.T) {
	overHTTP(t, func(t *testing.T, serve func(*testing.T, buckettest.Between) string) {
		var overtake func()
		s := open(t, serve(t, atAManifest(func(write func()) {
			overtake()
			write()
		})))
		m, objects := origintest.Publication(1, episode.Version{Revision: 5})
		o := origin.New(s, origin.Options{})
		overtake = func() {
			newer := m
			newer.Version.Revision, newer.Preview = 6, nil
			if got, err := origin.New(s, origin.Options{}).Publish(context.WithoutCancel(t.Context()), newer, nil); err != nil || got != origin.Stored {
				t.Errorf("%q, %v", got, err)
			}
		}
		if got, err := o.Publish(t.Context(), m, objects); err != nil || got != origin.Overtaken {
			t.Errorf("%q, %v", got, err)
		}
		if got, _, err := o.Manifest(t.Context(), m.ID); err != nil || got.Version.Revision != 6 || got.Preview != nil {
			t.Errorf("manifest %+v, %v", got, err)
		}
	})
}

// purges takes note of removals; it serves one goroutine.
type purges struct{ forgotten []string }

func (*purges) Name() string { return "edge" }

func (p *purges) Purge(_ context.Context, names []string, how origin.Purge) error {
	if how == origin.Forget {
		p.forgotten = append(p.forgotten, names...)
	}
	return nil
}

// S3 answers one of two conditional writes at once with a conflict, and wants
// it to be sent again.
func TestAConflictingWriteIsSentAgain(t *testing.T) {
	var mu sync.Mutex
	refused := map[string]bool{}
	s := open(t, buckettest.S3(t, func(store http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			refuse := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, ".json") && !refused[r.URL.Path]
			if refuse {
				refused[r.URL.Path] = true
			}
			mu.Unlock()
			if refuse {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, "<Error><Code>ConditionalRequestConflict</Code><Message>at once</Message></Error>")
				return
			}
			store.ServeHTTP(w, r)
		})
	}))
	publish(t, s, 1)
	if len(refused) != 2 {
		t.Errorf("refused %v", refused)
	}
}
