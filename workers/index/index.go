// Package index is where enriched episodes are found again: a port that the
// search drivers below it implement (sqlite, embedded; elastic), the query
// language that they share, and, in indextest, the suite that each must pass.
// An index keeps one version of an episode, the newest; an older one that
// arrives late changes nothing, and what was taken down stays down until a
// newer revision is put.
package index

import (
	"context"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Result is what a Put or Remove did.
type Result string

const (
	// Stored: the index now holds this version.
	Stored Result = "stored"
	// Unchanged: the index held exactly this already.
	Unchanged Result = "unchanged"
	// Overtaken: the index holds something newer, and keeps it.
	Overtaken Result = "overtaken"
)

// Index holds episodes for search. Its methods may be called from many
// goroutines and, for drivers that share storage, many processes. When a
// method returns, what it did is durable and visible to Get and Search. A
// driver whose index is elsewhere returns an *Unavailable when it got no answer.
type Index interface {
	// Put stores d unless what is there is newer: a later version, or a removal
	// of the same revision or a later one. All of the older version goes,
	// segments too; nobody sees a mixture. It returns a *Refused for a document
	// that the index can never take.
	Put(ctx context.Context, d Document) (Result, error)

	// Get returns the episode as it was put, or Entry{Removed: true} with the
	// version of the removal. It returns ErrNotFound when there is neither.
	Get(ctx context.Context, id episode.ID) (Entry, error)

	// Remove takes the episode down: all that was put with this revision or an
	// earlier one goes, and does not come back. The removal of an episode that
	// the index never held counts as well.
	Remove(ctx context.Context, id episode.ID, revision episode.Revision) (Result, error)

	// Search returns the page of episodes that the query asks for. It returns a
	// *QueryError when the query cannot be understood, and ErrNotFound when
	// Query.Like names what the index does not hold.
	Search(ctx context.Context, q Query) (Page, error)
}

// Document is what the index holds of one episode.
type Document struct {
	ID          episode.ID           `json:"id"`
	Version     episode.Version      `json:"version"`
	Podcast     string               `json:"podcast"`
	Title       string               `json:"title"`
	Description string               `json:"description,omitempty"`
	PublishedAt time.Time            `json:"published_at,omitzero"`
	Duration    episode.Seconds      `json:"duration"`
	Language    string               `json:"language,omitempty"` // BCP 47, as heard
	Explicit    *bool                `json:"explicit,omitempty"` // nil: its publisher does not say
	Topics      []episode.Topic      `json:"topics,omitempty"`
	SoundEvents []episode.SoundEvent `json:"sound_events,omitempty"`
	Chapters    []episode.Chapter    `json:"chapters,omitempty"`
	Segments    []Segment            `json:"segments,omitempty"`
	Preview     *episode.Preview     `json:"preview,omitempty"`
	Embedding   *episode.Embedding   `json:"embedding,omitempty"`
}

// Segment is a stretch of the transcript that search can point at.
type Segment struct {
	episode.Span
	Text string `json:"text"`
}

// Entry is what the index holds under an id.
type Entry struct {
	Document
	Removed bool `json:"removed,omitempty"` // only ID and Version.Revision are set then
}

// FromRecord makes the document of an enriched episode.
func FromRecord(r *episode.Record) Document {
	d := Document{
		ID:          r.Episode.ID,
		Version:     r.Episode.Version(),
		Podcast:     r.Episode.Podcast,
		Title:       r.Episode.Title,
		Description: r.Episode.Description,
		PublishedAt: r.Episode.PublishedAt.UTC(),
		Duration:    r.Episode.Duration,
		Explicit:    r.Episode.Explicit,
		Topics:      r.Topics,
		SoundEvents: r.SoundEvents,
		Chapters:    r.Chapters,
		Preview:     r.Preview,
		Embedding:   r.Embedding,
	}
	if r.Language != nil {
		d.Language = r.Language.Code
	}
	if r.Transcript != nil {
		d.Segments = make([]Segment, len(r.Transcript.Segments))
		for i, s := range r.Transcript.Segments {
			d.Segments[i] = Segment{Span: s.Span, Text: s.Text}
		}
	}
	return d
}
