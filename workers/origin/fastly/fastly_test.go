package fastly

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/purge"
	"github.com/earshot-fm/earshot/workers/origin/purgetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "TOKEN-d3cafb4dde4dbeef"

func open(t *testing.T, o Options) *Purger {
	t.Helper()
	o.Token = token
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func accept(w http.ResponseWriter, _ purgetest.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"status": "ok", "id": "108-1391560174-974124"}`))
}

func how(r purgetest.Request) origin.Purge {
	if r.Header.Get("Fastly-Soft-Purge") == "1" {
		return origin.Refresh
	}
	return origin.Forget
}

// signed checks what every request of Fastly's purge API must have.
func signed(t *testing.T, r purgetest.Request) {
	t.Helper()
	if r.Method != http.MethodPost || r.Header.Get("Fastly-Key") != token || r.Header.Get("Accept") != "application/json" {
		t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
	}
}

// POST /purge/{cached_url} of Fastly's API reference, "Purge a URL".
func TestPurgingByURL(t *testing.T) {
	purgetest.Run(t, purgetest.Vendor{
		New: func(t *testing.T, api string, retry purge.Retry) origin.Purger {
			return open(t, Options{API: api, URLs: []string{"https://cdn.example.org/previews"}, Retry: retry})
		},
		Names: func(t *testing.T, r purgetest.Request) []string {
			signed(t, r)
			name, found := strings.CutPrefix(r.URL.EscapedPath(), "/purge/cdn.example.org/previews/")
			name, err := url.PathUnescape(name)
			if !found || err != nil || len(r.Body) != 0 {
				t.Errorf("path %s, body %q", r.URL, r.Body)
			}
			return []string{name}
		},
		Accept: accept, How: how, Secrets: []string{token}, Many: 40,
	})
}

// POST /service/{service_id}/purge of Fastly's API reference, "Purge multiple
// surrogate key tags": at most 256.
func TestPurgingBySurrogateKey(t *testing.T) {
	purgetest.Run(t, purgetest.Vendor{
		New: func(t *testing.T, api string, retry purge.Retry) origin.Purger {
			return open(t, Options{API: api + "/", Service: "SU1Z0isxPaozGVKXdv0eY", Retry: retry})
		},
		Names: func(t *testing.T, r purgetest.Request) []string {
			signed(t, r)
			var body map[string][]string
			if err := json.Unmarshal(r.Body, &body); err != nil || len(body) != 1 || len(body["surrogate_keys"]) > 256 {
				t.Errorf("body %q (%v)", r.Body, err)
			}
			if r.URL.Path != "/service/SU1Z0isxPaozGVKXdv0eY/purge" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("path %s, %v", r.URL, r.Header)
			}
			return body["surrogate_keys"]
		},
		Accept: accept, How: how, Secrets: []string{token}, Many: 1000,
	})
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"no token":        {Options{URLs: []string{"https://a/"}}, "no token"},
		"no address":      {Options{Token: token}, "no address"},
		"not an address":  {Options{Token: token, URLs: []string{"cdn.example.org"}}, "of the form https://"},
		"has credentials": {Options{Token: token, URLs: []string{"https://user:hunter2@cdn.example.org/"}}, "has credentials in it"},
		"has a query":     {Options{Token: token, URLs: []string{"https://cdn.example.org/?a=b"}}, "of the form https://"},
	} {
		if _, err := New(test.options); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
