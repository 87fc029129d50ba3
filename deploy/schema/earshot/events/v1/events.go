// Package eventsv1 is the event contract: the messages of earshot.events.v1 as
// Go types, made from the .proto files beside it by `make schema`, and these
// files as a Pub/Sub schema takes them, one message each. docs/events.md says
// how they may change.
package eventsv1

import _ "embed" // the definitions

// The definitions, for whoever registers them.
var (
	//go:embed episode_published.proto
	EpisodePublishedProto string
	//go:embed episode_removed.proto
	EpisodeRemovedProto string
	//go:embed episode_enriched.proto
	EpisodeEnrichedProto string
)
