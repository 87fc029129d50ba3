package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/feed"
	"github.com/earshot-fm/earshot/workers/message"
)

// malformedMaker damages what is whole: the sample's files, its feed, an event
// with every field.
type malformedMaker struct {
	random *rand.Rand
	audio  [][]byte // the beginning of each file
	rss    []byte
}

func newMalformedMaker(t *testing.T, random *rand.Rand) *malformedMaker {
	t.Helper()
	m := &malformedMaker{random: random}
	names, err := filepath.Glob("../../sample/feed/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".xml" {
			m.rss = bytes.ReplaceAll(content, []byte("{{BASE}}"), []byte("http://10.0.0.1"))
		} else {
			m.audio = append(m.audio, content[:min(len(content), 24<<10)])
		}
	}
	if len(m.audio) < 5 || m.rss == nil {
		t.Fatalf("%d files of audio in the sample", len(m.audio))
	}
	return m
}

// extremes are what fields of headers are set to.
var extremes = []byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}

// damage changes up to n bytes among the first most of b.
func (m *malformedMaker) damage(b []byte, n, most int) []byte {
	b = slices.Clone(b)
	if len(b) == 0 {
		return b
	}
	for range 1 + m.random.IntN(n) {
		i := m.random.IntN(min(len(b), most))
		switch m.random.IntN(3) {
		case 0:
			b[i] = extremes[m.random.IntN(len(extremes))]
		case 1:
			b[i] ^= 1 << m.random.IntN(8)
		default:
			b[i] = byte(m.random.Uint32())
		}
	}
	return b
}

// message is one that no reader takes.
func (m *malformedMaker) message(id episode.ID) []byte {
	yes := true
	e := episode.Event{
		ID: id, Podcast: "p", Title: "Title", Description: "what it is about", Revision: 7, PublishedAt: time.UnixMilli(1e12),
		Enclosure: episode.Enclosure{URL: "https://10.0.0.1/a.mp3", Type: "audio/mpeg", Bytes: 9}, Language: "en", Explicit: &yes, Priority: episode.Live,
		Soundbites:  []episode.Soundbite{{Span: episode.Span{Start: 1, End: 2}, Title: "t"}},
		Transcripts: []episode.Link{{URL: "https://10.0.0.1/a.vtt", Type: "text/vtt"}}, Chapters: &episode.Link{URL: "https://10.0.0.1/c.json"},
		Control: episode.Control{Targets: []string{"decode"}, Force: []string{"fetch"}},
	}
	for {
		encoding := message.Binary
		if m.random.IntN(2) == 0 {
			encoding = message.JSON
		}
		b, err := message.EncodePublished(e, encoding)
		if err != nil {
			panic(err) // an event with every field
		}
		switch m.random.IntN(4) {
		case 0:
			b = b[:m.random.IntN(len(b))]
		case 1:
			b = slices.Concat(b, b[:m.random.IntN(len(b))])
		case 2:
			at := m.random.IntN(len(b))
			b = slices.Concat(b[:at], bytes.Repeat(b[at:], 1+m.random.IntN(8)))
		default:
			b = m.damage(b, 16, len(b))
		}
		// The id's number keeps messages apart that were cut to the same bytes.
		b = append(b, id...)
		if _, err := decodeEither(b); err != nil {
			return b
		}
	}
}

// event names what is no enclosure's address, or one of our own network.
func (m *malformedMaker) event(id episode.ID) episode.Event {
	addresses := []string{
		"ftp://10.0.0.1/a.mp3", "gopher://x", "javascript:alert(1)", "data:audio/mpeg;base64,AAAA", "//10.0.0.1/a", "a.mp3", "http://", "https:///a.mp3", "http://[", "http://%zz/",
		"http://10.0.0.1/a.mp3", "http://127.0.0.1/", "https://[::1]/", "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a00:1]/",
		"http://0.0.0.0/", "http://user:password@192.168.0.1/a?token=x", "http://100.64.0.1/", "http://168.63.129.16/",
		"http://[::1%25eth0]/", "file://elsewhere.example/a.mp3\x00", "http://10.0.0.1:99999/", "http://10.0.0.1:port/",
	}
	address := addresses[m.random.IntN(len(addresses))]
	if m.random.IntN(4) == 0 {
		address = string(bytes.ToValidUTF8(m.damage([]byte("ht!p://10.0.0.1/a.mp3"), 4, 3), []byte("?")))
	}
	return episode.Event{ID: id, Revision: 1, Enclosure: episode.Enclosure{URL: address}}
}

// feed is what a damaged feed holds that asks nobody: its server is at an
// address that nothing is fetched from.
func (m *malformedMaker) feed() (events []episode.Event, err error) {
	rss := m.damage(m.rss, 3, len(m.rss))
	switch m.random.IntN(8) {
	case 0:
		rss = rss[:m.random.IntN(len(rss))]
	case 1:
		at := m.random.IntN(len(rss))
		rss = slices.Concat(rss[:at], rss[m.random.IntN(len(rss)):])
	}
	p, err := feed.Parse("http://10.0.0.1/feed.xml", bytes.NewReader(rss), 10)
	for _, item := range p.Items {
		e := item.Event
		u, err := url.Parse(e.Enclosure.URL)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") {
			// Damage may have made it somebody's.
			if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsPrivate() {
				continue
			}
		}
		if e.Revision = 1; e.Check() == nil || e.ID == "" {
			events = append(events, e)
		}
	}
	return events, err
}

// file is damaged audio: cut, with fields of its header at their extremes, with
// noise behind a good beginning, or with another file's.
func (m *malformedMaker) file() []byte {
	b := m.audio[m.random.IntN(len(m.audio))]
	switch m.random.IntN(7) {
	case 0: // cut within the header
		b = b[:m.random.IntN(min(len(b), 600))]
	case 1:
		b = m.damage(b[:min(len(b), 4096)], 24, 64)
	case 2: // a number of the header that is none
		b = slices.Clone(b[:min(len(b), 4096)])
		at := m.random.IntN(56)
		binary.LittleEndian.PutUint32(b[at:], []uint32{0, 1, math.MaxUint32, math.MaxInt32, 1 << 31}[m.random.IntN(5)])
		b = b[:min(len(b), at+8+m.random.IntN(64))]
	case 3: // noise behind the first bytes
		b = slices.Clone(b[:min(len(b), 8192)])
		for i := 4 + m.random.IntN(40); i < len(b); i++ {
			b[i] = byte(m.random.Uint32())
		}
	case 4: // another file's samples
		other := m.audio[m.random.IntN(len(m.audio))]
		b = slices.Concat(b[:12+m.random.IntN(32)], other[len(other)/2:])
	case 5: // a tag that claims what is not there
		size := m.random.Uint32()
		b = slices.Concat([]byte{'I', 'D', '3', 4, 0, byte(m.random.IntN(256)), byte(size>>24) & 127, byte(size >> 16), byte(size>>8) & 127, byte(size) & 127}, b[:m.random.IntN(600)])
	default: // zeros and noise
		b = make([]byte, m.random.IntN(3000))
		if len(b) > 0 && m.random.IntN(2) == 0 {
			b = m.damage(b, len(b), len(b))
		}
	}
	return b
}
