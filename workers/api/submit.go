package api

import (
	"context"
	"errors"
	"net/url"

	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/message"
)

func (s *Server) submit(ctx context.Context, r *apiv1.SubmitRequest) (*apiv1.SubmitResponse, error) {
	m, now := r.GetEvent(), s.options.Now().UTC()
	if m == nil {
		m = new(eventsv1.EpisodePublished)
	}
	if m.Revision == nil {
		m.Revision = proto.Int64(now.UnixMilli())
	}
	ev, err := message.Published(m)
	if err == nil {
		err = reachable(ev)
	}
	note(ctx, ev.ID, ev.Revision)
	if err != nil {
		return nil, invalid("event.", err)
	}
	if ev.FirstSeen.IsZero() {
		ev.FirstSeen = now
	}
	if err := s.options.Inbox.Publish(ctx, ev); err != nil {
		if _, ok := errors.AsType[*episode.FieldError](err); ok {
			return nil, invalid("event.", err)
		}
		return nil, s.failed(ctx, "to accept the episode", err)
	}
	return &apiv1.SubmitResponse{Id: proto.String(string(ev.ID)), Revision: proto.Int64(int64(ev.Revision))}, nil
}

// reachable refuses addresses that are none of the web's. A worker may have been
// told to read files of its own machine, which is not for whoever calls from
// another.
func reachable(ev episode.Event) error {
	addresses := []struct{ field, text string }{{"enclosure.url", ev.Enclosure.URL}}
	for i, t := range ev.Transcripts {
		addresses = append(addresses, struct{ field, text string }{element("transcripts", i) + ".url", t.URL})
	}
	if ev.Chapters != nil {
		addresses = append(addresses, struct{ field, text string }{"chapters.url", ev.Chapters.URL})
	}
	for _, a := range addresses {
		u, err := url.Parse(a.text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return &episode.FieldError{Field: a.field, Problem: "is no http or https address"}
		}
	}
	return nil
}

// remove takes down, where no revision is named, all that there is now. An
// edition on its way to the index is not known here, but its revision is a time
// that has passed; one that the index holds may lie ahead of this clock.
func (s *Server) remove(ctx context.Context, r *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
	removal := episode.Removal{ID: episode.ID(r.GetId()), Revision: episode.Revision(r.GetRevision()), Reason: r.GetReason()}
	if r.Revision == nil {
		removal.Revision = episode.Revision(s.options.Now().UnixMilli())
	}
	if err := removal.Check(); err != nil {
		return nil, invalid("", err)
	}
	if r.Revision == nil {
		switch there, err := s.options.Index.Get(ctx, removal.ID); {
		case err == nil:
			removal.Revision = max(removal.Revision, there.Version.Revision)
		case !errors.Is(err, index.ErrNotFound):
			return nil, s.failed(ctx, "to look up what is to be removed", err)
		}
	}
	note(ctx, removal.ID, removal.Revision)
	if err := s.options.Inbox.Remove(ctx, removal); err != nil {
		return nil, s.failed(ctx, "to accept the removal", err)
	}
	return &apiv1.RemoveResponse{Id: proto.String(string(removal.ID)), Revision: proto.Int64(int64(removal.Revision))}, nil
}
