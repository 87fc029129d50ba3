package api

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/workers/index"
)

func element(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// checkID refuses what can be no episode's id.
func checkID(id string) error {
	return (&episode.Removal{ID: episode.ID(id), Revision: 1}).Check()
}

func notFound(id string) *connect.Error {
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("the index holds no episode %.130q", id))
}

func (s *Server) get(ctx context.Context, r *apiv1.GetRequest) (*apiv1.GetResponse, error) {
	if err := checkID(r.GetId()); err != nil {
		return nil, invalid("", err)
	}
	note(ctx, episode.ID(r.GetId()), 0)
	entry, err := s.options.Index.Get(ctx, episode.ID(r.GetId()))
	if errors.Is(err, index.ErrNotFound) {
		return nil, notFound(r.GetId())
	}
	if err == nil && entry.Removed {
		return &apiv1.GetResponse{Episode: &apiv1.Episode{
			Id: proto.String(r.GetId()), Removed: proto.Bool(true),
			Version: &apiv1.Version{Revision: proto.Int64(int64(entry.Version.Revision))},
		}}, nil
	}
	answer := &apiv1.GetResponse{Episode: new(apiv1.Episode)}
	if err == nil {
		err = convert(entry, answer.Episode)
	}
	if err != nil {
		return nil, s.failed(ctx, "to look up the episode", err)
	}
	return answer, nil
}

// The marks around what matched, unless the caller wants others: the command
// line's JSON has the same.
const (
	markOpen  = "<em>"
	markClose = "</em>"
)

func (s *Server) search(ctx context.Context, r *apiv1.SearchRequest) (*apiv1.SearchResponse, error) {
	q := index.Query{
		Text: r.GetText(), Like: episode.ID(r.GetLike()),
		Podcast: r.GetPodcast(), Language: r.GetLanguage(), Topic: r.GetTopic(), Event: r.GetEvent(),
		Offset: int(r.GetOffset()), Limit: int(r.GetLimit()), Moments: int(r.GetMoments()),
		Open: markOpen, Close: markClose,
	}
	if r.Open != nil {
		q.Open = r.GetOpen()
	}
	if r.Close != nil {
		q.Close = r.GetClose()
	}
	for _, t := range []struct {
		field string
		text  *string
		into  *time.Time
	}{{"published_from", r.PublishedFrom, &q.PublishedFrom}, {"published_before", r.PublishedBefore, &q.PublishedBefore}} {
		if t.text == nil {
			continue
		}
		if err := t.into.UnmarshalText([]byte(*t.text)); err != nil {
			return nil, invalid("", &episode.FieldError{Field: t.field, Problem: fmt.Sprintf("%.60q is no time by RFC 3339", *t.text)})
		}
	}
	page, err := s.options.Index.Search(ctx, q)
	if fault, ok := errors.AsType[*index.QueryError](err); ok {
		return nil, invalid("", &episode.FieldError{Field: snake(fault.Field), Problem: fault.Reason})
	}
	if errors.Is(err, index.ErrNotFound) {
		return nil, notFound(r.GetLike())
	}
	answer := new(apiv1.SearchResponse)
	if err == nil {
		err = convert(page, answer)
	}
	if err != nil {
		return nil, s.failed(ctx, "to search", err)
	}
	return answer, nil
}

// snake writes the name of a field of index.Query as the message has it:
// PublishedFrom as published_from.
func snake(name string) string {
	var out []rune
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out = append(out, '_')
		}
		out = append(out, unicode.ToLower(r))
	}
	return string(out)
}
