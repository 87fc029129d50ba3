package workers

import (
	"context"
	"errors"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// Delivery is one handing-over of an event to a worker. The event may have
// been handed over before, and will be again unless its verdict ends it.
type Delivery struct {
	Event episode.Event

	// Removal, when set, asks for the episode to be taken down. Of Event only ID
	// and Revision are set then.
	Removal *episode.Removal

	// Malformed is why the message that came is no event; nil when it is one.
	// The delivery is then rejected, and Event holds what could be read of it.
	Malformed error

	// Raw is a malformed message as it came; nil when it is well formed, or when
	// the source has no other form than the event.
	Raw []byte

	// Attempt is 1 the first time the event is handed over; deliveries that
	// were released, or whose worker never came to a verdict, count too unless
	// the source can tell them apart.
	Attempt int

	// Failures is how many earlier deliveries are known to have ended in Retry.
	// How others ended that were not released may be unknown: Attempt counts them.
	Failures int

	// FirstSeen is when the event entered the system. Preview latency counts
	// from here.
	FirstSeen time.Time

	// Received is when this delivery began.
	Received time.Time

	// Traceparent is the publisher's span, as W3C Trace Context writes it; empty
	// when there is none.
	Traceparent string
}

// Handler comes to a verdict on a delivery. The source keeps the event away
// from every other worker while it runs. Its context ends early, with
// ErrLeaseLost as its cause, when the source can no longer promise that.
type Handler func(ctx context.Context, d Delivery) Verdict

// ErrLeaseLost is the cause of a handler's cancelled context when the event
// may already be with another worker. The verdict then has no effect.
var ErrLeaseLost = errors.New("workers: the lease of this delivery was lost; another worker may have the event")

// Source delivers events.
type Source interface {
	// Receive calls handle for each event, for at most slots events at once,
	// until ctx is done, the source has nothing more to give for ever (nil), or
	// it cannot go on (an error that says what to do). Receive returns only when
	// every call of handle has returned and its verdict was acted on.
	//
	// When ctx ends the source stops taking events, but does not cancel the
	// handlers that run: whoever calls Receive does that when its grace is over.
	// An event whose verdict cannot be acted on is delivered again.
	Receive(ctx context.Context, slots int, handle Handler) error
}
