package origintest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/workers/origin"
)

// faults are ways in which a store over HTTP fails.
var faults = []struct {
	name  string
	serve func(w http.ResponseWriter, r *http.Request, store http.Handler)
}{
	{"answers 503", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, "", http.StatusServiceUnavailable)
	}},
	{"never answers", func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}},
	{"does as it is told and cuts its answers", func(w http.ResponseWriter, r *http.Request, store http.Handler) {
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
	}},
	{"gives other bytes", func(w http.ResponseWriter, r *http.Request, store http.Handler) {
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
	}},
}

// faulty stands before a store and fails from a certain request on.
type faulty struct {
	store http.Handler
	serve func(w http.ResponseWriter, r *http.Request, store http.Handler)

	mu     sync.Mutex
	seen   int
	from   int    // the first request that fails; negative: none does
	failed func() // is called when one has
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fails, failed := f.from >= 0 && f.seen >= f.from, f.failed
	f.seen++
	f.mu.Unlock()
	if !fails {
		f.store.ServeHTTP(w, r)
		return
	}
	defer failed()
	if r.Context().Err() == nil {
		f.serve(w, r, f.store)
	}
}

// set starts to count again.
func (f *faulty) set(from int, failed func()) (seen int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, f.seen, f.from, f.failed = f.seen, 0, from, failed
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
			requests := f.set(-1, nil)
			if requests < 8 {
				t.Fatalf("a publication took %d requests", requests)
			}
			failures := 0
			for n := range requests {
				ctx, cancel := context.WithCancel(t.Context())
				// A client may try again for ever; then this is what ends it.
				inTime := func() {}
				if fault.name == "never answers" || n%2 == 0 {
					inTime = cancel
				}
				f.set(n, func() {
					f.mu.Lock()
					late := f.seen > n+3
					f.mu.Unlock()
					if late {
						cancel()
					}
					inTime()
				})
				m, objects := Publication(n+1, version(1, 1))
				// The fault of a request that nobody waits for any more is no verdict.
				if fault.name == "never answers" {
					f.serve = func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
						_, _ = io.Copy(io.Discard, r.Body)
						cancel()
						<-r.Context().Done()
					}
				}
				_, err := o.Publish(ctx, m, objects)
				cancel()
				f.set(-1, nil)
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
