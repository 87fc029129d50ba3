// Package feed turns RSS, Atom and JSON feeds into episode events. It polls a
// list of feeds with conditional requests and good manners, tells what is new,
// changed or taken down since the last poll from what is not, and publishes an
// event for each; the Podcasting 2.0 namespace gives guids, soundbites,
// transcripts and chapters. Feeds that move keep the ids of their episodes.
// What a poll found survives a crash between finding and publishing: the same
// event with the same revision is then published again.
package feed

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"
	ext "github.com/mmcdole/gofeed/extensions"
	"golang.org/x/text/language"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Podcast is a feed as it was read.
type Podcast struct {
	GUID    string // podcast:guid, or derived from the feed's URL
	Title   string
	Items   []Item    // in the feed's order, without duplicates
	Skipped []Skipped // entries that are no episode

	Blocked bool   // the publisher wants all of it out of directories (itunes:block, podcast:block)
	Locked  bool   // podcast:locked: nobody but the owner may import it
	Medium  string // podcast:medium in small letters; empty: podcast
	Moved   string // where the feed says that it is now (itunes:new-feed-url)

	stated    string       // podcast:guid, whatever GUID is
	withheld  []episode.ID // entries that are there and gave no item
	truncated bool         // entries after the first so many were not read
	ttl       time.Duration
	quiet     quiet
}

// Item is one entry of a feed.
type Item struct {
	// Event has everything but Revision, FirstSeen and Priority.
	Event   episode.Event
	Blocked bool // the publisher wants it out of directories (itunes:block, podcast:block)
}

// Skipped is an entry that gave no event.
type Skipped struct {
	Title  string `json:"title"`
	Reason string `json:"reason"`
}

// Bounds on what one entry may carry along.
const (
	maxText  = 64 << 10 // bytes of a description
	maxLinks = 32       // soundbites, transcripts
)

// Parse reads a feed that was fetched from feedURL, at most maxItems entries
// of it. An entry without audio or with another entry's guid is skipped and
// named; dates that cannot be right are left out. The error says what makes
// the whole unreadable.
func Parse(feedURL string, body io.Reader, maxItems int) (Podcast, error) {
	p, err := parse(feedURL, identity{known: feedURL}, body, maxItems)
	if err != nil {
		return Podcast{}, fmt.Errorf("feed: read %s: %w", feedURL, err)
	}
	return p, nil
}

// identity is what the ids of a feed's episodes rest on.
type identity struct {
	guid    string // of the podcast, as it was first read; empty: the feed's own
	known   string // the address of which a guid is derived where the feed has none
	private bool
}

// parse reads a feed that was fetched from the address at. Its errors name no
// address.
func parse(at string, who identity, body io.Reader, maxItems int) (p Podcast, err error) {
	base, err := url.Parse(at)
	if err != nil {
		return Podcast{}, errors.New("its address is no URL")
	}
	// Feeds are strangers' input to a large parser: one feed's crash must not
	// end the polling of the others.
	defer func() {
		if r := recover(); r != nil {
			p, err = Podcast{}, fmt.Errorf("the parser panicked: %v", r)
		}
	}()
	f, err := readDocument(body)
	if err != nil {
		return Podcast{}, err
	}
	p = Podcast{Title: clean(f.Title), stated: statedGUID(f.Extensions), ttl: f.ttl, quiet: f.quiet}
	p.GUID = cmp.Or(who.guid, p.stated, episode.PodcastGUID(who.known))
	p.Blocked = blocked(f.Feed, nil)
	p.Locked = strings.EqualFold(tag(f.Extensions, "locked"), "yes")
	p.Medium = strings.ToLower(tag(f.Extensions, "medium"))
	if f.ITunesExt != nil {
		p.Moved, _ = resolve(base, f.ITunesExt.NewFeedURL)
	}
	seen := map[episode.ID]bool{}
	for i, entry := range f.Items {
		if i == maxItems {
			p.truncated = true
			p.Skipped = append(p.Skipped, Skipped{Reason: fmt.Sprintf("%d entries after the first %d", len(f.Items)-maxItems, maxItems)})
			break
		}
		item, reason := parseItem(base, f.Feed, p.GUID, entry)
		if reason == "" && seen[item.Event.ID] {
			reason = "has the guid of an entry before it"
		}
		if reason != "" {
			p.Skipped = append(p.Skipped, Skipped{Title: clean(entry.Title), Reason: reason})
			if guid := strings.TrimSpace(entry.GUID); guid != "" {
				p.withheld = append(p.withheld, episode.NewID(p.GUID, guid))
			}
			continue
		}
		seen[item.Event.ID] = true
		item.Event.Private = who.private
		p.Items = append(p.Items, item)
	}
	return p, nil
}

func parseItem(base *url.URL, f *gofeed.Feed, podcast string, entry *gofeed.Item) (item Item, reason string) {
	enclosure, ok := pickEnclosure(base, entry.Enclosures)
	if !ok {
		return Item{}, "no audio enclosure with an http or https address"
	}
	guid := strings.TrimSpace(entry.GUID)
	if guid == "" {
		guid = stable(enclosure.URL)
	}
	e := episode.Event{
		ID:          episode.NewID(podcast, guid),
		Podcast:     podcast,
		Title:       clean(entry.Title),
		Description: description(entry),
		Enclosure:   enclosure,
		Language:    languageTag(f.Language),
		Explicit:    explicit(f, entry),
	}
	if d := entry.PublishedParsed; d != nil && d.Year() >= 1990 && d.Year() < 2200 {
		e.PublishedAt = d.UTC().Truncate(time.Second)
	}
	tags := entry.Extensions["podcast"]
	e.Soundbites = soundbites(tags["soundbite"])
	e.Transcripts = links(base, tags["transcript"])
	if chapters := links(base, tags["chapters"]); len(chapters) > 0 {
		e.Chapters = &chapters[0]
	}
	return Item{Event: e, Blocked: blocked(f, entry)}, ""
}

// uuid is how podcast:guid is written.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func statedGUID(tags ext.Extensions) string {
	for _, tag := range tags["podcast"]["guid"] {
		if guid := strings.ToLower(strings.TrimSpace(tag.Value)); uuid.MatchString(guid) {
			return guid
		}
	}
	return ""
}

// tag is the text of a tag of the Podcasting 2.0 namespace.
func tag(tags ext.Extensions, name string) string {
	for _, t := range tags["podcast"][name] {
		return strings.TrimSpace(t.Value)
	}
	return ""
}

// pickEnclosure takes the first that says it is audio, else the first that
// may be: video has sound, and many feeds name no type or a wrong one.
func pickEnclosure(base *url.URL, all []*gofeed.Enclosure) (best episode.Enclosure, found bool) {
	for _, candidate := range all {
		if candidate == nil {
			continue
		}
		address, ok := resolve(base, candidate.URL)
		kind := strings.ToLower(strings.TrimSpace(candidate.Type))
		if !ok || strings.HasPrefix(kind, "image/") || kind == "application/pdf" {
			continue
		}
		bytes, err := strconv.ParseInt(strings.TrimSpace(candidate.Length), 10, 64)
		if err != nil || bytes < 0 {
			bytes = 0
		}
		e := episode.Enclosure{URL: address, Type: kind, Bytes: bytes}
		if strings.HasPrefix(kind, "audio/") {
			return e, true
		}
		if !found {
			best, found = e, true
		}
	}
	return best, found
}

func resolve(base *url.URL, address string) (string, bool) {
	address = strings.TrimSpace(address)
	if address == "" {
		return "", false
	}
	u, err := base.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", false
	}
	return u.String(), true
}

func languageTag(tag string) string {
	t, err := language.Parse(strings.TrimSpace(tag))
	if err != nil || t == language.Und {
		return ""
	}
	return t.String()
}

func explicit(f *gofeed.Feed, entry *gofeed.Item) *bool {
	var said []string
	if entry.ITunesExt != nil {
		said = append(said, entry.ITunesExt.Explicit)
	}
	if f.ITunesExt != nil {
		said = append(said, f.ITunesExt.Explicit)
	}
	for _, s := range said {
		yes := true
		switch strings.ToLower(strings.TrimSpace(s)) {
		case "yes", "true", "explicit":
			return &yes
		case "no", "false", "clean":
			yes = false
			return &yes
		}
	}
	return nil
}

// blocked says whether the feed or the entry, which may be nil, is blocked.
func blocked(f *gofeed.Feed, entry *gofeed.Item) bool {
	var said []string
	if entry != nil && entry.ITunesExt != nil {
		said = append(said, entry.ITunesExt.Block)
	}
	if f.ITunesExt != nil {
		said = append(said, f.ITunesExt.Block)
	}
	for _, tag := range f.Extensions["podcast"]["block"] {
		if tag.Attrs["id"] == "" { // with an id it is for one named service
			said = append(said, tag.Value)
		}
	}
	for _, s := range said {
		if strings.EqualFold(strings.TrimSpace(s), "yes") {
			return true
		}
	}
	return false
}

func soundbites(tags []ext.Extension) (bites []episode.Soundbite) {
	for _, tag := range tags {
		start, err1 := strconv.ParseFloat(strings.TrimSpace(tag.Attrs["startTime"]), 64)
		length, err2 := strconv.ParseFloat(strings.TrimSpace(tag.Attrs["duration"]), 64)
		span := episode.Span{Start: episode.Seconds(start), End: episode.Seconds(start + length)}
		if err1 != nil || err2 != nil || !span.Possible() || len(bites) == maxLinks {
			continue
		}
		bites = append(bites, episode.Soundbite{Span: span, Title: clean(tag.Value)})
	}
	return bites
}

func links(base *url.URL, tags []ext.Extension) (all []episode.Link) {
	for _, tag := range tags {
		address, ok := resolve(base, tag.Attrs["url"])
		if !ok || len(all) == maxLinks {
			continue
		}
		all = append(all, episode.Link{URL: address, Type: strings.TrimSpace(tag.Attrs["type"]), Language: languageTag(tag.Attrs["language"])})
	}
	return all
}
