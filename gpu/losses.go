package gpu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// A device that was lost so often within such a time is left out for the time
// of leftOut after the last.
const (
	lossesTooMany = 3
	lossesWithin  = time.Hour
	leftOut       = time.Hour
	lossesKept    = 16 // of each device
)

// Losses is the list of the times when devices were lost, in a file that
// outlives the process: losing a device ends one (exit code 6), and the next
// must know better than to take a broken one again and again. It is safe for
// concurrent use. Of two processes that share the file and lose a device at the
// same moment, one may go unheard.
type Losses struct {
	path string

	mu   sync.Mutex
	list []Loss // oldest first
}

// Loss is one time that a device was lost.
type Loss struct {
	UUID   string    `json:"uuid"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// lossesFile is the file's JSON.
type lossesFile struct {
	Losses []Loss `json:"losses"`
}

// OpenLosses reads the file at path; one that is not there is an empty list.
// A file that cannot be read gives an error, and beside it a list that starts
// anew, which the next Add writes: losses are no reason not to start.
func OpenLosses(path string) (*Losses, error) {
	l := &Losses{path: path}
	var err error
	l.list, err = readLosses(path)
	return l, err
}

func readLosses(path string) ([]Loss, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("gpu: read the lost devices: %w", err)
	}
	var file lossesFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("gpu: read the lost devices: %s: %w (delete it to forget them)", path, err)
	}
	return file.Losses, nil
}

// Add puts a loss into the file, where it is when Add returns nil. With an
// error it counts for this process alone.
func (l *Losses) Add(uuid string, when time.Time, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list, err := readLosses(l.path); err == nil && list != nil {
		l.list = list // with what other processes have lost since
	}
	l.list = append(l.list, Loss{UUID: uuid, At: when.UTC(), Reason: reason})
	of, list := map[string]int{}, []Loss{}
	for _, loss := range slices.Backward(l.list) {
		if of[loss.UUID]++; of[loss.UUID] <= lossesKept {
			list = append(list, loss)
		}
	}
	slices.Reverse(list)
	l.list = list
	// A whole new file: a process that loses its device may not live for long.
	b, err := json.MarshalIndent(lossesFile{list}, "", "  ")
	if err == nil {
		err = writeAtomically(l.path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("gpu: note that %s was lost: %w", uuid, err)
	}
	return nil
}

// LeftOut tells whether a device is left out at now: it was lost three times
// within an hour, and the last of them is not yet an hour ago. It gives the end
// of that and why the device was lost last. A clock that was set back by more
// than an hour forgets.
func (l *Losses) LeftOut(uuid string, now time.Time) (until time.Time, reason string, out bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var of []Loss
	for _, loss := range l.list {
		if loss.UUID == uuid {
			of = append(of, loss)
		}
	}
	slices.SortStableFunc(of, func(a, b Loss) int { return a.At.Compare(b.At) })
	for i := lossesTooMany - 1; i < len(of); i++ {
		last := of[i]
		tooMany := last.At.Sub(of[i-lossesTooMany+1].At) <= lossesWithin
		if tooMany && now.Before(last.At.Add(leftOut)) && now.After(last.At.Add(-leftOut)) {
			until, reason, out = last.At.Add(leftOut), last.Reason, true
		}
	}
	return until, reason, out
}
