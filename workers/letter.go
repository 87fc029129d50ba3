package workers

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// DeadLetter is an event that was rejected, and why.
type DeadLetter struct {
	ID       string           `json:"id"` // names the letter: LetterID of what was rejected
	Event    episode.Event    `json:"event"`
	Removal  *episode.Removal `json:"removal,omitempty"` // set: it is a takedown that was rejected
	Raw      []byte           `json:"raw,omitempty"`     // a malformed message as it came
	Node     string           `json:"node,omitempty"`    // the step that rejected it, where one did
	Reason   string           `json:"reason"`            // short and stable, e.g. "no audio"
	Detail   string           `json:"detail,omitempty"`
	Attempts int              `json:"attempts"`
	Filed    time.Time        `json:"filed"`
}

// LetterID names the letter of a delivery: the same for each rejection of the
// same request.
func LetterID(d Delivery) string {
	switch {
	case d.Raw != nil:
		return fmt.Sprintf("malformed-%.32x", sha256.Sum256(d.Raw))
	case d.Removal != nil:
		return fmt.Sprintf("%s@%d-removal", d.Removal.ID, d.Removal.Revision)
	}
	id := fmt.Sprintf("%s@%d", d.Event.ID, d.Event.Revision)
	if control, err := json.Marshal(d.Event.Control); err == nil && string(control) != "{}" {
		id += fmt.Sprintf("-%.8x", sha256.Sum256(control)) // another request for the same edition
	}
	return id
}

// DeadLetters keeps rejections until somebody looks at them.
type DeadLetters interface {
	// File keeps the letter durably before it returns. Where the keeper can find
	// a letter again, filing another with its ID replaces it.
	File(ctx context.Context, letter DeadLetter) error
}

// Fate is what becomes of a dead letter that was looked at.
type Fate string

const (
	// Keep leaves the letter where it is.
	Keep Fate = "keep"
	// Replay delivers the letter's event again, as new, and takes the letter
	// away when that is safe: killed in between, both may be there.
	Replay Fate = "replay"
	// Drop takes the letter away for ever.
	Drop Fate = "drop"
)

// Malformed is the reason of a letter whose message is no event.
const Malformed = "malformed event"

// ErrNoReplay says that what a letter holds can be no event: it was malformed.
var ErrNoReplay = errors.New("workers: the letter holds a malformed message, which cannot be delivered again")

// Letters are dead letters that can be looked through.
type Letters interface {
	DeadLetters

	// Sift has decide look at each letter once, oldest first where the keeper
	// knows an order, and does what it says. It ends early with decide's error,
	// with ErrNoReplay (wrapped) for a malformed letter that was to be replayed,
	// or when a letter's fate cannot be carried out; what was decided before that
	// is done. Letters filed meanwhile may be left out.
	Sift(ctx context.Context, decide func(DeadLetter) (Fate, error)) error
}
