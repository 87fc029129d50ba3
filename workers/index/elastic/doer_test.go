package elastic

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/workers/index"
)

func TestAuthoritiesAreThoseOfTheFile(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"found":true,"_source":{"removed":true,"revision":7}}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	x, _ := patient(t, Options{URLs: []string{server.URL}, CAFile: file})
	if e, err := x.Get(t.Context(), "e"); err != nil || !e.Removed || e.Version.Revision != 7 {
		t.Errorf("%+v, %v", e, err)
	}
	x, _ = patient(t, Options{URLs: []string{server.URL}})
	if _, err := x.Get(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}

// With one of two nodes gone, what is asked is answered.
func TestNodesTakeTurns(t *testing.T) {
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path+" "+r.Header.Get("Accept")]++
		_, _ = io.WriteString(w, `{"found":false}`)
	}))
	defer server.Close()
	x, pauses := patient(t, Options{URLs: []string{"http://127.0.0.1:1", server.URL + "/behind/a/proxy/"}})
	for range 4 {
		if _, err := x.Get(t.Context(), "a/b"); err == nil || !strings.Contains(err.Error(), index.ErrNotFound.Error()) {
			t.Fatalf("%v", err)
		}
	}
	if n := len(pauses()); n < 3 {
		t.Errorf("%d pauses, want one for each time that the other node was asked first", n)
	}
	if n := asked["/behind/a/proxy/episodes/_doc/a/b "+compatibleJSON]; n != 4 {
		t.Errorf("asked %v", asked)
	}
}

// A redirect is an answer that is not understood: credentials go nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
	defer server.Close()
	x, _ := patient(t, Options{URLs: []string{server.URL}, APIKey: "key"})
	if _, err := x.Get(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("%v", err)
	}
}

// A 404 that is not Elasticsearch's does not say that an episode never was.
func TestAStrangersNotFoundIsAFault(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	x, _ := patient(t, Options{URLs: []string{server.URL}})
	if _, err := x.Get(t.Context(), "e"); err == nil || strings.Contains(err.Error(), index.ErrNotFound.Error()) || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "12": 12 * time.Second, "-3": 0, "soon": 0, "999999999": 24 * time.Hour,
		"Sun, 29 Nov 2026 12:01:00 GMT": time.Minute, "Sun, 29 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	for n := 1; n <= 2*attempts; n++ {
		if d := backoff(n); d < 0 || d > longestPause {
			t.Errorf("pause %d is %s", n, d)
		}
	}
}

func TestWhichVersionsAreSupported(t *testing.T) {
	for version, want := range map[string]bool{"7.10.2": false, "7.16.3": false, "7.17.29": true, "8.19.21": true, "8.0.0": true, "6.8.0": false, "9.0.1": false, "": false, "8": false} {
		if got := supported(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}
