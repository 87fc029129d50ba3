package dag

import (
	"errors"
	"fmt"
)

// Kind is how a node can fail, and so what is to be done about it.
type Kind string

const (
	KindRetry  Kind = "retry"  // transient: the same run may succeed later
	KindReject Kind = "reject" // permanent: no run of these inputs can succeed
	KindGap    Kind = "gap"    // the node has no result; the rest works around it
)

// Failure is a node's error and its kind. Engine.Run gives one when a node's
// Retry or Reject ended the run.
type Failure struct {
	Node   string // "" until the engine knows
	Kind   Kind
	Reason string // for people and records; "panic" when the node panicked
	Err    error  // nil when Reason says it all

	lasting bool // a gap that follows from the node's key
}

func (f *Failure) Error() string {
	text := f.Reason
	if f.Err != nil {
		text = f.Err.Error()
		// A failure further down has said its reason already.
		if _, said := errors.AsType[*Failure](f.Err); !said && f.Reason != "" {
			text = f.Reason + ": " + text
		}
	}
	if f.Node == "" {
		return text
	}
	return f.Node + ": " + text
}

func (f *Failure) Unwrap() error { return f.Err }

// Retry says that the node failed for a reason that may pass. It ends the run.
func Retry(err error) error { return &Failure{Kind: KindRetry, Err: err} }

// Reject says that the node can never succeed on these inputs. It ends the
// run. The reason is short and for people; err may be nil.
func Reject(reason string, err error) error {
	return &Failure{Kind: KindReject, Reason: reason, Err: err}
}

// Gap says that the node has no result this time: what it needs besides its
// key is not at hand, a device that was left out for instance. Nothing is
// stored, so the next run tries again.
func Gap(format string, args ...any) error {
	return &Failure{Kind: KindGap, Reason: fmt.Sprintf(format, args...)}
}

// LastingGap says that the node has no result, and that this follows from its
// version and needs: no model for the language, for instance. It is stored
// under the node's key, so the node does not run again until they change.
func LastingGap(format string, args ...any) error {
	return &Failure{Kind: KindGap, Reason: fmt.Sprintf(format, args...), lasting: true}
}

// classify makes any error that a node gave a Failure of that node.
func classify(node string, err error) *Failure {
	f := Failure{Kind: KindRetry, Err: err}
	if inner, ok := errors.AsType[*Failure](err); ok {
		f = *inner
		if err != error(inner) {
			f.Err = err // the words that someone put around the failure count
		}
	}
	f.Node = node
	return &f
}
