package feed

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestAddressesOfOneFileAreOne(t *testing.T) {
	const file = "https://cdn.example.org/shows/my.show/e1.mp3"
	for _, same := range []string{
		file,
		"http://cdn.example.org/shows/my.show/e1.mp3",
		"https://user:password@CDN.example.org/shows/my.show/e1.mp3#t=10",
		"https://dts.podtrac.com/redirect.mp3/cdn.example.org/shows/my.show/e1.mp3",
		"https://www.podtrac.com/pts/redirect.mp3/cdn.example.org/shows/my.show/e1.mp3",
		"https://chrt.fm/track/9EE2G/pdst.fm/e/cdn.example.org/shows/my.show/e1.mp3",
		"https://chtbl.com/track/288D49/cdn.example.org/shows/my.show/e1.mp3",
		"https://op3.dev/e/https://cdn.example.org/shows/my.show/e1.mp3",
		"https://op3.dev/e,pg=9b024349-ccf0-5f69-a609-6b82873eab3c/cdn.example.org/shows/my.show/e1.mp3",
		"https://mgln.ai/e/12/prfx.byspotify.com/e/cdn.example.org/shows/my.show/e1.mp3",
		"https://verifi.podscribe.com/rss/p/cdn.example.org/shows/my.show/e1.mp3",
		"https://pscrb.fm/rss/p/arttrk.com/p/ABMA5/claritaspod.com/measure/cdn.example.org/shows/my.show/e1.mp3",
		file + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261120&X-Amz-Date=20261120T060000Z&X-Amz-Expires=3600&X-Amz-Signature=00ff",
		file + "?X-Goog-Signature=aa&X-Goog-Expires=1",
		file + "?Expires=1795154400&Signature=ab~c&Key-Pair-Id=APKA",
		file + "?sv=2024-01-01&se=2026-11-20T06%3A00Z&sr=b&sp=r&sig=x%3D",
		file + "?hdnts=exp=1795154400~acl=/*~hmac=00",
		file + "?token=abc&utm_source=feed&_=1795154400",
	} {
		if got := stable(same); got != file {
			t.Errorf("%s\nis %s", same, got)
		}
	}
	for _, other := range []string{
		"https://cdn.example.org/shows/my.show/e2.mp3",
		"https://cdn.example.org/shows/my.show/E1.mp3",
		file + "?updated=1795154400",
		file + "?v=2&token=abc",
		file + "?id=1",
		"https://cdn.example.org/redirect/cdn.example.org/shows/my.show/e1.mp3",
		"https://chtbl.com/e1.mp3",
	} {
		if got := stable(other); got == file {
			t.Errorf("%s is the same file", other)
		}
	}
}

func FuzzStable(f *testing.F) {
	f.Add("https://op3.dev/e/https://cdn.example.org/e1.mp3?token=1&v=2")
	f.Add("https://chrt.fm/track/a.b/http:///x")
	f.Add("http://op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/op3.dev/e/x.org/y")
	f.Fuzz(func(t *testing.T, address string) {
		stable(address)
	})
}

func TestARotatingSignatureIsNoNewEdition(t *testing.T) {
	signed := func(signature, title string) string {
		return item(`<title>` + title + `</title><guid>1</guid><enclosure url="https://cdn.example.org/1.mp3?Expires=` + signature + `&amp;Signature=` + signature + `" type="audio/mpeg"/>` +
			`<podcast:transcript url="https://cdn.example.org/1.vtt?token=` + signature + `" type="text/vtt"/><podcast:chapters url="https://cdn.example.org/1.json?sig=` + signature + `"/>`)
	}
	w := newWithdrawing()
	w.poll(t, Options{}, signed("1", "one"))
	for _, signature := range []string{"22", "333"} {
		if sum := w.poll(t, Options{}, signed(signature, "one")); sum.Changed+sum.New != 0 || sum.Unchanged != 0 {
			t.Errorf("%+v", sum)
		}
	}
	if sum := w.poll(t, Options{}, signed("4444", "one, corrected")); sum.Changed != 1 || w.events[1].Enclosure.URL != "https://cdn.example.org/1.mp3?Expires=4444&Signature=4444" {
		t.Errorf("%+v, %+v", sum, w.events)
	}
	// Without a guid, the file is the episode.
	unnamed := func(query string) string {
		return item(`<title>x</title><enclosure url="https://cdn.example.org/2.mp3` + query + `" type="audio/mpeg"/>`)
	}
	w = newWithdrawing()
	w.poll(t, Options{}, unnamed("?Signature=1"))
	if sum := w.poll(t, Options{}, unnamed("?Signature=22")); sum.Changed+sum.New != 0 {
		t.Errorf("%+v", sum)
	}
	if sum := w.poll(t, Options{}, unnamed("?id=333")); sum.New != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestWhatAnEditChanges(t *testing.T) {
	yes := true
	whole := func() episode.Event {
		return episode.Event{ID: "1", Title: "t", Description: "d", Enclosure: episode.Enclosure{URL: "https://x.org/1.mp3", Type: "audio/mpeg", Bytes: 5},
			Transcripts: []episode.Link{{URL: "https://x.org/1.vtt", Type: "text/vtt"}}, Chapters: &episode.Link{URL: "https://x.org/c.json"}, Explicit: &yes,
			Soundbites: []episode.Soundbite{{Span: episode.Span{Start: 1, End: 2}}}}
	}
	was, err := fingerprint(whole())
	if err != nil {
		t.Fatal(err)
	}
	no := false
	for name, test := range map[string]struct {
		change func(*episode.Event)
		new    bool
	}{
		"title":             {func(e *episode.Event) { e.Title = "u" }, true},
		"description":       {func(e *episode.Event) { e.Description = "u" }, true},
		"enclosure":         {func(e *episode.Event) { e.Enclosure.URL = "https://x.org/1b.mp3" }, true},
		"type":              {func(e *episode.Event) { e.Enclosure.Type = "audio/mp4" }, true},
		"size":              {func(e *episode.Event) { e.Enclosure.Bytes = 6 }, false}, // inserted advertisements
		"transcript":        {func(e *episode.Event) { e.Transcripts[0].URL = "https://x.org/1b.vtt" }, true},
		"another one":       {func(e *episode.Event) { e.Transcripts = append(e.Transcripts, episode.Link{URL: "x"}) }, true},
		"chapters":          {func(e *episode.Event) { e.Chapters.URL = "https://x.org/d.json" }, true},
		"no chapters":       {func(e *episode.Event) { e.Chapters = nil }, true},
		"explicit":          {func(e *episode.Event) { e.Explicit = &no }, true},
		"soundbite":         {func(e *episode.Event) { e.Soundbites[0].End = 3 }, true},
		"marked as private": {func(e *episode.Event) { e.Private = true }, false},
	} {
		e := whole()
		test.change(&e)
		before := e.Enclosure.URL
		is, err := fingerprint(e)
		if err != nil || (is != was) != test.new || e.Enclosure.URL != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}
