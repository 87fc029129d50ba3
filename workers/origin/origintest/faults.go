package origintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/workers/origin"
)

// serving answers a request in place of the store. giveUp ends the patience of
// whoever waits for the publication.
type serving func(w http.ResponseWriter, r *http.Request, store http.Handler, giveUp func())

// faults are ways in which a store over HTTP fails.
var faults = []struct {
	name  string
	serve serving

	plausible bool // no client sees by itself that this is a fault
}{
	{"answers 503", func(w http.ResponseWriter, r *http.Request, _ http.Handler, _ func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, "", http.StatusServiceUnavailable)
	}, false},
	{"never answers", func(_ http.ResponseWriter, r *http.Request, _ http.Handler, giveUp func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		giveUp()
		<-r.Context().Done()
	}, false},
	{"does as it is told and cuts its answers", func(w http.ResponseWriter, r *http.Request, store http.Handler, _ func()) {
		answer := httptest.NewRecorder()
		store.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		body := answer.Body.Bytes()
		if len(body) > 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.WriteHeader(answer.Code)
			_, _ = w.Write(body[:len(body)/2])
		}
		panic(http.ErrAbortHandler)
	}, false},
	{"gives other bytes", func(w http.ResponseWriter, r *http.Request, store http.Handler, _ func()) {
		answer := httptest.NewRecorder()
		store.ServeHTTP(answer, r)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		body := answer.Body.Bytes()
		if r.Method == http.MethodGet && strings.HasPrefix(answer.Header().Get("Content-Type"), "audio/") {
			body = bytes.ReplaceAll(body, []byte("of"), []byte("if"))
		}
		_, _ = w.Write(body)
	}, true},
}

// faulty stands before a store and fails from a certain request on.
type faulty struct {
	store http.Handler
	serve serving

	mu     sync.Mutex
	seen   int
	from   int    // the first request that fails; negative: none does
	tries  int    // so many fail before whoever waits gives up
	giveUp func() // what that is
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fails, last, giveUp := f.from >= 0 && f.seen >= f.from, f.seen+1-f.from >= f.tries, f.giveUp
	f.seen++
	f.mu.Unlock()
	switch {
	case !fails:
		f.store.ServeHTTP(w, r)
		return
	case last:
		defer giveUp()
	}
	f.serve(w, r, f.store, giveUp)
}

// set starts to count again, and gives the count so far.
func (f *faulty) set(from, tries int, giveUp func()) (seen int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, f.seen, f.from, f.tries, f.giveUp = f.seen, 0, from, tries, giveUp
	return seen
}

// Faults runs the suite of a store that fails, at whichever request of a
// publication or a takedown it begins to. A publication ends with an error or
// with all done, no manifest names what cannot be read, and once the store is
// well, publishing again repairs. A takedown ends with an error or with all
// gone and purged, and once the store is well, it is finished. open gives an
// empty store that is reached through between.
func Faults(t *testing.T, open func(t *testing.T, between func(store http.Handler) http.Handler) origin.Store) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			f := &faulty{serve: fault.serve, from: -1}
			s := open(t, func(store http.Handler) http.Handler { f.store = store; return f })
			edge := &cdn{name: "edge"}
			o := origin.New(s, origin.Options{Purgers: []origin.Purger{edge}})

			// from gives a context for what the store fails at, from its n-th
			// request on.
			from := func(n int) (ctx context.Context, well func()) {
				// Clients wait between attempts, and some try for ever: only
				// some are patient, and none for long.
				tries := 1
				if n%8 == 1 {
					tries = 2
				}
				if fault.plausible {
					tries = math.MaxInt
				}
				ctx, cancel := context.WithCancel(t.Context())
				f.set(n, tries, cancel)
				return ctx, func() { cancel(); f.set(-1, 0, nil) }
			}
			publish(t, o, origin.Stored, 0, version(1, 1))
			requests := f.set(-1, 0, nil)
			failed := 0
			for n := range requests {
				if !publication(t, o, n+1, from) {
					failed++
				}
			}
			if requests < 8 || failed == 0 {
				t.Errorf("%d of %d publications failed", failed, requests)
			}
			t.Logf("%d of %d publications failed, all are whole", failed, requests)

			f.set(-1, 0, nil)
			m, _ := Publication(0, version(1, 1))
			if _, err := o.Remove(t.Context(), m.ID, 1); err != nil {
				t.Fatal(err)
			}
			requests, failed = f.set(-1, 0, nil), 0
			for n := range requests {
				m, objects := Publication(n+1, version(1, 1)) // which may be there
				if _, err := o.Publish(t.Context(), m, objects); err != nil {
					t.Fatal(err)
				}
				if !removal(t, o, edge, n+1, n, from, origin.Stored) {
					failed++
				}
			}
			if requests < 8 || (failed == 0) != fault.plausible {
				t.Errorf("%d of %d takedowns failed", failed, requests)
			}
			t.Logf("%d of %d takedowns failed, all are finished", failed, requests)

			f.set(-1, 0, nil)
			underANewer := func(n int) {
				publish(t, o, origin.Stored, n, version(1, 1))
				publish(t, o, origin.Stored, n, version(2, 1))
			}
			underANewer(requests + 1)
			f.set(-1, 0, nil)
			m, _ = Publication(requests+1, version(1, 1))
			if _, err := o.Remove(t.Context(), m.ID, 1); err != nil {
				t.Fatal(err)
			}
			first := requests + 2
			requests, failed = f.set(-1, 0, nil), 0
			for n := range requests {
				underANewer(first + n)
				if !removal(t, o, edge, first+n, n, from, origin.Overtaken) {
					failed++
				}
				whole(t, o, first+n, version(2, 1))
			}
			if requests < 8 || (failed == 0) != fault.plausible {
				t.Errorf("%d of %d takedowns under a newer revision failed", failed, requests)
			}
			t.Logf("%d of %d takedowns under a newer revision failed, all are finished", failed, requests)
		})
	}
}

func publication(t *testing.T, o *origin.Origin, n int, from func(int) (context.Context, func())) (succeeded bool) {
	t.Helper()
	m, objects := Publication(n, version(1, 1))
	ctx, well := from(n - 1)
	_, err := o.Publish(ctx, m, objects)
	well()
	_, found, readErr := o.Manifest(t.Context(), m.ID)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if err == nil && !found {
		t.Errorf("fault at request %d: Publish succeeded, and there is no manifest", n-1)
	}
	if found {
		whole(t, o, n, m.Version)
	}
	if _, err := o.Publish(t.Context(), m, objects); err != nil {
		t.Errorf("after the fault at request %d: %v", n-1, err)
	}
	whole(t, o, n, m.Version)
	return err == nil
}

// removal takes revision 1 of the n-th episode down, while the store fails from
// a request on.
func removal(t *testing.T, o *origin.Origin, edge *cdn, n, request int, from func(int) (context.Context, func()), want origin.Result) (succeeded bool) {
	t.Helper()
	m, objects := Publication(n, version(1, 1))
	purge := "forget "
	if want == origin.Overtaken {
		purge = "refresh "
	}
	finished := func() {
		t.Helper()
		gone(t, o, objects)
		purged := edge.took()
		for _, want := range []string{purge + origin.ManifestName(m.ID), "forget " + objects[0].Name, "forget " + objects[1].Name} {
			if !slices.Contains(purged, want) {
				t.Errorf("fault at request %d: no %s", request, want)
			}
		}
	}
	edge.took()
	ctx, well := from(request)
	_, err := o.Remove(ctx, m.ID, 1)
	well()
	if err == nil {
		finished()
		return true
	}
	if got, err := o.Remove(t.Context(), m.ID, 1); err != nil || got != want && got != origin.Unchanged {
		t.Errorf("after the fault at request %d: %q, %v", request, got, err)
	}
	finished()
	return false
}
