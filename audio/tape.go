package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"
)

// TapeRate is the tape's sample rate in Hz.
const TapeRate = 16000

// Reader reads an episode's audio as 16 kHz mono, [-1, 1], while it is being
// decoded. Any number of goroutines may read at once.
type Reader interface {
	// ReadAt fills dst with the samples from offset on. It waits until they are
	// there, the audio ends, or ctx does. At the end of the audio it returns
	// what there is and io.EOF (n < len(dst)). A decode that failed gives its
	// error, once what was decoded before has been read.
	ReadAt(ctx context.Context, dst []float32, offset int64) (n int, err error)
	// Len waits for the end of the audio and returns its length in samples, or
	// the error that ended the decode.
	Len(ctx context.Context) (int64, error)
}

// tapeBlock is how many samples wait in memory before they go to the file.
const tapeBlock = 1 << 18

// ErrTapeClosed is what readers and the writer get after Close.
var ErrTapeClosed = errors.New("tape: closed")

// Tape is one episode's audio, 16 kHz mono, growing while it is decoded. One
// goroutine writes; any number read, and wait for what is not there yet. Memory
// stays at one block (1 MiB): the rest lies in an unnamed temporary file, as
// float32, so that a reader gets the bits that the resampler made (230 MB an
// hour of disk).
type Tape struct {
	dir string

	mu      sync.Mutex
	file    *os.File
	name    string // set while the file still has to be removed by name
	stored  int64  // samples in the file
	tail    []float32
	ended   bool
	closed  bool
	err     error
	changed chan struct{} // closed when something changes; nil when nobody waits
}

var _ Reader = (*Tape)(nil)

// NewTape makes an empty tape. Its file, made when the audio outgrows memory,
// goes to dir (which must exist; empty means the system's folder for temporary
// files).
func NewTape(dir string) (*Tape, error) {
	if dir != "" {
		if f, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("tape: the folder for temporary audio: %w", err)
		} else if !f.IsDir() {
			return nil, fmt.Errorf("tape: the folder for temporary audio: %s is not a folder", dir)
		}
	}
	return &Tape{dir: dir}, nil
}

// Write appends samples (mono, 16 kHz, [-1, 1]); it does not keep the slice. An
// error means that the disk refused them: it is transient, and the tape is of
// no more use.
func (t *Tape) Write(samples []float32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrTapeClosed
	case t.ended:
		return errors.New("tape: write after Finish")
	}
	for len(samples) > 0 {
		if t.tail == nil {
			t.tail = make([]float32, 0, tapeBlock)
		}
		n := min(len(samples), tapeBlock-len(t.tail))
		t.tail = append(t.tail, samples[:n]...)
		samples = samples[n:]
		if len(t.tail) == tapeBlock {
			if err := t.spill(); err != nil {
				return err
			}
		}
	}
	t.wake()
	return nil
}

func (t *Tape) spill() error {
	if t.file == nil {
		f, err := os.CreateTemp(t.dir, "earshot-tape-")
		if err != nil {
			return fmt.Errorf("tape: making a temporary file: %w", err)
		}
		t.file = f
		// Without a name it is gone when the process is, however that ends.
		if os.Remove(f.Name()) != nil {
			t.name = f.Name()
		}
	}
	if _, err := t.file.WriteAt(bytesOf(t.tail), t.stored*4); err != nil {
		return fmt.Errorf("tape: writing audio to disk (free some space, or set another folder for temporary files): %w", err)
	}
	t.stored += int64(len(t.tail))
	t.tail = t.tail[:0]
	return nil
}

// Finish ends the tape: err is nil at the end of the audio, else what stopped
// the decode, which readers get when they have read what came before. Only the
// first call counts.
func (t *Tape) Finish(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended, t.err = true, err
	t.wake()
}

// Close frees the tape's memory and file. Readers that wait get ErrTapeClosed.
func (t *Tape) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.tail = nil
	t.wake()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	if t.name != "" {
		err = errors.Join(err, os.Remove(t.name))
	}
	return err
}

// Written is how many samples are there by now.
func (t *Tape) Written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stored + int64(len(t.tail))
}

// ReadAt is described at Reader.
func (t *Tape) ReadAt(ctx context.Context, dst []float32, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("tape: read at sample %d", offset)
	}
	have, ended, err := t.wait(ctx, offset+int64(len(dst)))
	if err != nil {
		return 0, err
	}
	n := int(max(0, min(int64(len(dst)), have-offset)))
	if n > 0 {
		if err := t.copyOut(dst[:n], offset); err != nil {
			return 0, err
		}
	}
	if n == len(dst) {
		return n, nil
	}
	if ended != nil {
		return n, ended
	}
	return n, io.EOF
}

// Len is described at Reader.
func (t *Tape) Len(ctx context.Context) (int64, error) {
	have, ended, err := t.wait(ctx, 1<<62)
	if err == nil {
		err = ended
	}
	return have, err
}

// wait returns when there are want samples or the tape has ended: how many
// there are, and with which error the decode ended.
func (t *Tape) wait(ctx context.Context, want int64) (have int64, ended, err error) {
	for {
		t.mu.Lock()
		have = t.stored + int64(len(t.tail))
		switch {
		case t.closed:
			t.mu.Unlock()
			return 0, nil, ErrTapeClosed
		case have >= want || t.ended:
			ended = t.err
			t.mu.Unlock()
			return have, ended, nil
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, nil, context.Cause(ctx)
		}
	}
}

func (t *Tape) copyOut(dst []float32, offset int64) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return ErrTapeClosed
	}
	inFile := int(max(0, min(int64(len(dst)), t.stored-offset)))
	copy(dst[inFile:], t.tail[max(0, offset+int64(inFile)-t.stored):])
	file := t.file
	t.mu.Unlock()
	if inFile == 0 {
		return nil
	}
	// What is stored never changes, so this needs no lock.
	if _, err := file.ReadAt(bytesOf(dst[:inFile]), offset*4); err != nil {
		if errors.Is(err, os.ErrClosed) {
			return ErrTapeClosed
		}
		return fmt.Errorf("tape: reading audio back from disk: %w", err)
	}
	return nil
}

func (t *Tape) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// bytesOf shows samples as they lie in memory: the file never leaves this
// machine, so its byte order does not matter.
func bytesOf(samples []float32) []byte {
	if len(samples) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(samples))), 4*len(samples))
}
