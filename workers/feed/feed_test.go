package feed

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

const feedURL = "https://podnews.net/rss"

// rss is a feed with these elements in its channel.
func rss(elements ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:podcast="https://podcastindex.org/namespace/1.0" xmlns:content="http://purl.org/rss/1.0/modules/content/">
<channel><title>A podcast</title>` + strings.Join(elements, "\n") + `</channel></rss>`
}

func item(elements ...string) string { return "<item>" + strings.Join(elements, "") + "</item>" }

const audio = `<enclosure url="https://cdn.example.org/e1.mp3" type="audio/mpeg" length="1482311"/>`

func parsed(t *testing.T, body string) Podcast {
	t.Helper()
	p, err := Parse(feedURL, strings.NewReader(body), 100)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAWholeItem(t *testing.T) {
	p := parsed(t, rss(`<language>en-us</language><itunes:explicit>true</itunes:explicit>`, item(
		`<title>Penalty   shoot-out &amp; more</title><guid isPermaLink="false"> e-1 </guid><pubDate>Fri, 20 Nov 2026 07:00:00 +0100</pubDate>`,
		`<description><![CDATA[<p>First <b>par</b>agraph.</p><p>Second &amp; last</p><script>x()</script>]]></description>`,
		audio,
		`<itunes:explicit>no</itunes:explicit>`,
		`<podcast:soundbite startTime="73.5" duration="60">The goal</podcast:soundbite><podcast:soundbite startTime="-1" duration="60"/><podcast:soundbite startTime="NaN" duration="1"/><podcast:soundbite startTime="1e307" duration="1"/>`,
		`<podcast:transcript url="/t.vtt" type="text/vtt" language="en"/><podcast:chapters url="c.json" type="application/json+chapters"/>`,
	)))
	no := false
	want := episode.Event{
		ID:          episode.NewID("9b024349-ccf0-5f69-a609-6b82873eab3c", "e-1"),
		Podcast:     "9b024349-ccf0-5f69-a609-6b82873eab3c",
		Title:       "Penalty shoot-out & more",
		Description: "First paragraph. Second & last",
		PublishedAt: time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
		Enclosure:   episode.Enclosure{URL: "https://cdn.example.org/e1.mp3", Type: "audio/mpeg", Bytes: 1482311},
		Language:    "en-US",
		Explicit:    &no,
		Soundbites:  []episode.Soundbite{{Span: episode.Span{Start: 73.5, End: 133.5}, Title: "The goal"}},
		Transcripts: []episode.Link{{URL: "https://podnews.net/t.vtt", Type: "text/vtt", Language: "en"}},
		Chapters:    &episode.Link{URL: "https://podnews.net/c.json", Type: "application/json+chapters"},
	}
	if len(p.Items) != 1 || !reflect.DeepEqual(p.Items[0].Event, want) || p.Items[0].Blocked || len(p.Skipped) != 0 {
		t.Errorf("got  %+v\nwant %+v\nskipped %v", p.Items, want, p.Skipped)
	}
}

func TestGUIDs(t *testing.T) {
	p := parsed(t, rss(item(audio)))
	if p.GUID != "9b024349-ccf0-5f69-a609-6b82873eab3c" {
		t.Errorf("derived guid %s", p.GUID)
	}
	if want := episode.NewID(p.GUID, "https://cdn.example.org/e1.mp3"); p.Items[0].Event.ID != want {
		t.Errorf("an item without a guid is %s, not its enclosure's address", p.Items[0].Event.ID)
	}
	p = parsed(t, rss(`<podcast:guid>917393E3-1B1E-5CEF-ACE4-EDAA54E1F810</podcast:guid>`, item(audio)))
	if p.GUID != "917393e3-1b1e-5cef-ace4-edaa54e1f810" {
		t.Errorf("stated guid %s", p.GUID)
	}
	p = parsed(t, rss(`<podcast:guid>not a guid</podcast:guid>`, item(audio)))
	if p.GUID != "9b024349-ccf0-5f69-a609-6b82873eab3c" {
		t.Errorf("instead of a malformed guid: %s", p.GUID)
	}
}

func TestWhatIsNoEpisodeIsSkippedAndNamed(t *testing.T) {
	p := parsed(t, rss(
		item(`<title>No enclosure</title><guid>1</guid>`),
		item(`<title>A picture</title><guid>2</guid><enclosure url="https://x.org/a.jpg" type="image/jpeg"/>`),
		item(`<title>A file</title><guid>3</guid><enclosure url="file:///etc/passwd" type="audio/mpeg"/>`),
		item(`<title>First</title><guid>4</guid>`, audio),
		item(`<title>Second</title><guid>4</guid>`, audio),
		item(`<title>Untyped</title><guid>5</guid><enclosure url="e5"/>`),
		item(`<title>Both</title><guid>6</guid><enclosure url="https://x.org/e.mp4" type="video/mp4"/><enclosure url="https://x.org/e.m4a" type="audio/mp4" length="-3"/>`),
	))
	var titles []string
	for _, i := range p.Items {
		titles = append(titles, i.Event.Title+" "+i.Event.Enclosure.URL)
	}
	if want := []string{"First https://cdn.example.org/e1.mp3", "Untyped https://podnews.net/e5", "Both https://x.org/e.m4a"}; !reflect.DeepEqual(titles, want) {
		t.Errorf("items %q", titles)
	}
	if p.Items[2].Event.Enclosure.Bytes != 0 {
		t.Errorf("a negative length was believed")
	}
	const none, twice = "no audio enclosure with an http or https address", "has the guid of an entry before it"
	if want := []Skipped{{"No enclosure", none}, {"A picture", none}, {"A file", none}, {"Second", twice}}; !reflect.DeepEqual(p.Skipped, want) {
		t.Errorf("skipped %+v", p.Skipped)
	}
}

func TestOddDates(t *testing.T) {
	for date, want := range map[string]time.Time{
		"Fri, 20 Nov 2026 06:00:00 GMT": time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
		"2026-11-20T06:00:00.5Z":        time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC),
		"yesterday":                     {},
		"":                              {},
		"Thu, 01 Jan 1970 00:00:00 GMT": {},
		"Fri, 31 Dec 9999 23:59:59 GMT": {},
	} {
		p := parsed(t, rss(item(audio, "<pubDate>"+date+"</pubDate>")))
		if got := p.Items[0].Event.PublishedAt; !got.Equal(want) {
			t.Errorf("%q is %s, want %s", date, got, want)
		}
	}
}

func TestBlocked(t *testing.T) {
	for _, test := range []struct {
		channel, item string
		want          bool
	}{
		{"", "", false},
		{"<itunes:block>Yes</itunes:block>", "", true},
		{"", "<itunes:block>yes</itunes:block>", true},
		{"", "<itunes:block>no</itunes:block>", false},
		{"<podcast:block>yes</podcast:block>", "", true},
		{`<podcast:block id="another">yes</podcast:block>`, "", false},
	} {
		if got := parsed(t, rss(test.channel, item(audio, test.item))).Items[0].Blocked; got != test.want {
			t.Errorf("%q %q: %v", test.channel, test.item, got)
		}
	}
}

func TestOtherFormats(t *testing.T) {
	for name, body := range map[string]string{
		"atom": `<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><entry><id>1</id><title>E</title>` +
			`<link rel="enclosure" href="https://cdn.example.org/e1.mp3" type="audio/mpeg" length="5"/></entry></feed>`,
		"json": `{"version":"https://jsonfeed.org/version/1.1","title":"A","items":[{"id":"1","title":"E",` +
			`"attachments":[{"url":"https://cdn.example.org/e1.mp3","mime_type":"audio/mpeg","size_in_bytes":5}]}]}`,
	} {
		p := parsed(t, body)
		if len(p.Items) != 1 || p.Items[0].Event.Title != "E" || p.Items[0].Event.Enclosure.Type != "audio/mpeg" {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestUnreadableFeeds(t *testing.T) {
	for _, body := range []string{"", "<html><body>Not found</body></html>", "<rss><channel><item>", "{}{", "\x00\x01"} {
		if p, err := Parse(feedURL, strings.NewReader(body), 10); err == nil && len(p.Items) > 0 {
			t.Errorf("%q: %+v", body, p)
		} else if err != nil && !strings.Contains(err.Error(), feedURL) {
			t.Errorf("%q: %v does not name the feed", body, err)
		}
	}
}

func TestHugeFeedsAreBounded(t *testing.T) {
	var items []string
	for n := range 50 {
		items = append(items, item(fmt.Sprintf("<guid>%d</guid><description>%s</description>", n, strings.Repeat("long ", 20_000)), audio))
	}
	p, err := Parse(feedURL, strings.NewReader(rss(items...)), 20)
	if err != nil || len(p.Items) != 20 || len(p.Skipped) != 1 || p.Skipped[0].Reason != "30 entries after the first 20" {
		t.Fatalf("%d items, skipped %v, %v", len(p.Items), p.Skipped, err)
	}
	if n := len(p.Items[0].Event.Description); n > maxText {
		t.Errorf("a description of %d bytes", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(rss(item(audio, `<guid>1</guid><description>&lt;p&gt;x</description><podcast:soundbite startTime="1" duration="2"/>`)))
	f.Add(rss(item(audio, `<guid>2</guid><pubDate>Fri, 31 Dec 2199 23:59:59 -2300</pubDate><podcast:soundbite startTime="1e307" duration="2"/>`)))
	f.Add(`{"version":"https://jsonfeed.org/version/1","items":[{"attachments":[{"url":"/a.mp3"}]}]}`)
	f.Add(`<feed xmlns="http://www.w3.org/2005/Atom"><entry><link rel="enclosure" href="a"/></entry></feed>`)
	f.Fuzz(func(t *testing.T, body string) {
		p, err := Parse(feedURL, strings.NewReader(body), 10)
		if err != nil {
			return
		}
		seen := map[episode.ID]bool{}
		for _, i := range p.Items {
			e := i.Event
			e.Revision = 1
			if err := e.Check(); err != nil {
				t.Fatal(err)
			}
			if _, err := fingerprint(e); err != nil {
				t.Fatal(err)
			}
			if seen[e.ID] {
				t.Fatalf("%s twice", e.ID)
			}
			seen[e.ID] = true
		}
	})
}

func FuzzPlain(f *testing.F) {
	f.Add("<p>a<b>b</b></p><script>x</script>&amp;")
	f.Fuzz(func(t *testing.T, markup string) {
		if text := plain(markup); len(text) > maxText || strings.ToValidUTF8(text, "") != text {
			t.Fatalf("%q", text)
		}
	})
}
