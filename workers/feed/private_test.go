package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

func secrets(name string) (string, error) {
	if name == "EMPTY" {
		return "", nil
	}
	if v, ok := map[string]string{"USER": "h-user", "PASS": "h@s:s/ecret", "TOKEN": "h-token"}[name]; ok {
		return v, nil
	}
	return "", errors.New("no such secret")
}

// Whatever becomes of a private feed, its secrets are in the request and in the
// event, and nowhere else.
func TestAPrivateFeedsSecretsAreShownNowhere(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"well": page("<itunes:new-feed-url>https://new.example.org/h-token/rss?auth=h-token</itunes:new-feed-url>",
			item(`<title>x</title><guid>1</guid><enclosure url="https://cdn.example.org/h-token/1.mp3?auth=h-token" type="audio/mpeg"/>`),
			item(`<title>y</title><guid>2</guid><enclosure url="/h-token/2.mp3" type="audio/mpeg"/>`)),
		"moved":              redirect(301, "https://new.example.org/h-token/rss?auth=h-token"),
		"moved to nonsense":  redirect(301, "://h-token"),
		"moved to more":      redirect(301, "https://h-user:h-token@new.example.org/h-token?h-token=%zz"),
		"moved out of https": redirect(302, "http://new.example.org/h-token"),
		"round in circles":   redirect(308, "https://private.example.org/h-token/rss?auth=h-token"),
		"gone":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) },
		"forbidden":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"a page":             func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>h-token</html>") },
		"cut":                func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, rss()[:100]) },
	}
	for source, shown := range map[Source]string{
		{URL: "https://private.example.org/h-token/rss?auth=h-token", Private: true}:  "https://private.example.org/…",
		{URL: "https://private.example.org/rss?auth=h-token"}:                         "https://private.example.org/…",
		{URL: "https://h-user:h-token@private.example.org/rss"}:                       "https://private.example.org/…",
		{URL: "https://${USER}:${PASS}@private.example.org/rss?show=1&auth=${TOKEN}"}: "https://private.example.org/…",
	} {
		for _, name := range slices.Sorted(maps.Keys(answers)) {
			var log bytes.Buffer
			s := newStation()
			for _, path := range []string{"/h-token/rss", "/rss"} {
				s.set("https://private.example.org"+path, answers[name])
			}
			s.set("https://new.example.org/h-token/rss", page(entry(3, "z")))
			withdrawn := 0
			options := Options{Now: s.read, Secret: secrets, Log: slog.New(slog.NewJSONHandler(&log, nil)), Withdraw: func(context.Context, episode.Removal) error { withdrawn++; return nil }}
			p, err := New([]Source{source}, &http.Client{Transport: s.sites}, &s.cursors, s.publish, options)
			if err != nil {
				t.Fatal(err)
			}
			said := ""
			for range 2 {
				_, err := p.Poll(t.Context())
				if err != nil {
					said += err.Error()
					if !strings.Contains(err.Error(), shown) {
						t.Errorf("%s: %v does not say which feed", name, err)
					}
				}
			}
			said += log.String()
			for name, body := range s.cursors.bodies {
				said += name + string(body)
			}
			for _, secret := range []string{"h-user", "h-token", "h%40s", "ecret"} {
				if strings.Contains(said, secret) {
					t.Errorf("%v, %s: %s is shown in: %s", source.URL, name, secret, said)
				}
			}
			for _, e := range s.events {
				if !e.Private || strings.Contains(e.ShownEnclosure(), "h-") {
					t.Errorf("%s: the event says private: %v, and shows %s", name, e.Private, e.ShownEnclosure())
				}
			}
			if name == "well" && (len(s.events) != 2 || !strings.Contains(s.events[1].Enclosure.URL, "auth=h-token")) {
				t.Errorf("%d events", len(s.events))
			}
			if name == "moved" && (len(s.events) != 1 || !strings.HasPrefix(s.asked[0], "https://private.example.org")) {
				t.Errorf("%d events, asked %v", len(s.events), s.asked)
			}
		}
	}
}

func TestSecretsComeFromOutside(t *testing.T) {
	var got *http.Request
	s := newStation()
	s.set("https://private.example.org/rss", func(w http.ResponseWriter, r *http.Request) { got = r; fmt.Fprint(w, rss(entry(1, "x"))) })
	source := Source{URL: "https://${USER}:${PASS}@private.example.org/rss?auth=${TOKEN}"}
	s.poll(t, Options{Secret: secrets}, source)
	if user, password, ok := got.BasicAuth(); !ok || user != "h-user" || password != "h@s:s/ecret" || got.URL.Query().Get("auth") != "h-token" {
		t.Errorf("asked with %q %q %v", user, password, got.URL)
	}
	// Another token is the same feed with the same episodes.
	if sum := s.poll(t, Options{Secret: func(string) (string, error) { return "other", nil }}, source); sum.New+sum.Changed != 0 || sum.Polled != 1 {
		t.Errorf("%+v", sum)
	}
	for _, name := range []string{"MISSING", "EMPTY"} {
		_, err := New([]Source{{URL: "https://private.example.org/${" + name + "}"}}, http.DefaultClient, &s.cursors, s.publish, Options{Secret: secrets})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v", err)
		}
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EARSHOT_TEST_TOKEN", "from outside")
	for name, want := range map[string]string{"file:" + file: "from a file", "EARSHOT_TEST_TOKEN": "from outside"} {
		if got, err := Secret(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := Secret("EARSHOT_TEST_NONE"); err == nil {
		t.Error("a secret that is not there")
	}
}

func TestUserAndPasswordGoToTheirHostAlone(t *testing.T) {
	s := newStation()
	saw := map[string]string{}
	note := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			saw[r.URL.Host+r.URL.Path] = r.Header.Get("Authorization")
			next(w, r)
		}
	}
	s.set("https://a.example.org/1", note(redirect(302, "/2")))
	s.set("https://a.example.org/2", note(redirect(302, "https://a.example.org/3")))
	s.set("https://a.example.org/3", note(redirect(302, "https://b.example.org/4")))
	s.set("https://b.example.org/4", note(page(entry(1, "x"))))
	s.poll(t, Options{}, Source{URL: "https://user:pass@a.example.org/1"})
	for where, want := range map[string]bool{"a.example.org/1": true, "a.example.org/2": true, "a.example.org/3": true, "b.example.org/4": false} {
		if got, asked := saw[where]; !asked || (got != "") != want {
			t.Errorf("%s: asked %v, with credentials: %v", where, asked, got != "")
		}
	}
}

func TestWrongAddressesShowNoSecret(t *testing.T) {
	for _, address := range []string{"https://user:hunter2@exa mple.org/", "ftp://user:hunter2@example.org", "https://%zz/?token=hunter2", "hunter2?"} {
		_, err := New([]Source{{URL: address}}, http.DefaultClient, &MemoryCursors{}, nil, Options{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
	same := []Source{{URL: "https://a:hunter2@x.org/rss"}, {URL: "https://b:hunter3@x.org/rss"}}
	if _, err := New(same, http.DefaultClient, &MemoryCursors{}, nil, Options{}); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%v", err)
	}
}

func TestARateLimitedServerIsLeftAloneByOnePollToo(t *testing.T) {
	s := newStation()
	s.set(oldHome, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", s.now.Add(90*time.Minute).Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	p, err := New(Public(oldHome), &http.Client{Transport: s.sites}, &s.cursors, s.publish, Options{Now: s.read})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); err == nil {
		t.Error("429 was no failure")
	}
	s.set(oldHome, page(entry(1, "x")))
	if sum := s.poll(t, Options{}, Public(oldHome)...); sum.Waiting != 1 {
		t.Errorf("after an hour: %+v", sum)
	}
	if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 {
		t.Errorf("after two: %+v", sum)
	}
}
