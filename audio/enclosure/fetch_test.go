package enclosure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/audio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func fetcher(t *testing.T, o Options) *Fetcher {
	t.Helper()
	if o.AllowPrivate == nil {
		o.AllowPrivate = loopback
	}
	o.Backoff = func(int) time.Duration { return 0 }
	f := New(o)
	t.Cleanup(f.Close)
	return f
}

func fetch(t *testing.T, o Options, url string) (File, []byte, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "enclosure")
	file, err := fetcher(t, o).Fetch(context.Background(), url, path)
	content, readErr := os.ReadFile(path)
	if (err == nil) != (readErr == nil) {
		t.Errorf("Fetch: %v; the file: %v", err, readErr)
	}
	return file, content, err
}

func wantRejection(t *testing.T, err error, code string) {
	t.Helper()
	var rejected *audio.Rejection
	if !errors.As(err, &rejected) || rejected.Code != code {
		t.Errorf("%v, want a rejection with %s", err, code)
	}
}

func wantTransient(t *testing.T, err error) *TransientError {
	t.Helper()
	var transient *TransientError
	if !errors.As(err, &transient) {
		t.Fatalf("%v, want a transient error", err)
	}
	return transient
}

var sound = []byte(strings.Repeat("the sound of an episode ", 10000))

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestAFileComesWholeAndHashedByAnHonestAgent(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if ua := r.UserAgent(); ua != "earshot/1.2 (+https://example.org/contact)" {
			t.Errorf("User-Agent %q", ua)
		}
		if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Referer") != "" {
			t.Errorf("headers %v", r.Header)
		}
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/audio", http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "audio/mpeg")
		w.Write(sound)
	})
	file, content, err := fetch(t, Options{Version: "1.2", Contact: "https://example.org/contact"}, url)
	if err != nil || string(content) != string(sound) {
		t.Fatalf("%d bytes, %v", len(content), err)
	}
	if file.SHA256 != sum(sound) || file.Bytes != int64(len(sound)) || file.ContentType != "audio/mpeg" || file.Attempts != 1 || file.Resumed {
		t.Errorf("%+v", file)
	}
}

func TestAnswersSayWhetherToTryAgain(t *testing.T) {
	for status, code := range map[int]string{404: NotFound, 410: Gone, 403: Forbidden, 401: Forbidden, 418: Refused} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, _, err := fetch(t, Options{}, url)
		wantRejection(t, err, code)
	}
	for _, status := range []int{408, 425, 429, 500, 502, 503, 504} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(status)
		})
		_, _, err := fetch(t, Options{}, url)
		if e := wantTransient(t, err); e.Status != status || e.RetryAfter != 90*time.Second {
			t.Errorf("%+v", e)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "30": 30 * time.Second, "999999999": longestRetryAfter,
		"Mon, 23 Nov 2026 00:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 00:00:00 GMT": 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestPrivateAddressesAreRefusedAlsoBehindNamesAndRedirects(t *testing.T) {
	secret := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the private server was asked") })
	none := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	for _, url := range []string{
		secret, strings.Replace(secret, "127.0.0.1", "localhost", 1), strings.Replace(secret, "127.0.0.1", "[::ffff:127.0.0.1]", 1),
		"http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fd00::1]/", "http://0.0.0.0:80/",
	} {
		_, _, err := fetch(t, Options{AllowPrivate: none}, url)
		wantRejection(t, err, PrivateAddress)
	}
	entry := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.168.1.1/admin", http.StatusFound)
	})
	_, _, err := fetch(t, Options{}, entry)
	wantRejection(t, err, PrivateAddress)
}

func TestPublicAddresses(t *testing.T) {
	for _, s := range []string{"1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"} {
		if !isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s is refused", s)
		}
	}
	for _, s := range []string{
		"127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
		"224.0.0.1", "198.18.0.1", "::", "::1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
		"64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1", "2001::1",
	} {
		if isPublic(netip.MustParseAddr(s)) {
			t.Errorf("%s is taken for public", s)
		}
	}
}

func TestNoProxyIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	if New(Options{}).transport.Proxy != nil {
		t.Error("a proxy is used")
	}
}

func TestBoundsHold(t *testing.T) {
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(sound); err != nil {
				return
			}
		}
	})
	_, _, err := fetch(t, Options{MaxBytes: 1 << 20}, endless)
	wantRejection(t, err, TooLarge)

	large := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write(sound) })
	_, _, err = fetch(t, Options{MaxBytes: int64(len(sound)) - 1}, large)
	wantRejection(t, err, TooLarge)
	if _, _, err = fetch(t, Options{MaxBytes: int64(len(sound))}, large); err != nil {
		t.Error(err)
	}

	around := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) })
	_, _, err = fetch(t, Options{}, around)
	wantRejection(t, err, TooManyRedirects)

	silent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(sound[:100])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	_, _, err = fetch(t, Options{IdleTimeout: 20 * time.Millisecond, Attempts: 2}, silent)
	if e := wantTransient(t, err); !errors.Is(e, errIdle) {
		t.Error(e)
	}

	dripping := serve(t, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.Write(sound[:1])
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	_, _, err = fetch(t, Options{IdleTimeout: time.Minute, Timeout: 60 * time.Millisecond}, dripping)
	if e := wantTransient(t, err); !errors.Is(e, context.DeadlineExceeded) {
		t.Error(e)
	}
}

// breaking serves half of what is left on each request but the last.
func breaking(t *testing.T, breaks int, serveRest func(w http.ResponseWriter, r *http.Request, attempt int)) string {
	var attempts atomic.Int32
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		attempt := int(attempts.Add(1))
		if attempt > breaks {
			serveRest(w, r, attempt)
			return
		}
		w.Header().Set("ETag", `"first"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(sound)))
		w.Write(sound[:len(sound)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
}

func TestABrokenTransferResumesOnlyTheSameFile(t *testing.T) {
	other := []byte(strings.Repeat("another file, with another advertisement ", 5000))
	for _, c := range []struct {
		name    string
		rest    func(w http.ResponseWriter, r *http.Request, attempt int)
		want    []byte
		resumed bool
	}{
		{"the same ETag", func(w http.ResponseWriter, r *http.Request, _ int) {
			if r.Header.Get("If-Range") != `"first"` || r.Header.Get("Range") != fmt.Sprintf("bytes=%d-", len(sound)/2) {
				t.Errorf("asked with %v", r.Header)
			}
			w.Header().Set("ETag", `"first"`)
			http.ServeContent(w, r, "a.mp3", time.Time{}, strings.NewReader(string(sound)))
		}, sound, true},
		{"a changed ETag", func(w http.ResponseWriter, r *http.Request, _ int) {
			w.Header().Set("ETag", `"second"`)
			http.ServeContent(w, r, "a.mp3", time.Time{}, strings.NewReader(string(other)))
		}, other, false},
		{"a part of another file", func(w http.ResponseWriter, r *http.Request, attempt int) {
			if attempt == 2 {
				w.Header().Set("ETag", `"second"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", len(sound)/2, len(sound)-1, len(sound)))
				w.WriteHeader(http.StatusPartialContent)
				w.Write(other[:10])
				return
			}
			w.Write(other)
		}, other, false},
		{"no such part", func(w http.ResponseWriter, r *http.Request, attempt int) {
			if attempt == 2 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return
			}
			w.Write(other)
		}, other, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, content, err := fetch(t, Options{}, breaking(t, 1, c.rest))
			if err != nil || string(content) != string(c.want) || file.SHA256 != sum(c.want) || file.Resumed != c.resumed || file.Attempts < 2 {
				t.Errorf("%+v, %v", file, err)
			}
		})
	}
}

func TestAWeakETagVouchesForNothing(t *testing.T) {
	var attempts atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			t.Error("a part was asked for")
		}
		w.Header().Set("ETag", `W/"weak"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(sound)))
		if attempts.Add(1) == 1 {
			w.Write(sound[:1000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Write(sound)
	})
	file, _, err := fetch(t, Options{}, url)
	if err != nil || file.SHA256 != sum(sound) || file.Resumed {
		t.Errorf("%+v, %v", file, err)
	}
}

func TestATransferThatKeepsBreakingIsTransient(t *testing.T) {
	_, _, err := fetch(t, Options{Attempts: 3}, breaking(t, 100, nil))
	wantTransient(t, err)
}

func TestNoErrorShowsASecret(t *testing.T) {
	down := httptest.NewServer(nil)
	address := strings.TrimPrefix(down.URL, "http://")
	down.Close()
	missing := strings.TrimPrefix(serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "ftp://user:hunter2@example.org/?token=hunter2", http.StatusFound)
			return
		}
		w.WriteHeader(404)
	}), "http://")
	for _, url := range []string{
		"http://user:hunter2@" + address + "/a.mp3?token=hunter2", "http://user:hunter2@" + missing + "/a.mp3?token=hunter2",
		"http://user:hunter2@" + missing + "/away?token=hunter2",
		"ftp://user:hunter2@example.org/", "http://user:hunter2@%zz/", "http:///hunter2",
	} {
		_, _, err := fetch(t, Options{Attempts: 1}, url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestCancelledAndEncoded(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		cancel(stop)
		<-r.Context().Done()
	})
	if _, err := fetcher(t, Options{}).Fetch(ctx, url, filepath.Join(t.TempDir(), "a")); !errors.Is(err, stop) {
		t.Error(err)
	}
	encoded := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(sound)
	})
	_, _, err := fetch(t, Options{}, encoded)
	wantRejection(t, err, Encoded)
}

func TestLocalFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "an episode.mp3")
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetcher(t, Options{})
	for _, where := range []string{path, "file://" + strings.ReplaceAll(path, " ", "%20")} {
		if file, err := f.Local(context.Background(), where); err != nil || file.SHA256 != sum(sound) || file.Path != path {
			t.Errorf("%s: %+v, %v", where, file, err)
		}
	}
	for _, none := range []string{path + ".missing", filepath.Dir(path), "/dev/zero"} {
		_, err := f.Local(context.Background(), none)
		wantRejection(t, err, BadURL)
	}
	_, err := fetcher(t, Options{MaxBytes: 10}).Local(context.Background(), path)
	wantRejection(t, err, TooLarge)
	_, err = f.Local(context.Background(), "file://elsewhere/a.mp3")
	wantRejection(t, err, BadURL)
}

func FuzzURLs(f *testing.F) {
	f.Add("http://user:secret@example.org/a?b#c")
	f.Fuzz(func(t *testing.T, raw string) {
		if u, err := checkURL(raw); err == nil && (u.Hostname() == "" || strings.ContainsAny(redact(u), "?#") || strings.Contains(redact(u), "@")) {
			t.Errorf("%q is shown as %q", raw, redact(u))
		}
	})
}
