package elastic

import (
	"fmt"

	"github.com/earshot-fm/earshot/dag/episode"
)

// A document's version is one number, which Elasticsearch keeps from going
// back: the revision above, and below it the generation, or all ones for the
// removal of that revision, which so overtakes every generation of it and is
// overtaken by the next revision.
const (
	generationBits = 20
	removal        = 1<<generationBits - 1
	maxRevision    = 1<<(63-generationBits) - 1 // milliseconds: the year 2248
)

func number(v episode.Version) (int64, error) {
	if v.Generation < 0 || v.Generation >= removal {
		return 0, fmt.Errorf("generation %d is not within 0 and %d", v.Generation, removal-1)
	}
	return join(v.Revision, int64(v.Generation))
}

func removalNumber(r episode.Revision) (int64, error) { return join(r, removal) }

func join(r episode.Revision, low int64) (int64, error) {
	if r < 0 || r > maxRevision {
		return 0, fmt.Errorf("revision %d is not within 0 and %d", r, int64(maxRevision))
	}
	return int64(r)<<generationBits | low, nil
}
