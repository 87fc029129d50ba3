package message

import (
	"github.com/earshot-fm/earshot/dag/episode"
	eventsv1 "github.com/earshot-fm/earshot/deploy/schema/earshot/events/v1"
)

// DecodeRemoved reads an EpisodeRemoved. Errors are as DecodePublished's.
func DecodeRemoved(b []byte, e Encoding) (episode.Removal, error) {
	m := new(eventsv1.EpisodeRemoved)
	fault := decode(b, e, m)
	removal := episode.Removal{ID: episode.ID(m.GetId()), Revision: episode.Revision(m.GetRevision()), Reason: m.GetReason()}
	if fault == nil {
		fault = removal.Check()
	}
	return removal, fault
}

// EncodeRemoved writes the removal as an EpisodeRemoved. What DecodeRemoved
// would refuse is a *episode.FieldError.
func EncodeRemoved(r episode.Removal, e Encoding) ([]byte, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	return encode(&eventsv1.EpisodeRemoved{Id: set(string(r.ID)), Revision: set(int64(r.Revision)), Reason: set(r.Reason)}, e)
}
