package feed

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
)

// daily is the n-th day's entry.
func daily(n int) string {
	return strings.Replace(entry(n, fmt.Sprint(n)), "</item>", "<pubDate>"+start.AddDate(0, 0, n-1000).Format(time.RFC1123Z)+"</pubDate></item>", 1)
}

// latest are the entries of the days, the latest first, without some.
func latest(from, to int, without ...int) []string {
	var all []string
	for n := to; n >= from; n-- {
		if !slices.Contains(without, n) {
			all = append(all, daily(n))
		}
	}
	return all
}

// withdrawing is a station that notes which days were withdrawn.
type withdrawing struct {
	*station
	gone      []string
	revisions map[episode.ID]episode.Revision
}

func newWithdrawing() *withdrawing {
	return &withdrawing{station: newStation(), revisions: map[episode.ID]episode.Revision{}}
}

func (w *withdrawing) poll(t *testing.T, o Options, elements ...string) Summary {
	t.Helper()
	w.set(oldHome, func(rw http.ResponseWriter, r *http.Request) {
		body := rss(elements...)
		tag := fmt.Sprintf(`"%d"`, len(body))
		rw.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		fmt.Fprint(rw, body)
	})
	o.Withdraw = func(_ context.Context, r episode.Removal) error {
		w.revisions[r.ID] = r.Revision
		for _, e := range w.events {
			if e.ID == r.ID {
				w.gone = append(w.gone, e.Title)
				if r.Revision <= e.Revision {
					t.Errorf("the removal of %s is not newer than it", e.Title)
				}
				break
			}
		}
		if r.Reason == "" {
			t.Error("no reason")
		}
		return r.Check()
	}
	return w.station.poll(t, o, Public(oldHome)...)
}

func TestWhatIsTakenOutOfAFeedIsWithdrawn(t *testing.T) {
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 20)...)
	if sum := w.poll(t, Options{}, latest(1, 20, 12)...); sum.Withdrawn != 0 {
		t.Errorf("at the first poll without it: %+v", sum)
	}
	if sum := w.poll(t, Options{}, latest(1, 20, 12)...); sum.Withdrawn != 1 || w.gone[0] != "12" {
		t.Errorf("at the second: %+v", sum)
	}
	if sum := w.poll(t, Options{}, latest(1, 20, 12)...); sum.Withdrawn != 0 || sum.Unchanged != 1 {
		t.Errorf("at the third: %+v", sum)
	}
	removal := w.revisions[w.events[11].ID]
	if sum := w.poll(t, Options{}, latest(1, 20)...); sum.Changed != 1 || w.events[20].Title != "12" || w.events[20].Revision <= removal {
		t.Errorf("back again: %+v", sum)
	}
}

func TestWhatOnlySeemsToBeTakenOutStays(t *testing.T) {
	trailer := daily(0)
	for name, polls := range map[string][][]string{
		"back at the next poll":        {latest(1, 20), latest(1, 20, 12), latest(1, 20)},
		"off the old end":              {latest(1, 20), latest(2, 21), latest(3, 22), latest(3, 22)},
		"many off the old end":         {latest(1, 20), latest(15, 20), latest(15, 20)},
		"a trailer stays for ever":     {append(latest(11, 20), trailer), append(latest(12, 21), trailer), append(latest(13, 22), trailer), append(latest(13, 22), trailer)},
		"several are pinned":           {append(latest(11, 20), latest(1, 3)...), append(latest(12, 21), latest(1, 3)...), append(latest(13, 22), latest(1, 3)...), append(latest(14, 23), latest(1, 3)...)},
		"the latest":                   {latest(1, 20), latest(1, 19), latest(1, 19)},
		"half of it":                   {latest(1, 20), latest(1, 20, 3, 4, 5, 8, 9, 10, 12, 13, 17), latest(1, 20, 3, 4, 5, 8, 9, 10, 12, 13, 17)},
		"an empty feed":                {latest(1, 20), nil, nil},
		"its enclosure is gone":        {latest(1, 20), append(latest(1, 20, 12), item("<guid>12</guid><title>12</title>")), append(latest(1, 20, 12), item("<guid>12</guid><title>12</title>"))},
		"entries without dates":        {{entry(3, "3"), entry(2, "2"), entry(1, "1")}, {entry(3, "3"), entry(1, "1")}, {entry(3, "3"), entry(1, "1")}},
		"one that came with no notice": {latest(5, 20), latest(5, 20), append(latest(6, 21), trailer), append(latest(6, 21), trailer)},
	} {
		w := newWithdrawing()
		for _, elements := range polls {
			w.poll(t, Options{}, elements...)
		}
		if len(w.gone) > 0 {
			t.Errorf("%s: withdrawn: %v", name, w.gone)
		}
	}
	w := newWithdrawing()
	for _, without := range [][]int{nil, {12}, {12}} {
		w.poll(t, Options{KeepVanished: true}, latest(1, 20, without...)...)
		w.poll(t, Options{MaxItems: 10}, latest(1, 20, without...)...)
	}
	if len(w.gone) > 0 {
		t.Errorf("kept by the settings, or perhaps not read: %v", w.gone)
	}
}

func TestASmallFeedsEpisodeCanBeTakenOut(t *testing.T) {
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 3)...)
	for range 2 {
		w.poll(t, Options{}, latest(1, 3, 2)...)
	}
	if fmt.Sprint(w.gone) != "[2]" {
		t.Errorf("withdrawn: %v", w.gone)
	}
}

func TestTheLatestTakenOutGoesOnceANewerOneIsThere(t *testing.T) {
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 20)...)
	w.poll(t, Options{}, latest(1, 19)...)
	w.poll(t, Options{}, latest(1, 21, 20)...)
	w.poll(t, Options{}, latest(1, 21, 20)...)
	if fmt.Sprint(w.gone) != "[20]" {
		t.Errorf("withdrawn: %v", w.gone)
	}
}

// A feed of the latest so many, with or without pinned old ones, never has an
// episode withdrawn, however it grows.
func TestAWindowWithdrawsNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		window := rapid.IntRange(1, 12).Draw(r, "window")
		pins := rapid.IntRange(0, pinned).Draw(r, "pinned")
		w := newWithdrawing()
		to := 10 + rapid.IntRange(0, 20).Draw(r, "first")
		for range 12 {
			from := max(pins+1, to-window+1)
			w.poll(t, Options{MaxItems: 50}, append(latest(from, to), latest(1, pins)...)...)
			to += rapid.IntRange(0, 3).Draw(r, "new")
		}
		if len(w.gone) > 0 {
			r.Fatalf("withdrawn: %v", w.gone)
		}
	})
}

func TestABlockedFeedTakesAllOfItsEpisodesDown(t *testing.T) {
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 5)...)
	w.poll(t, Options{}, latest(3, 6)...) // 1 and 2 fell off the end
	if sum := w.poll(t, Options{}, append(latest(3, 7), "<itunes:block>Yes</itunes:block>")...); sum.Passed != 1 || sum.Withdrawn != 6 || sum.New != 0 {
		t.Errorf("%+v, %v", sum, w.gone)
	}
	if sum := w.poll(t, Options{}, append(latest(3, 7), "<itunes:block>Yes</itunes:block>")...); sum.Withdrawn != 0 || sum.Unchanged != 1 {
		t.Errorf("%+v", sum)
	}
	if sum := w.poll(t, Options{}, latest(3, 7)...); sum.New != 1 || sum.Changed != 4 {
		t.Errorf("unblocked: %+v", sum)
	}
	// Blocked before anything was read of it.
	w = newWithdrawing()
	if sum := w.poll(t, Options{Fresh: time.Hour}, append(latest(1, 5), "<podcast:block>yes</podcast:block>")...); sum.Passed != 1 || sum.New+sum.Withdrawn != 0 {
		t.Errorf("%+v", sum)
	}
	if sum := w.poll(t, Options{Fresh: time.Hour}, latest(1, 5)...); sum.New != 5 || w.events[0].Priority != episode.Backlog {
		t.Errorf("%+v", sum)
	}
}

func TestLockedFeedsAndOtherMediaArePassedOver(t *testing.T) {
	for tags, want := range map[string]bool{
		`<podcast:locked owner="a@example.org">yes</podcast:locked>`: false,
		`<podcast:locked>no</podcast:locked>`:                        true,
		`<podcast:medium>podcast</podcast:medium>`:                   true,
		`<podcast:medium>audiobook</podcast:medium>`:                 true,
		`<podcast:medium>music</podcast:medium>`:                     false,
		`<podcast:medium>podcastL</podcast:medium>`:                  false,
	} {
		w := newWithdrawing()
		sum := w.poll(t, Options{}, append(latest(1, 2), tags)...)
		if (sum.New == 2) != want || (sum.Passed == 0) != want {
			t.Errorf("%s: %+v", tags, sum)
		}
	}
	const locked = "<podcast:locked>yes</podcast:locked>"
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 2)...)
	if sum := w.poll(t, Options{}, append(latest(1, 3), locked)...); sum.New+sum.Withdrawn != 0 {
		t.Errorf("what was published before a lock: %+v", sum)
	}
	if sum := w.poll(t, Options{TakeLocked: true}, append(latest(1, 3), locked)...); sum.New != 1 {
		t.Errorf("with the operator's leave: %+v", sum)
	}
}

func TestARemovalThatFailsIsTriedAgainAsItWas(t *testing.T) {
	w := newWithdrawing()
	w.poll(t, Options{}, latest(1, 5)...)
	blocked := append(latest(1, 5), "<itunes:block>yes</itunes:block>")
	w.set(oldHome, page(blocked...))
	var first episode.Revision
	p, err := New(Public(oldHome), &http.Client{Transport: w.sites}, &w.cursors, w.publish, Options{Now: w.read, Withdraw: func(_ context.Context, r episode.Removal) error {
		first = r.Revision
		return errCrash
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); err == nil {
		t.Error("a removal that failed was no failure")
	}
	if sum := w.poll(t, Options{}, blocked...); sum.Withdrawn != 5 {
		t.Errorf("%+v", sum)
	}
	for id, revision := range w.revisions {
		if revision != first {
			t.Errorf("%s was withdrawn as %d and %d", id, first, revision)
		}
	}
}
