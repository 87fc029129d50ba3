package feed

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// sites answers for several addresses without a network, and counts.
type sites struct {
	mu    sync.Mutex
	pages map[string]http.HandlerFunc // by address, without the query
	asked []string
}

func (s *sites) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	at := *r.URL
	at.User = nil
	s.asked = append(s.asked, at.String())
	page := s.pages[at.String()]
	if page == nil {
		at.RawQuery = ""
		page = s.pages[at.String()]
	}
	s.mu.Unlock()
	w := httptest.NewRecorder()
	if page == nil {
		page = http.NotFound
	}
	page(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

func (s *sites) set(address string, page http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages == nil {
		s.pages = map[string]http.HandlerFunc{}
	}
	s.pages[address] = page
}

// visits gives the addresses asked since the last time.
func (s *sites) visits() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.asked, " ")
	s.asked = nil
	return all
}

func page(elements ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, rss(elements...)) }
}

func redirect(code int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(code)
	}
}

// station is a poller's surroundings.
type station struct {
	*sites
	inbox
	clock
	cursors MemoryCursors
}

func newStation() *station { return &station{sites: &sites{}, clock: clock{start}} }

// poll polls the feeds as a new process would, an hour after the last.
func (s *station) poll(t *testing.T, o Options, feeds ...Source) Summary {
	t.Helper()
	s.now = s.now.Add(time.Hour)
	o.Now = s.read
	o.HostGap = time.Nanosecond
	p, err := New(feeds, &http.Client{Transport: s.sites}, &s.cursors, s.publish, o)
	if err != nil {
		t.Fatal(err)
	}
	return poll(t, p)
}

func (s *station) ids() string {
	var all []string
	for _, e := range s.events {
		all = append(all, string(e.ID))
	}
	return strings.Join(all, " ")
}

const (
	oldHome = "https://old.example.org/rss"
	newHome = "https://new.example.org/rss"
)

func TestAFeedThatMovedForGoodIsAskedWhereItIs(t *testing.T) {
	for _, code := range []int{301, 308} {
		s := newStation()
		s.set(oldHome, page(entry(1, "one")))
		s.poll(t, Options{}, Public(oldHome)...)
		s.set(oldHome, redirect(code, newHome))
		s.set(newHome, page(entry(2, "two"), entry(1, "one")))
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 || sum.Changed != 0 {
			t.Errorf("%d: %+v: a move made other episodes of the same", code, sum)
		}
		s.visits()
		s.set(oldHome, http.NotFound)
		s.set(newHome, page(entry(3, "three"), entry(2, "two"), entry(1, "one")))
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 || sum.Changed != 0 {
			t.Errorf("%d: %+v", code, sum)
		}
		if asked := s.visits(); asked != newHome {
			t.Errorf("%d: asked %s", code, asked)
		}
		guid := episode.PodcastGUID(oldHome)
		for i, e := range s.events {
			if e.Podcast != guid || e.ID != episode.NewID(guid, fmt.Sprint(i+1)) {
				t.Errorf("%d: %s of %s", code, e.ID, e.Podcast)
			}
		}
	}
}

func TestATemporaryRedirectIsNoMove(t *testing.T) {
	for _, code := range []int{302, 303, 307} {
		s := newStation()
		s.set(oldHome, redirect(code, newHome))
		s.set(newHome, page(entry(1, "one")))
		for range 2 {
			s.poll(t, Options{}, Public(oldHome)...)
			if asked := s.visits(); asked != oldHome+" "+newHome {
				t.Errorf("%d: asked %s", code, asked)
			}
		}
	}
	// What is permanent only until a temporary one is remembered so far.
	s := newStation()
	const between = "https://between.example.org/rss"
	s.set(oldHome, redirect(301, between))
	s.set(between, redirect(302, newHome))
	s.set(newHome, redirect(301, newHome+"/feed"))
	s.set(newHome+"/feed", page(entry(1, "one")))
	s.poll(t, Options{}, Public(oldHome)...)
	s.visits()
	s.poll(t, Options{}, Public(oldHome)...)
	if asked := s.visits(); !strings.HasPrefix(asked, between+" ") {
		t.Errorf("asked %s", asked)
	}
}

func TestAMoveToAnAddressWithASecretIsNotWrittenDown(t *testing.T) {
	for _, to := range []string{"https://user:hunter2@new.example.org/rss", newHome + "?token=hunter2"} {
		s := newStation()
		s.set(oldHome, redirect(301, to))
		s.set(newHome, page("<itunes:new-feed-url>"+newHome+"?key=hunter2</itunes:new-feed-url>", entry(1, "one")))
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 {
			t.Errorf("%+v", sum)
		}
		for name, body := range s.cursors.bodies {
			if strings.Contains(name+string(body), "hunter2") {
				t.Errorf("kept: %s", body)
			}
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	s := newStation()
	s.set(oldHome, redirect(301, newHome))
	s.set(newHome, redirect(301, oldHome))
	p, err := New(Public(oldHome), &http.Client{Transport: s.sites}, &s.cursors, s.publish, Options{Now: s.read})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 10 redirects") {
		t.Errorf("%v", err)
	}
	if n := strings.Count(s.visits(), "https://"); n != 11 {
		t.Errorf("%d requests", n)
	}
	for _, to := range []string{"ftp://x/y", "", "file:///etc/passwd", "http://", ":"} {
		s.set(oldHome, redirect(302, to))
		if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "redirects to what is no http or https address") {
			t.Errorf("%q: %v", to, err)
		}
	}
}

func TestAFeedSaysWhereItIsNow(t *testing.T) {
	const (
		moved = "<itunes:new-feed-url>" + newHome + "</itunes:new-feed-url>"
		mine  = "<podcast:guid>917393e3-1b1e-5cef-ace4-edaa54e1f810</podcast:guid>"
		other = "<podcast:guid>9162f355-a623-5c9f-bf22-dfa2c3cbd2df</podcast:guid>"
	)
	for name, test := range map[string]struct {
		old, next http.HandlerFunc
		follows   bool
	}{
		"same guid":          {page(mine, moved, entry(1, "one")), page(mine, moved, entry(1, "one")), true},
		"no guid there":      {page(mine, moved, entry(1, "one")), page(entry(1, "one")), true},
		"no guid here":       {page(moved, entry(1, "one")), page(other, entry(1, "one")), true},
		"another podcast":    {page(mine, moved, entry(1, "one")), page(other, entry(1, "x")), false},
		"nothing there":      {page(mine, moved, entry(1, "one")), http.NotFound, false},
		"a web page there":   {page(mine, moved, entry(1, "one")), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html><html>") }, false},
		"and back":           {page(moved, entry(1, "one")), page("<itunes:new-feed-url>"+oldHome+"</itunes:new-feed-url>", entry(1, "one")), true},
		"a redirect from it": {page(mine, moved, entry(1, "one")), redirect(301, "https://last.example.org/rss"), true},
	} {
		s := newStation()
		s.set(oldHome, test.old)
		s.set(newHome, test.next)
		s.set("https://last.example.org/rss", page(mine, entry(1, "one")))
		s.poll(t, Options{}, Public(oldHome)...)
		s.visits()
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New+sum.Changed != 0 || len(s.events) != 1 {
			t.Errorf("%s: %+v", name, sum)
		}
		asked := s.visits()
		if stays := strings.HasPrefix(asked, oldHome); stays == test.follows {
			t.Errorf("%s: asked %s", name, asked)
		}
		if name == "and back" && asked != newHome {
			t.Errorf("%s: asked %s: a feed went back and forth", name, asked)
		}
	}
}

func TestTheListMayHaveAnyOfAFeedsAddresses(t *testing.T) {
	for name, lists := range map[string][][]string{
		"only the old one":                 {{oldHome}, {oldHome}},
		"the new one in its place":         {{oldHome}, {newHome}},
		"both, the old one first":          {{oldHome}, {oldHome, newHome}},
		"both, the new one first":          {{oldHome}, {newHome, oldHome}},
		"both, then the new one alone":     {{oldHome}, {oldHome, newHome}, {newHome}},
		"the new one, then the old again":  {{oldHome}, {newHome}, {oldHome}},
		"the new one, then a third, moved": {{oldHome}, {newHome}, {"https://third.example.org/rss"}, {oldHome}},
	} {
		s := newStation()
		s.set(oldHome, page(entry(1, "one")))
		s.poll(t, Options{}, Public(oldHome)...)
		s.set(oldHome, redirect(301, newHome))
		s.set("https://third.example.org/rss", redirect(301, newHome))
		s.set(newHome, page(entry(1, "one")))
		for i, list := range lists {
			s.poll(t, Options{}, Public(list...)...)
			s.visits()
			s.set(newHome, page(entry(i+2, "x"), entry(1, "one")))
			if sum := s.poll(t, Options{Parallel: 1}, Public(list...)...); sum.Polled != 1 || sum.Passed != len(list)-1 || sum.New != 1 || sum.Changed != 0 {
				t.Errorf("%s, list %d: %+v", name, i, sum)
			}
		}
		guid := episode.PodcastGUID(oldHome)
		for _, e := range s.events {
			if e.Podcast != guid {
				t.Errorf("%s: episode %s of %s", name, e.ID, e.Podcast)
			}
		}
	}
}

func TestAFeedThatMovesToAnotherOfTheListIsPolledOnce(t *testing.T) {
	s := newStation()
	s.set(oldHome, page(entry(1, "one")))
	s.set(newHome, page(entry(1, "one")))
	both := Public(oldHome, newHome)
	if sum := s.poll(t, Options{}, both...); sum.New != 2 {
		t.Fatalf("two feeds: %+v", sum)
	}
	s.set(oldHome, redirect(308, newHome))
	s.poll(t, Options{}, both...)
	s.visits()
	s.set(newHome, page(entry(2, "two"), entry(1, "one")))
	if sum := s.poll(t, Options{}, both...); sum.Polled != 1 || sum.Passed != 1 || sum.New != 1 || s.visits() != newHome {
		t.Errorf("%+v", sum)
	}
	if last := s.events[2]; last.Podcast != episode.PodcastGUID(newHome) {
		t.Errorf("the feed that stayed changed its episodes' ids")
	}
	// Alone in the list again, it goes on where it is.
	s.set(newHome, page(entry(3, "three"), entry(2, "two"), entry(1, "one")))
	if sum := s.poll(t, Options{}, Public(oldHome)...); sum.Polled != 1 || sum.New != 2 {
		t.Errorf("%+v", sum)
	}
}

func TestAGuidThatComesLaterChangesNoID(t *testing.T) {
	s := newStation()
	s.set(oldHome, page(entry(1, "one")))
	s.poll(t, Options{}, Public(oldHome)...)
	s.set(oldHome, page("<podcast:guid>917393e3-1b1e-5cef-ace4-edaa54e1f810</podcast:guid>", entry(2, "two"), entry(1, "one")))
	if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 || sum.Changed != 0 || s.events[1].Podcast != s.events[0].Podcast {
		t.Errorf("%+v, %s", sum, s.ids())
	}
	// And a guid that goes away, or turns into another.
	s = newStation()
	s.set(oldHome, page("<podcast:guid>917393e3-1b1e-5cef-ace4-edaa54e1f810</podcast:guid>", entry(1, "one")))
	s.poll(t, Options{}, Public(oldHome)...)
	for i, guid := range []string{"", "<podcast:guid>9162f355-a623-5c9f-bf22-dfa2c3cbd2df</podcast:guid>"} {
		s.set(oldHome, page(guid, entry(i+2, "x"), entry(1, "one")))
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 || sum.Changed != 0 || s.events[i+1].Podcast != "917393e3-1b1e-5cef-ace4-edaa54e1f810" {
			t.Errorf("%q: %+v", guid, sum)
		}
	}
}

func TestAFeedMayComeHome(t *testing.T) {
	s := newStation()
	s.set(oldHome, redirect(301, newHome))
	s.set(newHome, page(entry(1, "one")))
	s.poll(t, Options{}, Public(oldHome)...)
	s.set(newHome, http.NotFound)
	s.set(oldHome, page(entry(2, "two"), entry(1, "one")))
	for range 5 {
		s.now = s.now.Add(time.Hour)
		p, err := New(Public(oldHome), &http.Client{Transport: s.sites}, &s.cursors, s.publish, Options{Now: s.read})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = p.Poll(t.Context()) // the new home is gone
	}
	if len(s.events) != 2 || s.events[1].Title != "two" {
		t.Errorf("%d events", len(s.events))
	}
	s.visits()
	s.poll(t, Options{}, Public(oldHome)...)
	if asked := s.visits(); asked != oldHome {
		t.Errorf("asked %s", asked)
	}
}

func TestAFeedThatEndedIsLeftAloneAndItsEpisodesStay(t *testing.T) {
	s := newStation()
	s.set(oldHome, page(entry(1, "one")))
	s.poll(t, Options{}, Public(oldHome)...)
	s.set(oldHome, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	p, err := New(Public(oldHome), &http.Client{Transport: s.sites}, &s.cursors, s.publish, Options{Now: s.read})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "take it off the list") {
		t.Errorf("%v", err)
	}
	s.visits()
	for range 6 * 24 {
		if sum := s.poll(t, Options{}, Public(oldHome)...); sum.Waiting != 1 || sum.Withdrawn != 0 {
			t.Fatalf("%+v", sum)
		}
	}
	if asked := s.visits(); asked != "" {
		t.Errorf("asked %s", asked)
	}
	// Servers err: it is asked again after a week.
	s.set(oldHome, page(entry(2, "two"), entry(1, "one")))
	s.now = s.now.Add(24 * time.Hour)
	if sum := s.poll(t, Options{}, Public(oldHome)...); sum.New != 1 || sum.Changed != 0 {
		t.Errorf("%+v", sum)
	}
}
