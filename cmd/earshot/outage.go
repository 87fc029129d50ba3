package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// outage marks an error as a service's and not the episode's: however long it
// lasts, no episode is given up for it.
type outage struct {
	of  string
	err error
}

func (e *outage) Error() string { return e.of + ": " + e.err.Error() }
func (e *outage) Unwrap() error { return e.err }

func outageOf(service string, err error) error {
	if err == nil {
		return nil
	}
	return &outage{service, err}
}

// marked is the artifacts' store whose errors are marked as outages. Bytes that
// are gone are no outage: the engine has them made again.
type marked struct{ store dag.Store }

// markedLedger is the same of their ledger.
type markedLedger struct{ ledger dag.Ledger }

var (
	_ dag.Store  = marked{}
	_ dag.Ledger = markedLedger{}
)

func markStore(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return outageOf("the store of artifacts", err)
}

func (m marked) Lookup(ctx context.Context, key string) (hash string, found bool, err error) {
	hash, found, err = m.store.Lookup(ctx, key)
	return hash, found, markStore(err)
}

func (m marked) Has(ctx context.Context, hash string) (bool, error) {
	there, err := m.store.Has(ctx, hash)
	return there, markStore(err)
}

func (m marked) Open(ctx context.Context, hash string) (io.ReadCloser, error) {
	r, err := m.store.Open(ctx, hash)
	if err != nil {
		return nil, markStore(err)
	}
	return markedReader{r}, nil
}

type markedReader struct{ io.ReadCloser }

func (r markedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = markStore(err)
	}
	return n, err
}

// Put marks what the store fails at, and not what reading from r does: that is
// the node's own.
func (m marked) Put(ctx context.Context, r io.Reader) (string, error) {
	var own *ownReader
	if seeker, ok := r.(io.ReadSeeker); ok {
		s := &ownSeeker{ownReader{r: r}, seeker}
		own, r = &s.ownReader, s
	} else {
		own = &ownReader{r: r}
		r = own
	}
	hash, err := m.store.Put(ctx, r)
	if own.err != nil {
		return hash, err
	}
	return hash, markStore(err)
}

type ownReader struct {
	r   io.Reader
	err error
}

func (r *ownReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

type ownSeeker struct {
	ownReader
	io.Seeker
}

func (m marked) Bind(ctx context.Context, key, hash string, replace bool) (string, error) {
	bound, err := m.store.Bind(ctx, key, hash, replace)
	return bound, markStore(err)
}

func (m marked) Of(subject string) dag.Store { return marked{m.store.Of(subject)} }

func (m marked) Clear(ctx context.Context, keep []string) error {
	return markStore(m.store.Clear(ctx, keep))
}

func (m markedLedger) Recall(ctx context.Context, subject string) ([]byte, error) {
	doc, err := m.ledger.Recall(ctx, subject)
	return doc, markStore(err)
}

func (m markedLedger) Record(ctx context.Context, subject string, doc []byte) error {
	return markStore(m.ledger.Record(ctx, subject, doc))
}

// notAnnounced tells Pub/Sub's faults from a record that nobody could read.
func notAnnounced(err error) error {
	if f, ok := errors.AsType[*episode.FieldError](err); ok {
		return dag.Reject("cannot be announced", fmt.Errorf("announce: %w", f))
	}
	return outageOf("Pub/Sub", err)
}
