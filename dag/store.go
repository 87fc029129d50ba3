package dag

import (
	"context"
	"io"
)

// Store keeps what nodes made: a key names a hash, a hash names bytes. Keys
// and hashes are SHA-256 in lower-case hexadecimal. All methods may be called
// from many goroutines and processes at once.
type Store interface {
	// Lookup gives the hash that the key is bound to, if it is bound. The
	// bytes may be gone all the same: a store may keep them for a shorter time
	// than their hash.
	Lookup(ctx context.Context, key string) (hash string, found bool, err error)

	// Has says whether the bytes of the hash are there. It need not read them.
	Has(ctx context.Context, hash string) (bool, error)

	// Open reads the bytes of the hash. Where they are gone, or turn out not
	// to be what their hash says, the error is fs.ErrNotExist (errors.Is),
	// from Open or in place of io.EOF; Has says false from then on.
	Open(ctx context.Context, hash string) (io.ReadCloser, error)

	// Put keeps what r gives, whatever its size, and gives its hash. Nothing
	// is seen of it before it is whole.
	Put(ctx context.Context, r io.Reader) (hash string, err error)

	// Bind binds the key to the hash, whose bytes are there, and gives the
	// hash that the key is bound to from then on. The first binding whose
	// bytes are still there wins, unless replace is set.
	Bind(ctx context.Context, key, hash string, replace bool) (bound string, err error)

	// Of gives the part of the store that is one subject's: keys and bytes of
	// other subjects are not in it.
	Of(subject string) Store

	// Clear deletes all that such a part holds, but the bytes of the hashes in
	// keep; keys may stay where something is kept.
	Clear(ctx context.Context, keep []string) error
}

// Ledger keeps one small document per subject, the last report on it. It is
// what explanations are drawn from and nothing else; no run depends on it.
type Ledger interface {
	// Recall gives the document, nil if there is none.
	Recall(ctx context.Context, subject string) ([]byte, error)
	// Record replaces the document.
	Record(ctx context.Context, subject string, doc []byte) error
}
