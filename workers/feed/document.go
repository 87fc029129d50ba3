package feed

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"
	gofeedrss "github.com/mmcdole/gofeed/rss"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// document is a feed as gofeed gives it, with what its common form leaves out.
type document struct {
	*gofeed.Feed
	ttl   time.Duration
	quiet quiet
}

// quiet is when a feed asks not to be polled (RSS 2.0's skipHours and
// skipDays), in GMT.
type quiet struct {
	Hours uint32 `json:"hours,omitempty"` // bit 0: from midnight to one
	Days  uint8  `json:"days,omitempty"`  // bit 0: Sunday
}

// readDocument reads a feed of any format and character set.
func readDocument(body io.Reader) (document, error) {
	r, err := utf8Reader(body)
	if err != nil {
		return document{}, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return document{}, err
	}
	text = slices.DeleteFunc(text, isControl) // as gofeed does, so that both read the same
	if err := checkShape(text); err != nil {
		return document{}, err
	}
	keep := &keepRSS{}
	parser := gofeed.NewParser()
	parser.RSSTranslator = keep
	f, err := parser.Parse(bytes.NewReader(text))
	if errors.Is(err, gofeed.ErrFeedTypeNotDetected) {
		return document{}, errors.New(noFeed(text[:min(len(text), 512)]))
	}
	if err != nil {
		return document{}, err
	}
	d := document{Feed: f}
	keep.hints(&d)
	return d, nil
}

// Elements in one another, and prefixes of namespaces: far more than feeds have.
// gofeed calls itself for each element within another, so that a deep document
// would end the process, and copies all prefixes wherever one is added.
const (
	maxDepth    = 256
	maxPrefixes = 256
)

func isControl(b byte) bool { return b < 0x20 && b != '\t' && b != '\n' && b != '\r' }

// checkShape reads XML as gofeed will, and refuses what would harm it. What is
// not well formed is left to gofeed to refuse.
func checkShape(text []byte) error {
	// gofeed's rule for what is JSON.
	const before = " \t\r\n\xfe\xff\xef\xbb\xbf"
	first := slices.IndexFunc(text, func(b byte) bool { return strings.IndexByte(before, b) < 0 })
	if first >= 0 && text[first] == '{' {
		return nil
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.CharsetReader = charset.NewReaderLabel
	depth, prefixes := 0, map[string]bool{}
	for {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		switch t := token.(type) {
		case xml.StartElement:
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" {
					prefixes[a.Name.Local] = true
				}
			}
			if depth++; depth > maxDepth {
				return fmt.Errorf("more than %d elements in one another", maxDepth)
			}
			if len(prefixes) > maxPrefixes {
				return fmt.Errorf("more than %d namespaces", maxPrefixes)
			}
		case xml.EndElement:
			depth--
		}
	}
}

// noFeed says what was there instead of a feed.
func noFeed(head []byte) string {
	text := strings.ToLower(string(bytes.TrimSpace(head)))
	switch {
	case text == "":
		return "the answer is empty"
	case strings.HasPrefix(text, "<!doctype html"), strings.Contains(text, "<html"):
		return "the answer is a web page, not a feed"
	}
	return "the answer is neither RSS nor Atom nor a JSON feed"
}

// keepRSS is gofeed's translation, which also keeps what has no place in the
// common form.
type keepRSS struct {
	gofeed.DefaultRSSTranslator
	feed *gofeedrss.Feed
}

// Translate implements gofeed.Translator.
func (k *keepRSS) Translate(feed any) (*gofeed.Feed, error) {
	k.feed, _ = feed.(*gofeedrss.Feed)
	return k.DefaultRSSTranslator.Translate(feed)
}

func (k *keepRSS) hints(d *document) {
	if k.feed == nil {
		return
	}
	var minutes int64
	if _, err := fmt.Sscanf(strings.TrimSpace(k.feed.TTL), "%d", &minutes); err == nil && minutes > 0 {
		d.ttl = time.Duration(min(minutes, 7*24*60)) * time.Minute
	}
	for _, hour := range k.feed.SkipHours {
		var h int
		if _, err := fmt.Sscanf(strings.TrimSpace(hour), "%d", &h); err == nil && h >= 0 && h <= 24 {
			d.quiet.Hours |= 1 << (h % 24)
		}
	}
	for _, day := range k.feed.SkipDays {
		for w := time.Sunday; w <= time.Saturday; w++ {
			if strings.EqualFold(strings.TrimSpace(day), w.String()) {
				d.quiet.Days |= 1 << w
			}
		}
	}
}

// end is when the quiet time that t lies in is over, a day later at most; t
// itself when it lies in none.
func (q quiet) end(t time.Time) time.Time {
	u := t.UTC()
	for range 24 {
		if q.Days>>u.Weekday()&1 == 0 && q.Hours>>u.Hour()&1 == 0 {
			break
		}
		u = u.Truncate(time.Hour).Add(time.Hour)
	}
	if u.Equal(t) {
		return t
	}
	return u
}

// utf8Reader reads UTF-16 and what begins with a byte order mark as UTF-8. All
// other character sets are the XML declaration's to name.
func utf8Reader(body io.Reader) (*bufio.Reader, error) {
	r := bufio.NewReaderSize(body, 4096)
	head, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var order unicode.Endianness
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		_, err := r.Discard(3)
		return undeclared(r), err
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.Equal(head, []byte{'<', 0, '?', 0}), bytes.Equal(head, []byte{'<', 0, 'r', 0}):
		order = unicode.LittleEndian
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}), bytes.Equal(head, []byte{0, '<', 0, '?'}), bytes.Equal(head, []byte{0, '<', 0, 'r'}):
		order = unicode.BigEndian
	default:
		return r, nil
	}
	return undeclared(bufio.NewReader(transform.NewReader(r, unicode.UTF16(order, unicode.UseBOM).NewDecoder()))), nil
}

var declaration = regexp.MustCompile(`^\s*<\?xml[^>]{0,400}\?>`)

// undeclared drops the XML declaration, whose character set is not that of the
// text any more.
func undeclared(r *bufio.Reader) *bufio.Reader {
	head, _ := r.Peek(512) // an error comes again when it is read
	if found := declaration.Find(head); found != nil {
		_, _ = r.Discard(len(found)) // it was peeked at
	}
	return bufio.NewReaderSize(r, 4096)
}
