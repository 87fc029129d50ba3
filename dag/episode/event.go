package episode

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Priority is the lane an event travels in.
type Priority string

// Live episodes were just published; Backlog episodes are reprocessed when
// there is room.
const (
	Live    Priority = "live"
	Backlog Priority = "backlog"
)

// Event asks for one episode to be enriched.
type Event struct {
	ID          ID          `json:"id"`
	Podcast     string      `json:"podcast"` // the podcast's guid
	Title       string      `json:"title"`
	Description string      `json:"description,omitempty"`
	Revision    Revision    `json:"revision"`
	PublishedAt time.Time   `json:"published_at,omitzero"`
	Enclosure   Enclosure   `json:"enclosure"`
	Language    string      `json:"language,omitempty"` // the publisher's hint, BCP 47
	Explicit    *bool       `json:"explicit,omitempty"`
	Soundbites  []Soundbite `json:"soundbites,omitempty"`
	Transcripts []Link      `json:"transcripts,omitempty"` // the publisher's own
	Chapters    *Link       `json:"chapters,omitempty"`    // the publisher's own
	Priority    Priority    `json:"priority,omitempty"`    // empty: Live
	FirstSeen   time.Time   `json:"first_seen,omitzero"`   // when the source first saw this revision
	Control     Control     `json:"control,omitzero"`
}

// Check reports the first field that makes the event impossible to work on.
func (e *Event) Check() error {
	switch {
	case e.ID == "":
		return fmt.Errorf("event: id: missing")
	case len(e.ID) > longestID || strings.ContainsFunc(string(e.ID), func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }) || strings.Trim(string(e.ID), ".") == "":
		// Files and objects are named by it.
		return fmt.Errorf("event: id: %.60q is no episode id: want up to %d characters without slashes", e.ID, longestID)
	case e.Revision <= 0:
		return fmt.Errorf("event: revision: %d is no time in milliseconds", e.Revision)
	case e.Enclosure.URL == "":
		return fmt.Errorf("event: enclosure.url: missing")
	case e.Priority != "" && e.Priority != Live && e.Priority != Backlog:
		return fmt.Errorf("event: priority: %q is neither %q nor %q", e.Priority, Live, Backlog)
	}
	for i, s := range e.Soundbites {
		if !s.Possible() {
			return fmt.Errorf("event: soundbites[%d]: no episode has a span from %v to %v", i, float64(s.Start), float64(s.End))
		}
	}
	return nil
}

const longestID = 128

// Control steers what a run does. The zero value asks for everything.
type Control struct {
	Targets []string `json:"targets,omitempty"` // nodes wanted, with what they need; nil: all
	Force   []string `json:"force,omitempty"`   // nodes to run although their artifact exists
	Ping    bool     `json:"ping,omitempty"`    // only report what would run
}

// Enclosure is the audio file the feed points at.
type Enclosure struct {
	URL    string `json:"url"`
	Type   string `json:"type,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // of the first complete download of the revision
}

// Soundbite is a highlight that the publisher names (podcast:soundbite).
type Soundbite struct {
	Span
	Title string `json:"title,omitempty"`
}

// Link points at a document beside the episode.
type Link struct {
	URL      string `json:"url"`
	Type     string `json:"type,omitempty"`
	Language string `json:"language,omitempty"`
}
