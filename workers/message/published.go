package message

import (
	"fmt"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
)

// DecodePublished reads an EpisodePublished. Its error is a *episode.FieldError;
// the event then holds what could be read, so that a dead letter can name the
// episode.
func DecodePublished(b []byte, e Encoding) (episode.Event, error) {
	m := new(eventsv1.EpisodePublished)
	fault := decode(b, e, m)
	ev, err := eventOf(m)
	if fault == nil {
		fault = err
	}
	if fault == nil {
		fault = ev.Check()
	}
	return ev, fault
}

// EncodePublished writes the event as an EpisodePublished. The SHA-256 of its
// enclosure is a result, and no part of it. What DecodePublished would refuse is
// a *episode.FieldError.
func EncodePublished(ev episode.Event, e Encoding) ([]byte, error) {
	if err := ev.Check(); err != nil {
		return nil, err
	}
	published, err := timeText("published_at", ev.PublishedAt)
	if err != nil {
		return nil, err
	}
	seen, err := timeText("first_seen", ev.FirstSeen)
	if err != nil {
		return nil, err
	}
	m := &eventsv1.EpisodePublished{
		Id:          set(string(ev.ID)),
		Podcast:     set(ev.Podcast),
		Title:       set(ev.Title),
		Description: set(ev.Description),
		Revision:    set(int64(ev.Revision)),
		PublishedAt: published,
		Enclosure:   &eventsv1.EpisodePublished_Enclosure{Url: set(ev.Enclosure.URL), Type: set(ev.Enclosure.Type), Bytes: set(ev.Enclosure.Bytes)},
		Language:    set(ev.Language),
		Explicit:    ev.Explicit,
		Chapters:    linkTo(ev.Chapters),
		FirstSeen:   seen,
		Private:     set(ev.Private),
		Control:     controlTo(ev.Control),
	}
	for _, s := range ev.Soundbites {
		m.Soundbites = append(m.Soundbites, &eventsv1.EpisodePublished_Soundbite{Start: set(float64(s.Start)), End: set(float64(s.End)), Title: set(s.Title)})
	}
	for _, l := range ev.Transcripts {
		m.Transcripts = append(m.Transcripts, linkTo(&l))
	}
	switch ev.Priority {
	case episode.Live:
		m.Priority = eventsv1.EpisodePublished_PRIORITY_LIVE.Enum()
	case episode.Backlog:
		m.Priority = eventsv1.EpisodePublished_PRIORITY_BACKLOG.Enum()
	}
	return encode(m, e)
}

// eventOf converts m. Its error is the first field that has no meaning; the
// event lacks these fields.
func eventOf(m *eventsv1.EpisodePublished) (episode.Event, error) {
	var r reader
	ev := episode.Event{
		ID:          episode.ID(m.GetId()),
		Podcast:     m.GetPodcast(),
		Title:       m.GetTitle(),
		Description: m.GetDescription(),
		Revision:    episode.Revision(m.GetRevision()),
		PublishedAt: r.time("published_at", m.PublishedAt),
		Enclosure:   episode.Enclosure{URL: m.GetEnclosure().GetUrl(), Type: m.GetEnclosure().GetType(), Bytes: m.GetEnclosure().GetBytes()},
		Language:    m.GetLanguage(),
		Explicit:    m.Explicit,
		Chapters:    linkOf(m.Chapters),
		FirstSeen:   r.time("first_seen", m.FirstSeen),
		Private:     m.GetPrivate(),
		Control: episode.Control{
			Targets:    nodesOf(m.GetControl().GetTargets()),
			Force:      nodesOf(m.GetControl().GetForce()),
			Ping:       m.GetControl().GetPing(),
			Recipients: recipientsOf(m.GetControl().GetRecipients()),
		},
	}
	for _, s := range m.Soundbites {
		ev.Soundbites = append(ev.Soundbites, episode.Soundbite{
			Span: episode.Span{Start: episode.Seconds(s.GetStart()), End: episode.Seconds(s.GetEnd())}, Title: s.GetTitle(),
		})
	}
	for _, l := range m.Transcripts {
		ev.Transcripts = append(ev.Transcripts, *linkOf(l))
	}
	switch p := m.GetPriority(); p {
	case eventsv1.EpisodePublished_PRIORITY_UNSPECIFIED:
	case eventsv1.EpisodePublished_PRIORITY_LIVE:
		ev.Priority = episode.Live
	case eventsv1.EpisodePublished_PRIORITY_BACKLOG:
		ev.Priority = episode.Backlog
	default:
		r.fault("priority", "%d is none of its values", p)
	}
	if r.err == nil {
		return ev, nil
	}
	return ev, r.err
}

func controlTo(c episode.Control) *eventsv1.EpisodePublished_Control {
	if c.Targets == nil && c.Force == nil && !c.Ping && c.Recipients == nil {
		return nil
	}
	m := &eventsv1.EpisodePublished_Control{Targets: namedNodes(c.Targets), Force: namedNodes(c.Force), Ping: set(c.Ping)}
	if c.Recipients != nil {
		m.Recipients = &eventsv1.EpisodePublished_Recipients{Names: c.Recipients}
	}
	return m
}

func namedNodes(names []string) *eventsv1.EpisodePublished_Nodes {
	if names == nil {
		return nil
	}
	return &eventsv1.EpisodePublished_Nodes{Names: names}
}

// nodesOf is nil where the list is unset, and not where it is empty.
func nodesOf(n *eventsv1.EpisodePublished_Nodes) []string {
	if n == nil {
		return nil
	}
	return append([]string{}, n.Names...)
}

// recipientsOf is as nodesOf.
func recipientsOf(r *eventsv1.EpisodePublished_Recipients) []string {
	if r == nil {
		return nil
	}
	return append([]string{}, r.Names...)
}

func linkTo(l *episode.Link) *eventsv1.EpisodePublished_Link {
	if l == nil {
		return nil
	}
	return &eventsv1.EpisodePublished_Link{Url: set(l.URL), Type: set(l.Type), Language: set(l.Language)}
}

func linkOf(l *eventsv1.EpisodePublished_Link) *episode.Link {
	if l == nil {
		return nil
	}
	return &episode.Link{URL: l.GetUrl(), Type: l.GetType(), Language: l.GetLanguage()}
}

// set leaves out what says nothing.
func set[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// timeText writes t in UTC; nil for the zero time.
func timeText(field string, t time.Time) (*string, error) {
	if t.IsZero() {
		return nil, nil
	}
	b, err := t.UTC().MarshalText()
	if err != nil {
		return nil, &episode.FieldError{Field: field, Problem: fmt.Sprintf("year %d is not in RFC 3339", t.Year())}
	}
	return set(string(b)), nil
}

// time reads a time as Earshot's JSON has it, in UTC.
func (r *reader) time(field string, text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	var t time.Time
	err := t.UnmarshalText([]byte(*text))
	t = t.UTC()
	if err == nil {
		_, err = timeText(field, t) // another zone's year 0 or 9999 may be none of RFC 3339's in UTC
	}
	if err != nil {
		r.fault(field, "%.60q is no time by RFC 3339", *text)
		return time.Time{}
	}
	return t
}
