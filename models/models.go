// Package models says what a model is and what runs one: a Manifest beside
// its files, a Session that a Runtime opens on a device, and a Runner, a
// task's code that takes a batch of items through a model's sessions. The
// drivers (models/ort), the tasks (models/asr, models/vad, …) and the
// scheduler (gpu) meet here and do not know one another.
package models

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Session is one loaded ONNX graph on one device. It is safe for concurrent
// use.
type Session interface {
	// Run takes the graph's inputs by name and returns all its outputs by
	// name. When ctx ends the run is terminated and ctx's error returned.
	// A device without memory for the run gives ErrOutOfMemory.
	Run(ctx context.Context, inputs map[string]Tensor) (map[string]Tensor, error)
	// Close waits for runs in flight and frees the session's memory.
	Close() error
}

// Sessions are one model's open sessions on one device, by the names of their
// files ("model.onnx").
type Sessions map[string]Session

// Runtime opens sessions: the port that models/ort fits.
type Runtime interface {
	// Open loads an ONNX graph (the file's content) onto a device ("cpu").
	Open(ctx context.Context, graph []byte, device string) (Session, error)
	// Build identifies engine, version and execution provider. It is part of
	// every key: another build may give other bits.
	Build() string
}

// ErrOutOfMemory is returned (wrapped) by a Session whose device had no memory
// for the run. A smaller batch may succeed.
var ErrOutOfMemory = errors.New("out of device memory")

// ErrDeviceLost is returned (wrapped) by a Session whose device this process
// cannot use any more: its context is poisoned, or it has gone. Nothing that
// waits for it will be done here; a fresh process, or another device, may.
var ErrDeviceLost = errors.New("the device is lost to this process")

// Runner is a task's code for one model: it takes a batch of items through
// the whole loop (a recogniser: encoder, then every decoder step). A Runner
// keeps no state between calls and is safe for concurrent use. Its output for
// an item must not depend on the batch that the item travels in.
type Runner[In, Out any] interface {
	// Cost is what an item adds to a batch's cost, in the model's unit
	// (seconds of audio, tokens). Items that are padded together should cost
	// what they cost padded.
	Cost(In) float64
	// Bucket groups items that may share a batch: equal buckets have equal
	// padded shapes.
	Bucket(In) int
	// Run returns one output for each item, in order, or an error for the
	// whole batch (the scheduler then splits it to find the item at fault).
	Run(ctx context.Context, sessions Sessions, batch []In) ([]Out, error)
}

// Padder is a Runner whose items are padded to a common length. How far tells
// what share of a model's work is for nothing. A Runner without it pads nothing.
type Padder[In any] interface {
	// Length is the item's own length in the unit of Cost, which is what it
	// costs padded: at least 0, at most Cost.
	Length(In) float64
}

// Queue gives items to a model, in batches with other episodes' items. The
// scheduler (gpu) makes one from a Runner.
type Queue[In, Out any] interface {
	// Do waits until the item's batch has run. It may be called from many
	// goroutines: that is how batches fill.
	Do(ctx context.Context, item In) (Answer[Out], error)
}

// Answer is an item's output and how it came about.
type Answer[Out any] struct {
	Value  Out
	Device string
	Batch  int           // items in the batch that it ran in
	Waited time.Duration // from Do to the batch's start
	Ran    time.Duration // the batch's run
}

// Usage sums the answers of one node's items, for the record's run.
type Usage struct {
	Model  string // name@version
	Device string
	Items  int
	Batch  int // sum over items of their batch's size; Batch/Items is the mean
	Waited time.Duration
	Ran    time.Duration
}

// Usage is what one item took.
func (a Answer[Out]) Usage() Usage {
	return Usage{Device: a.Device, Items: 1, Batch: a.Batch, Waited: a.Waited, Ran: a.Ran}
}

// Add counts what more of the same model's items took.
func (u *Usage) Add(more Usage) {
	if more.Device != "" {
		u.Device = more.Device
	}
	u.Items += more.Items
	u.Batch += more.Batch
	u.Waited += more.Waited
	u.Ran += more.Ran
}

// Map runs items through a queue, at most inFlight at a time, and returns the
// outputs in the items' order. The first error cancels the rest; every
// goroutine has ended when Map returns.
func Map[In, Out any](ctx context.Context, q Queue[In, Out], inFlight int, items []In) ([]Out, Usage, error) {
	s := NewStream(ctx, q, inFlight)
	for _, it := range items {
		if !s.Add(it) {
			break
		}
	}
	return s.Wait()
}

type priorityKey struct{}

// WithBacklogPriority marks the work under ctx as backlog: the scheduler lets
// live items go first.
func WithBacklogPriority(ctx context.Context) context.Context {
	return context.WithValue(ctx, priorityKey{}, true)
}

// IsBacklog tells whether ctx was marked by WithBacklogPriority.
func IsBacklog(ctx context.Context) bool {
	b, _ := ctx.Value(priorityKey{}).(bool)
	return b
}

// ItemError is what Do returns when the item itself made its batch fail.
type ItemError struct {
	Model string
	Err   error
}

func (e *ItemError) Error() string { return fmt.Sprintf("model %s: item failed: %v", e.Model, e.Err) }
func (e *ItemError) Unwrap() error { return e.Err }
