package feed

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/earshot-fm/earshot/audio/enclosure"
)

func sixteen(text string, order binary.AppendByteOrder) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

func TestCharacterSets(t *testing.T) {
	feed := func(charset string) string {
		return strings.Replace(rss(item("<title>Fußball – café 𝄞</title><guid>1</guid>", audio)), `encoding="UTF-8"`, charset, 1)
	}
	latin := strings.NewReplacer("ß", "\xdf", "é", "\xe9", " – ", " \x96 ", " 𝄞", "").Replace(feed(`encoding="windows-1252"`))
	for name, test := range map[string]struct {
		body []byte
		want string
	}{
		"UTF-8":                           {[]byte(feed(`encoding="UTF-8"`)), "Fußball – café 𝄞"},
		"UTF-8, undeclared":               {[]byte(feed("")), "Fußball – café 𝄞"},
		"UTF-8 with a mark":               {[]byte("\ufeff" + feed(`encoding="utf-8"`)), "Fußball – café 𝄞"},
		"a mark, declared otherwise":      {[]byte("\ufeff" + feed(`encoding="ISO-8859-1"`)), "Fußball – café 𝄞"},
		"Windows-1252":                    {[]byte(latin), "Fußball – café"},
		"ISO-8859-1":                      {[]byte(strings.Replace(strings.Replace(latin, "windows-1252", "ISO-8859-1", 1), " \x96", "", 1)), "Fußball café"},
		"UTF-16, little":                  {append([]byte{0xff, 0xfe}, sixteen(feed(`encoding="UTF-16"`), binary.LittleEndian)...), "Fußball – café 𝄞"},
		"UTF-16, big":                     {append([]byte{0xfe, 0xff}, sixteen(feed(`encoding="UTF-16"`), binary.BigEndian)...), "Fußball – café 𝄞"},
		"UTF-16 without a mark":           {sixteen(feed(`encoding="UTF-16LE"`), binary.LittleEndian), "Fußball – café 𝄞"},
		"UTF-16 without a mark, big":      {sixteen(feed(`encoding="UTF-16BE"`), binary.BigEndian), "Fußball – café 𝄞"},
		"declared UTF-8, and is not":      {[]byte(strings.Replace(latin, "windows-1252", "UTF-8", 1)), ""},
		"a declaration that is not known": {[]byte(feed(`encoding="klingon"`)), ""},
	} {
		p, err := Parse(feedURL, bytes.NewReader(test.body), 10)
		if test.want == "" {
			continue // an error or replacement characters, as the parser likes; no panic
		}
		if err != nil || len(p.Items) != 1 || p.Items[0].Event.Title != test.want {
			t.Errorf("%s: %+v, %v", name, p.Items, err)
		}
	}
}

func TestFeedsAsTheyAre(t *testing.T) {
	for name, test := range map[string]struct {
		body  string
		items int
	}{
		"Atom": {`<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de"><title type="html">A &amp;amp; B</title><id>tag:example.org,2026:feed</id>
<entry><id>tag:example.org,2026:1</id><title>One</title><published>2026-11-20T07:00:00+01:00</published><content type="html">&lt;p&gt;x</content><link rel="enclosure" type="audio/mpeg" length="99" href="/1.mp3"/><link rel="alternate" href="/1"/></entry>
<entry><id>tag:example.org,2026:2</id><title>No sound</title></entry></feed>`, 1},
		"RSS with bad dates": {rss(item(audio, "<guid>1</guid><pubDate>Freitag, 20. November</pubDate>"), item(audio, "<guid>2</guid><pubDate>Fri, 20 Nov 2026 25:61:00 CEST</pubDate>"), item(audio, "<guid>3</guid><pubDate>1795154400</pubDate>")), 3},
		"guids twice":        {rss(item(audio, "<guid>1</guid>"), item(audio, "<guid>1</guid>"), item(audio, "<guid> 1 </guid>")), 1},
		"entities of HTML":   {rss(item(audio, "<title>caf&eacute;&nbsp;&bogus; &</title><guid>1</guid>")), 1},
		"RSS 0.91":           {`<rss version="0.91"><channel><item><title>x</title><enclosure url="https://x.org/1.mp3" type="audio/mpeg"/></item></channel></rss>`, 1},
		"alternates and live": {rss(`<podcast:liveItem status="live"><guid>live</guid><enclosure url="https://x.org/live.mp3" type="audio/mpeg"/></podcast:liveItem>`,
			item(audio, `<guid>1</guid><podcast:alternateEnclosure type="audio/opus"><podcast:source uri="https://x.org/1.opus"/></podcast:alternateEnclosure><podcast:season>2</podcast:season><podcast:episode>7</podcast:episode>`)), 1},
	} {
		p, err := Parse(feedURL, strings.NewReader(test.body), 100)
		if err != nil || len(p.Items) != test.items {
			t.Errorf("%s: %d items, %v, skipped %v", name, len(p.Items), err, p.Skipped)
		}
	}
}

// reading polls a server that answers so, over a connection.
func reading(t *testing.T, o Options, answer http.HandlerFunc) (*inbox, Summary, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	b := &inbox{}
	p, err := New(Public(server.URL+"/rss"), server.Client(), &MemoryCursors{}, b.publish, o)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := p.Poll(t.Context())
	return b, sum, err
}

func TestWhatIsNoFeedOrTooMuchOfOneIsRefused(t *testing.T) {
	write := func(w io.Writer, text string) {
		_, _ = io.WriteString(w, text) // the reader may have hung up
	}
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a web page": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, "<!DOCTYPE html>\n<html><head><title>Sign in</title>")
		}, "is a web page"},
		"a page in XML": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>`)
		}, "is a web page"},
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, "is empty"},
		"an image":        {func(w http.ResponseWriter, _ *http.Request) { write(w, "\x89PNG\r\n\x1a\n") }, "neither RSS nor Atom"},
		"no content":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, "204"},
		"half of the XML": {func(w http.ResponseWriter, _ *http.Request) { write(w, rss(entry(1, "x"), entry(2, "y"))[:450]) }, "EOF"},
		"half of the body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			write(w, rss(entry(1, "x"))[:350])
		}, "was cut"},
		"too many bytes": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, strings.TrimSuffix(rss(entry(1, "x")), "</channel></rss>"))
			for range 3 {
				write(w, "<!--"+strings.Repeat("x", 1<<20)+"-->")
			}
		}, "more than 1048576 bytes"},
		"a gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			zip := gzip.NewWriter(w)
			write(zip, strings.TrimSuffix(rss(), "</channel></rss>")+"<description>")
			for range 20 {
				write(zip, strings.Repeat(" ", 1<<20))
			}
			_ = zip.Close()
		}, "more than 1048576 bytes"},
		"a million laughs": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><rss version="2.0"><channel><title>&c;&c;&c;</title></channel></rss>`)
		}, ""},
		"a file of ours": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, `<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><rss version="2.0"><channel><title>&x;</title>`+entry(1, "&x;")+`</channel></rss>`)
		}, ""},
		"elements without end": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, "<rss><channel>"+strings.Repeat("<a>", 300_000))
		}, "feed: "},
	} {
		b, _, err := reading(t, Options{MaxBytes: 1 << 20}, test.answer)
		if test.want == "" {
			for _, e := range b.events {
				if len(e.Title) > 20 || strings.Contains(e.Title, "\n") {
					t.Errorf("%s: %q", name, e.Title)
				}
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || len(b.events) > 0 || len(err.Error()) > 300 {
			t.Errorf("%s: %v, %d events", name, err, len(b.events))
		}
	}
}

// The parser calls itself for each element in another: 30 MB of them would end
// the process, which nothing can recover from.
func TestADeepDocumentIsRefused(t *testing.T) {
	for _, before := range []string{"", "\ufeff", "\x01 \n", "<?xml version='1.0'?><!-- < -->"} {
		for _, root := range []string{rss()[:strings.Index(rss(), "<title>")], rss()[:strings.Index(rss(), "<title>")] + "<item>", `<feed xmlns="http://www.w3.org/2005/Atom"><entry>`} {
			for _, tag := range []string{"<podcast:a>", "<itunes:category>", "<a b='>'>"} {
				body := before + root + strings.Repeat(tag, 300)
				if _, err := Parse(feedURL, strings.NewReader(body), 10); err == nil || !strings.Contains(err.Error(), "more than 256 elements in one another") {
					t.Errorf("%q %q: %v", before, tag, err)
				}
			}
		}
	}
	var prefixes strings.Builder
	for n := range 300 {
		fmt.Fprintf(&prefixes, ` xmlns:p%d="urn:%d"`, n, n)
	}
	if _, err := Parse(feedURL, strings.NewReader("<rss"+prefixes.String()+"><channel/></rss>"), 10); err == nil || !strings.Contains(err.Error(), "namespaces") {
		t.Errorf("%v", err)
	}
	// What is not deep, however it looks.
	flat := rss(item(audio, "<description><![CDATA["+strings.Repeat("<div><br>", 5000)+"]]></description>"), strings.Repeat("<x:y/><z></z><!-- <a> -->", 5000))
	if p, err := Parse(feedURL, strings.NewReader(flat), 10); err != nil || len(p.Items) != 1 {
		t.Errorf("%v", err)
	}
	if p, err := Parse(feedURL, strings.NewReader(`{"version":"https://jsonfeed.org/version/1.1","items":[{"id":"1","content_html":"`+strings.Repeat("<p><br>", 1000)+`","attachments":[{"url":"https://x.org/1.mp3","mime_type":"audio/mpeg"}]}]}`), 10); err != nil || len(p.Items) != 1 {
		t.Errorf("%v", err)
	}
}

func TestALargeFeedIsRead(t *testing.T) {
	var whole strings.Builder
	whole.WriteString(strings.TrimSuffix(rss(), "</channel></rss>"))
	for n := range 500 {
		whole.WriteString(item(fmt.Sprintf("<guid>%d</guid><title>%d</title><description>%s</description>", n, n, strings.Repeat("word ", 1000)), audio))
	}
	whole.WriteString("</channel></rss>")
	_, sum, err := reading(t, Options{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole.String()) })
	if err != nil || sum.New != 500 {
		t.Errorf("%d bytes: %+v, %v", whole.Len(), sum, err)
	}
}

const (
	largeHere = 64 << 10
	meterAt   = largeHere + 1<<10
)

// meter counts how many answers are being read beyond a size at once.
type meter struct {
	io.ReadCloser
	read       int
	now, worst *atomic.Int32
}

func (m *meter) Read(dst []byte) (int, error) {
	n, err := m.ReadCloser.Read(dst)
	if before := m.read; before <= meterAt && before+n > meterAt {
		now := m.now.Add(1)
		for worst := m.worst.Load(); now > worst && !m.worst.CompareAndSwap(worst, now); worst = m.worst.Load() {
		}
	}
	m.read += n
	return n, err
}

func (m *meter) Close() error {
	if m.read > meterAt {
		m.now.Add(-1)
	}
	return m.ReadCloser.Close()
}

func TestLargeFeedsAreReadOneAtATime(t *testing.T) {
	body := rss("<!--"+strings.Repeat("x", 3*largeHere)+"-->", entry(1, "x"))
	var now, worst atomic.Int32
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: &meter{ReadCloser: io.NopCloser(strings.NewReader(body)), now: &now, worst: &worst}}, nil
	})
	var feeds []string
	for i := range 6 {
		feeds = append(feeds, fmt.Sprintf("https://host%d.example.org/", i))
	}
	p, err := New(Public(feeds...), &http.Client{Transport: transport}, &MemoryCursors{}, (&inbox{}).publish, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.small = largeHere
	if sum, err := p.Poll(t.Context()); err != nil || sum.New != 6 || worst.Load() != 1 {
		t.Errorf("%+v, %v; %d large feeds at once", sum, err, worst.Load())
	}
}

func TestAFeedCannotLeadInside(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a server inside was asked") }))
	defer inside.Close()
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", inside.URL)
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	defer outside.Close()
	// The test's "outside" is one address of this machine, all others are not allowed.
	guard := enclosure.Guard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	asked := 0
	transport := &http.Transport{DialContext: (&net.Dialer{Control: guard}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if asked++; asked == 2 { // the way the redirect leads
			closed := &http.Transport{DialContext: (&net.Dialer{Control: enclosure.Guard(nil)}).DialContext}
			return closed.RoundTrip(r)
		}
		return transport.RoundTrip(r)
	})}
	p, err := New(Public(outside.URL), client, &MemoryCursors{}, (&inbox{}).publish, Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); err == nil || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("%v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
