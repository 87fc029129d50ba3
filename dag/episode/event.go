package episode

import (
	"fmt"
	"net/url"
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

	// Private says that the addresses are only for one subscriber: they may be
	// asked, and not be written where others read. ShownEnclosure is what may.
	Private bool `json:"private,omitempty"`
}

// ShownEnclosure is the enclosure's address as it may be written to records,
// indexes and logs: of a private feed the server alone, since paths can be
// secrets too; without user, password and query where it looks as if it were for
// one subscriber.
func (e *Event) ShownEnclosure() string {
	switch u, err := url.Parse(e.Enclosure.URL); {
	case e.Private && err == nil && u.Host != "":
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
	case e.Private || err == nil && Secretive(u):
		return Redact(e.Enclosure.URL)
	}
	return e.Enclosure.URL
}

// Check reports the first field that makes the event impossible to work on, as
// a *FieldError.
func (e *Event) Check() error {
	if err := checkEdition(e.ID, e.Revision); err != nil {
		return err
	}
	switch {
	case e.Enclosure.URL == "":
		return &FieldError{"enclosure.url", "missing"}
	case e.Enclosure.Bytes < 0:
		return &FieldError{"enclosure.bytes", fmt.Sprintf("%d is no size", e.Enclosure.Bytes)}
	case e.Priority != "" && e.Priority != Live && e.Priority != Backlog:
		return &FieldError{"priority", fmt.Sprintf("%q is neither %q nor %q", e.Priority, Live, Backlog)}
	}
	for i, s := range e.Soundbites {
		if !s.Possible() {
			return &FieldError{fmt.Sprintf("soundbites[%d]", i), fmt.Sprintf("no episode has a span from %v to %v", float64(s.Start), float64(s.End))}
		}
	}
	return nil
}

// Removal asks for an episode to be taken down: this revision and all before
// it. A later revision brings it back.
type Removal struct {
	ID       ID       `json:"id"`
	Revision Revision `json:"revision"`
	Reason   string   `json:"reason,omitempty"` // for the audit log
}

// Check reports the first field that makes the removal impossible, as a
// *FieldError.
func (r *Removal) Check() error { return checkEdition(r.ID, r.Revision) }

// FieldError is what is wrong with one field of an event.
type FieldError struct {
	Field   string // as in JSON: "enclosure.url", "soundbites[2]"
	Problem string
}

func (e *FieldError) Error() string { return "event: " + e.Field + ": " + e.Problem }

func checkEdition(id ID, revision Revision) error {
	switch {
	case id == "":
		return &FieldError{"id", "missing"}
	case len(id) > longestID || strings.ContainsFunc(string(id), func(r rune) bool { return r == '/' || r == '\\' || unicode.IsControl(r) }) || strings.Trim(string(id), ".") == "":
		// Files and objects are named by it.
		return &FieldError{"id", fmt.Sprintf("%.60q is no episode id: want up to %d characters without slashes", id, longestID)}
	case revision <= 0 || revision > latestRevision:
		// One in microseconds or nanoseconds would be newer than all that comes.
		return &FieldError{"revision", fmt.Sprintf("%d is no time in milliseconds since 1970", revision)}
	}
	return nil
}

const longestID = 128

// latestRevision is in the year 2248; with 20 bits for the generation it fills
// the index's 63.
const latestRevision = 1<<43 - 1

// Control steers what a run does. The zero value asks for everything.
type Control struct {
	Targets []string `json:"targets,omitzero"` // nodes wanted, with what they need; nil: all, empty: none
	Force   []string `json:"force,omitzero"`   // nodes to run although their artifact exists
	Ping    bool     `json:"ping,omitempty"`   // only report what would run

	// Recipients are the workers, by name, that the event is for; the others pass
	// it by. nil: all.
	Recipients []string `json:"recipients,omitzero"`
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
