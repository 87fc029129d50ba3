package api

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	apiv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/api/v1"
	"github.com/earshot-fm/earshot/workers/index"
)

// maxMisses is how many looks in a row may fail before a Watch gives up.
const maxMisses = 5

// watch looks at the index again and again, since what changes it may be any
// replica, and tells what has changed. The server's stop ends it, so that the
// client goes on watching elsewhere.
func (s *Server) watch(ctx context.Context, in *arrived[apiv1.WatchRequest], stream *connect.ServerStream[apiv1.WatchResponse]) error {
	fault := in.fault
	if fault == nil {
		fault = checkWatch(&in.message)
	}
	if fault != nil {
		return invalid("", fault)
	}
	note(ctx, episode.ID(in.message.GetId()), episode.Revision(in.message.GetRevision()))
	s.metrics.watches.Inc()
	defer s.metrics.watches.Dec()

	ctx, stop := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer stop(nil)
	waiting.Go(func() {
		select {
		case <-s.draining:
			stop(errDraining)
		case <-ctx.Done():
		}
	})
	return s.follow(ctx, &in.message, stream.Send)
}

func checkWatch(r *apiv1.WatchRequest) error {
	switch {
	case r.Revision != nil && r.GetRevision() <= 0:
		return &episode.FieldError{Field: "revision", Problem: fmt.Sprintf("%d is no time in milliseconds", r.GetRevision())}
	case r.GetGeneration() < 0:
		return &episode.FieldError{Field: "generation", Problem: fmt.Sprintf("%d is negative", r.GetGeneration())}
	}
	return checkID(r.GetId())
}

func (s *Server) follow(ctx context.Context, r *apiv1.WatchRequest, send func(*apiv1.WatchResponse) error) error {
	var (
		last   *apiv1.WatchResponse
		sent   time.Time
		misses int
		pause  = s.options.PollFirst
	)
	tell := func(w *apiv1.WatchResponse) error {
		sent = s.options.Now()
		return send(w)
	}
	for {
		if err := stillAllowed(ctx); err != nil {
			return err
		}
		now, err := s.look(ctx, r)
		switch {
		case err != nil && (ctx.Err() != nil || last == nil || misses == maxMisses):
			return s.failed(ctx, "to look up the episode", err)
		case err != nil:
			misses++
		case last == nil || !proto.Equal(last, now):
			last, misses, pause = now, 0, s.options.PollFirst
			if err := tell(now); err != nil {
				return err
			}
			if now.GetState() != apiv1.WatchResponse_STATE_WAITING {
				return nil
			}
		default:
			misses = 0
		}
		if s.options.Now().Sub(sent) >= s.options.Heartbeat {
			again := proto.CloneOf(last)
			again.Again = proto.Bool(true)
			if err := tell(again); err != nil {
				return err
			}
		}
		select {
		case <-s.options.After(jittered(pause)):
		case <-ctx.Done():
			return s.failed(ctx, "to wait", ctx.Err())
		}
		pause = min(2*pause, s.options.PollMost)
	}
}

// jittered is a random time between half of d and d: watchers that came
// together shall not ask together.
func jittered(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d/2)+1))
}

// look says how the episode stands, compared with what is wanted.
func (s *Server) look(ctx context.Context, r *apiv1.WatchRequest) (*apiv1.WatchResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	answer := &apiv1.WatchResponse{State: apiv1.WatchResponse_STATE_WAITING.Enum()}
	entry, err := s.options.Index.Get(ctx, episode.ID(r.GetId()))
	switch {
	case err == nil:
		answer.Version = &apiv1.Version{Revision: proto.Int64(int64(entry.Version.Revision))}
		if !entry.Removed {
			answer.Version.Generation = proto.Int64(int64(entry.Version.Generation))
		}
		answer.State = stateOf(entry, r).Enum()
	case !errors.Is(err, index.ErrNotFound):
		return nil, err
	}
	if answer.GetState() == apiv1.WatchResponse_STATE_WAITING && r.Revision != nil && s.options.Rejected != nil {
		reason, rejected, err := s.options.Rejected(ctx, episode.ID(r.GetId()), episode.Revision(r.GetRevision()))
		if err != nil {
			return nil, err
		}
		if rejected {
			answer.State, answer.Reason = apiv1.WatchResponse_STATE_REJECTED.Enum(), proto.String(reason)
		}
	}
	return answer, nil
}

func stateOf(entry index.Entry, r *apiv1.WatchRequest) apiv1.WatchResponse_State {
	v, revision := entry.Version, episode.Revision(r.GetRevision())
	switch {
	case v.Revision < revision: // also a removal: the newer edition that is awaited brings the episode back
		return apiv1.WatchResponse_STATE_WAITING
	case entry.Removed:
		return apiv1.WatchResponse_STATE_REMOVED
	case (r.Revision == nil || v.Revision == revision) && int64(v.Generation) < r.GetGeneration():
		return apiv1.WatchResponse_STATE_WAITING
	default:
		return apiv1.WatchResponse_STATE_ENRICHED
	}
}
