// Package purgetest is the suite that the driver of every CDN must pass,
// against a server that stands for the vendor's API.
package purgetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
)

// Request is what a driver has sent.
type Request struct {
	*http.Request
	Body []byte
}

// Vendor says what is particular to one.
type Vendor struct {
	// New gives a driver that sends to api, and closes it when t ends.
	New func(t *testing.T, api string, retry purge.Retry) origin.Purger
	// Names are those that a request purges; it fails t where the request is
	// not one that the vendor would take.
	Names func(t *testing.T, r Request) []string
	// Accept answers as the vendor does when it accepts.
	Accept func(w http.ResponseWriter, r Request)
	// How tells the kind of a request; nil where the vendor has but one.
	How func(r Request) origin.Purge
	// Secrets may not be in an error.
	Secrets []string
	// Many is more names than fit into a request.
	Many int
}

// api stands for the vendor's API.
type api struct {
	vendor Vendor
	mu     sync.Mutex
	got    []Request
	answer func(n int, w http.ResponseWriter, r Request) // nil: accept; n counts from 1
	waits  []time.Duration
}

func (a *api) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	r := Request{request, body}
	a.mu.Lock()
	a.got = append(a.got, r)
	n, answer := len(a.got), a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(n, w, r)
		return
	}
	a.vendor.Accept(w, r)
}

func (a *api) requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got)
}

// wait stands for the clock.
func (a *api) wait(ctx context.Context, d time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waits = append(a.waits, d)
	return context.Cause(ctx)
}

func (a *api) sorted(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range a.requests() {
		names = append(names, a.vendor.Names(t, r)...)
	}
	slices.Sort(names)
	return names
}

// Run runs the suite.
func Run(t *testing.T, v Vendor) {
	tests := []struct {
		name string
		run  func(*testing.T, *api, origin.Purger)
	}{
		{"names are purged, each time they are asked to be", purged},
		{"nothing to purge sends nothing", nothing},
		{"many names are split", many},
		{"what passes is tried again, as the vendor asks", passing},
		{"a broken connection is tried again", broken},
		{"a vendor that stays down is given up", down},
		{"a wait beyond the deadline is not begun", deadline},
		{"refused credentials are said, and not shown", refused},
		{"a wrong request is not repeated", wrong},
		{"the context ends it", cancelled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := &api{vendor: v}
			test.run(t, a, a.serve(t))
		})
	}
}

func (a *api) serve(t *testing.T) origin.Purger {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return a.vendor.New(t, server.URL, purge.Retry{Wait: a.wait})
}

// Serve gives a driver whose requests answer answers, and which does not wait
// between attempts; n counts from 1.
func Serve(t *testing.T, v Vendor, answer func(n int, w http.ResponseWriter, r Request)) origin.Purger {
	return (&api{vendor: v, answer: answer}).serve(t)
}

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("previews/v1/%02x/%064x.ogg", i%256, i))
	}
	slices.Sort(all)
	return all
}

func purged(t *testing.T, a *api, p origin.Purger) {
	want := []string{"episodes/a guest* Ü/preview.json", "episodes/b/preview.json"}
	for _, how := range []origin.Purge{origin.Refresh, origin.Forget, origin.Forget} {
		a.got = nil
		if err := p.Purge(t.Context(), want, how); err != nil {
			t.Fatal(err)
		}
		if got := a.sorted(t); !slices.Equal(got, want) {
			t.Errorf("purged %q", got)
		}
		for _, r := range a.requests() {
			if a.vendor.How != nil && a.vendor.How(r) != how {
				t.Errorf("%s was sent as %s", how, a.vendor.How(r))
			}
		}
	}
}

func nothing(t *testing.T, a *api, p origin.Purger) {
	if err := p.Purge(t.Context(), nil, origin.Forget); err != nil || len(a.requests()) != 0 {
		t.Errorf("%d requests, %v", len(a.requests()), err)
	}
}

func many(t *testing.T, a *api, p origin.Purger) {
	want := names(a.vendor.Many)
	if err := p.Purge(t.Context(), want, origin.Forget); err != nil {
		t.Fatal(err)
	}
	if got := a.sorted(t); !slices.Equal(got, want) {
		t.Errorf("%d of %d names were purged", len(got), len(want))
	}
	if n := len(a.requests()); n < 2 {
		t.Errorf("%d requests", n)
	}
}

func passing(t *testing.T, a *api, p origin.Purger) {
	a.answer = func(n int, w http.ResponseWriter, r Request) {
		switch n {
		case 1:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.Header().Set("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			a.vendor.Accept(w, r)
		}
	}
	if err := p.Purge(t.Context(), names(1), origin.Forget); err != nil {
		t.Fatal(err)
	}
	if len(a.waits) != 3 || a.waits[0] != 7*time.Second || a.waits[1] <= 0 || a.waits[1] > time.Second || a.waits[2] < 10*time.Second {
		t.Errorf("waited %v", a.waits)
	}
	for _, r := range a.requests() {
		if got := a.vendor.Names(t, r); !slices.Equal(got, names(1)) {
			t.Errorf("an attempt purged %q", got)
		}
	}
}

func broken(t *testing.T, a *api, p origin.Purger) {
	a.answer = func(n int, w http.ResponseWriter, r Request) {
		if n > 1 {
			a.vendor.Accept(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	}
	if err := p.Purge(t.Context(), names(1), origin.Forget); err != nil || len(a.requests()) < 2 {
		t.Errorf("%d requests, %v", len(a.requests()), err)
	}
}

func down(t *testing.T, a *api, p origin.Purger) {
	a.answer = func(_ int, w http.ResponseWriter, _ Request) {
		http.Error(w, "<html>no\nbackend</html>", http.StatusBadGateway)
	}
	err := p.Purge(t.Context(), names(1), origin.Forget)
	if n := len(a.requests()); err == nil || !strings.Contains(err.Error(), "502") || n != 5 {
		t.Errorf("after %d requests: %v", n, err)
	}
	if err != nil && (!strings.HasPrefix(err.Error(), p.Name()+": ") || strings.Contains(err.Error(), "\n")) {
		t.Errorf("error %q", err)
	}
}

func deadline(t *testing.T, a *api, p origin.Purger) {
	a.answer = func(_ int, w http.ResponseWriter, _ Request) {
		w.Header().Set("Retry-After", "25")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := p.Purge(ctx, names(1), origin.Forget)
	if err == nil || !strings.Contains(err.Error(), "429") || len(a.waits) != 0 {
		t.Errorf("waited %v: %v", a.waits, err)
	}
	a.answer = func(_ int, w http.ResponseWriter, _ Request) {
		w.Header().Set("Retry-After", "86400")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	if err := p.Purge(t.Context(), names(1), origin.Forget); err == nil || len(a.waits) != 0 {
		t.Errorf("waited %v: %v", a.waits, err)
	}
}

func refused(t *testing.T, a *api, p origin.Purger) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		a.got = nil
		a.answer = func(_ int, w http.ResponseWriter, r Request) {
			http.Error(w, "no such key "+strings.Join(a.vendor.Secrets, " ")+r.Header.Get("Authorization"), status)
		}
		err := p.Purge(t.Context(), names(1), origin.Forget)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || !strings.Contains(err.Error(), "credentials") {
			t.Fatalf("%d: %v", status, err)
		}
		if n := len(a.requests()); n != 1 {
			t.Errorf("%d: %d requests", status, n)
		}
		for _, secret := range a.vendor.Secrets {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
	}
}

func wrong(t *testing.T, a *api, p origin.Purger) {
	a.answer = func(_ int, w http.ResponseWriter, _ Request) {
		http.Error(w, "no such service", http.StatusNotFound)
	}
	err := p.Purge(t.Context(), names(1), origin.Forget)
	if n := len(a.requests()); err == nil || !strings.Contains(err.Error(), "404") || n != 1 {
		t.Errorf("after %d requests: %v", n, err)
	}
}

func cancelled(t *testing.T, a *api, p origin.Purger) {
	stop := errors.New("the process drains")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	a.answer = func(_ int, _ http.ResponseWriter, r Request) {
		cancel(stop)
		<-r.Context().Done()
	}
	if err := p.Purge(ctx, names(1), origin.Forget); !errors.Is(err, stop) || len(a.requests()) != 1 {
		t.Errorf("after %d requests: %v", len(a.requests()), err)
	}
}
