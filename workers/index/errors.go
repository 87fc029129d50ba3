package index

import (
	"errors"
	"fmt"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// ErrNotFound says that the index never held the episode.
var ErrNotFound = errors.New("index: no such episode")

// Refused says that the index will not take a document however often it is
// put: its mapping says otherwise, or it is too large.
type Refused struct {
	ID     episode.ID
	Reason string
}

func (e *Refused) Error() string {
	return fmt.Sprintf("index: the document of %s is refused: %s", e.ID, e.Reason)
}

// Unavailable says that the index could not be reached or was too busy, after
// as many attempts as its driver makes. What was asked may be done or not; it
// can be asked again.
type Unavailable struct {
	After time.Duration // the index asked to be left alone for so long; zero: it did not say
	Err   error
}

func (e *Unavailable) Error() string { return fmt.Sprintf("index: unavailable: %v", e.Err) }
func (e *Unavailable) Unwrap() error { return e.Err }
