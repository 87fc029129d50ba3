package lead

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// File leads whoever holds the lock on a file. The system takes the lock from a
// process that dies. It works between processes that see one local disk, and
// leadership is never lost otherwise.
type File struct {
	path string
	poll time.Duration
}

var _ Leader = (*File)(nil)

// NewFile returns a Leader by the lock on the file at path, which is made when
// it is missing and is left behind. Who waits tries again every poll; zero: 1 s.
func NewFile(path string, poll time.Duration) *File {
	if poll <= 0 {
		poll = time.Second
	}
	return &File{path: path, poll: poll}
}

// Lead implements Leader.
func (f *File) Lead(ctx context.Context, work func(ctx context.Context) error) (err error) {
	lock, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("lead: open the lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // which unlocks
	retry := time.NewTicker(f.poll)
	defer retry.Stop()
	for {
		if ctx.Err() != nil {
			return nil
		}
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lead: lock %s: %w", f.path, err)
		}
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
	}
	if err := work(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}
