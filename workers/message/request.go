package message

import (
	"google.golang.org/protobuf/proto"

	"github.com/earshot-fm/earshot/dag/episode"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
)

// Read reads any message of deploy/schema into m, which is empty, by the rules
// that hold for messages of a topic. Its error is the first field at fault, a
// *episode.FieldError; m then holds what could be read.
func Read(b []byte, e Encoding, m proto.Message) error { return decode(b, e, m) }

// Published converts an EpisodePublished that has been read. Its error is the
// first field that has no meaning or lacks, a *episode.FieldError.
func Published(m *eventsv1.EpisodePublished) (episode.Event, error) {
	ev, err := eventOf(m)
	if err == nil {
		err = ev.Check()
	}
	return ev, err
}
