package origintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
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

// Faults runs the suite of a store that fails: at whichever request of a
// publication it begins to, Publish ends with an error or with all done; no
// manifest names what cannot be read; and once the store is well, publishing
// again repairs. open gives an empty store that is reached through between.
func Faults(t *testing.T, open func(t *testing.T, between func(store http.Handler) http.Handler) origin.Store) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			f := &faulty{serve: fault.serve, from: -1}
			s := open(t, func(store http.Handler) http.Handler { f.store = store; return f })
			o := origin.New(s, origin.Options{})
			publish(t, o, origin.Stored, 0, version(1, 1))
			requests := f.set(-1, 0, nil)
			if requests < 8 {
				t.Fatalf("a publication took %d requests", requests)
			}
			failures := 0
			for n := range requests {
				// Clients wait between attempts, and some try for ever: only
				// some of the publications are patient, and none for long.
				tries := 1
				if n%4 == 1 {
					tries = 2
				}
				if fault.plausible {
					tries = math.MaxInt
				}
				ctx, cancel := context.WithCancel(t.Context())
				f.set(n, tries, cancel)
				m, objects := Publication(n+1, version(1, 1))
				_, err := o.Publish(ctx, m, objects)
				cancel()
				f.set(-1, 0, nil)
				if err != nil {
					failures++
				}
				there, found, readErr := o.Manifest(t.Context(), m.ID)
				if readErr != nil {
					t.Fatal(readErr)
				}
				if err == nil && !found {
					t.Errorf("fault at request %d: Publish succeeded, and there is no manifest", n)
				}
				if found {
					whole(t, o, n+1, there.Version)
				}
				if _, err := o.Publish(t.Context(), m, objects); err != nil {
					t.Errorf("after the fault at request %d: %v", n, err)
				}
				whole(t, o, n+1, version(1, 1))
			}
			if failures == 0 {
				t.Errorf("no publication failed")
			}
			t.Logf("%d of %d publications failed, all are whole", failures, requests)
		})
	}
}
