// Package artifact keeps what the nodes of a graph made, in any bucket that
// gocloud.dev/blob opens: a folder, memory, GCS, S3. A key names a hash, and a
// hash names bytes. Bytes are kept under their own SHA-256, so an object's name
// never changes its content; bytes that are not what their name says are as
// good as absent, and are written again. Of several writers of one key the
// first wins and the others learn what it wrote, so all go on with the same
// bytes. Bytes may be deleted and the key that led to them kept: what was
// derived from them stays valid.
package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"strings"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Store keeps artifacts in a bucket. Keys and hashes are SHA-256 in lower-case
// hexadecimal. Its methods may be called from many goroutines, and by many
// processes on one bucket.
//
// Objects are named keys/<2 digits>/<key>, holding a hash, and
// objects/<2 digits>/<hash>, holding bytes; a subject's have subjects/=<subject>/
// before that. A subject's document is ledger/<subject>.json.
type Store struct {
	bucket  *blob.Bucket
	scratch string
	place   string           // before the names of keys and objects
	binds   *[256]sync.Mutex // by a key's first byte; see Bind
}

// New gives a store in the bucket, which stays the caller's to close. Artifacts
// that come as a stream larger than a megabyte pass through a file in the
// folder scratch ("" for the system's) on their way.
//
// A fileblob bucket must make its temporary files beside the objects
// (fileblob.Options.NoTempDir), or a rename across file systems may fail.
func New(bucket *blob.Bucket, scratch string) *Store {
	return &Store{bucket: bucket, scratch: scratch, binds: new([256]sync.Mutex)}
}

// Lookup gives the hash that the key is bound to, if it is. It does not say
// whether the bytes are still there.
func (s *Store) Lookup(ctx context.Context, key string) (hash string, found bool, err error) {
	name, err := s.name("keys", key)
	if err != nil {
		return "", false, err
	}
	data, err := s.bucket.ReadAll(ctx, name)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("artifact: reading key %.12s: %w", key, err)
	case !isSHA256(string(data)):
		// A torn write: nobody can have relied on it.
		return "", false, nil
	}
	return string(data), true, nil
}

// Has says whether the bytes of the hash are there, without reading them.
func (s *Store) Has(ctx context.Context, hash string) (bool, error) {
	name, err := s.name("objects", hash)
	if err != nil {
		return false, err
	}
	ok, err := s.bucket.Exists(ctx, name)
	if err != nil {
		return false, fmt.Errorf("artifact: looking for object %.12s: %w", hash, err)
	}
	return ok, nil
}

// Open reads the bytes of the hash and checks them on the way: io.EOF comes
// only if they are what the hash says. The error is fs.ErrNotExist (errors.Is)
// if they are absent, and also, in place of io.EOF, if they are corrupt; the
// corrupt object is deleted.
func (s *Store) Open(ctx context.Context, hash string) (io.ReadCloser, error) {
	name, err := s.name("objects", hash)
	if err != nil {
		return nil, err
	}
	r, err := s.bucket.NewReader(ctx, name, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("artifact: object %.12s: %w", hash, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: opening object %.12s: %w", hash, err)
	}
	return &verifier{r: r, sum: sha256.New(), want: hash, discard: func() error { return s.Delete(ctx, hash) }}, nil
}

// Read gives all bytes of the hash, with the errors of Open.
func (s *Store) Read(ctx context.Context, hash string) ([]byte, error) {
	r, err := s.Open(ctx, hash)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// Put keeps what r gives and gives its hash. The object appears whole or not
// at all. It does not hold more than a megabyte in memory: what is larger is
// read twice if r can seek, and passes through a scratch file if not.
func (s *Store) Put(ctx context.Context, r io.Reader) (hash string, err error) {
	src, hash, err := s.hashed(r)
	if err != nil {
		return "", fmt.Errorf("artifact: reading what is to be kept: %w", err)
	}
	defer src.Close()
	name, err := s.name("objects", hash)
	if err != nil {
		return "", err
	}
	// What is small is mostly new: it is sent at once, and refused where it is there.
	if src.size < inMemory {
		err := s.write(ctx, name, src, &blob.WriterOptions{IfNotExist: true})
		if err == nil {
			return hash, nil
		}
		if err := src.rewind(); err != nil {
			return "", fmt.Errorf("artifact: reading again what is to be kept: %w", err)
		}
	}
	// An object of another size is one that was cut short: it is replaced.
	// Other damage shows when it is read.
	attrs, err := s.bucket.Attributes(ctx, name)
	if err == nil && attrs.Size == src.size {
		return hash, nil
	}
	if err := s.write(ctx, name, src, nil); err != nil {
		return "", fmt.Errorf("artifact: writing object %.12s: %w", hash, err)
	}
	return hash, nil
}

// Bind binds the key to the hash, whose bytes must have been Put, and gives
// the hash that the key is bound to from then on: the one it was bound to
// before if there was one and its bytes are still there, unless replace is
// set.
//
// Two processes that bind a key at one instant agree if the bucket has atomic
// preconditions: GCS, S3 and memory do. A folder does not; there, two stores
// on it that bind at one instant may both think that they were first. Within a
// store no two do.
func (s *Store) Bind(ctx context.Context, key, hash string, replace bool) (bound string, err error) {
	name, err := s.name("keys", key)
	if err != nil {
		return "", err
	}
	if !isSHA256(hash) {
		return "", fmt.Errorf("artifact: binding key %.12s: %q is not a SHA-256 in hexadecimal", key, hash)
	}
	lock := &s.binds[firstByte(key)]
	lock.Lock()
	defer lock.Unlock()
	if !replace {
		err := s.write(ctx, name, strings.NewReader(hash), &blob.WriterOptions{IfNotExist: true})
		if err == nil {
			return hash, nil
		}
		// S3 also answers with a conflict, and a connection may break after the
		// write: whatever it was, a key that is bound now is bound.
		first, ok, lookErr := s.living(ctx, key)
		switch {
		case ok:
			return first, nil
		case gcerrors.Code(err) != gcerrors.FailedPrecondition:
			return "", fmt.Errorf("artifact: writing key %.12s: %w", key, err)
		case lookErr != nil:
			return "", lookErr
		}
	}
	if err := s.write(ctx, name, strings.NewReader(hash), nil); err != nil {
		return "", fmt.Errorf("artifact: writing key %.12s: %w", key, err)
	}
	// Someone else may have replaced it too: whoever was last is right.
	last, ok, err := s.living(ctx, key)
	if err == nil && !ok {
		err = fmt.Errorf("artifact: key %.12s was bound to %.12s, and is lost", key, hash)
	}
	return last, err
}

// living gives the hash that the key is bound to, if its bytes are there.
func (s *Store) living(ctx context.Context, key string) (hash string, ok bool, err error) {
	hash, ok, err = s.Lookup(ctx, key)
	if ok && err == nil {
		ok, err = s.Has(ctx, hash)
	}
	return hash, ok, err
}

// Delete deletes the bytes of the hash, if they are there. Keys stay bound.
func (s *Store) Delete(ctx context.Context, hash string) error {
	name, err := s.name("objects", hash)
	if err != nil {
		return err
	}
	if err := s.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("artifact: deleting object %.12s: %w", hash, err)
	}
	return nil
}

// Keys lists the keys that are bound, in order.
func (s *Store) Keys(ctx context.Context) iter.Seq2[string, error] {
	return s.list(ctx, s.place+"keys/")
}

// Objects lists the hashes whose bytes are there, in order.
func (s *Store) Objects(ctx context.Context) iter.Seq2[string, error] {
	return s.list(ctx, s.place+"objects/")
}

func (s *Store) list(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		it := s.bucket.List(&blob.ListOptions{Prefix: prefix})
		for {
			obj, err := it.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield("", fmt.Errorf("artifact: listing %s: %w", prefix, err))
				return
			}
			// A folder also lists the temporary files of writes that were killed.
			name := obj.Key[strings.LastIndexByte(obj.Key, '/')+1:]
			if isSHA256(name) && !yield(name, nil) {
				return
			}
		}
	}
}

// write makes an object appear whole: a write that fails is called off by
// ending its context, which is how blob wants it.
func (s *Store) write(ctx context.Context, name string, r io.Reader, opts *blob.WriterOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if opts == nil {
		opts = &blob.WriterOptions{}
	}
	opts.ContentType = "application/octet-stream"
	w, err := s.bucket.NewWriter(ctx, name, opts)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel()
		return errors.Join(err, ignoreCancelled(w.Close()))
	}
	return w.Close()
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) || gcerrors.Code(err) == gcerrors.Canceled {
		return nil
	}
	return err
}

// source is what will be kept, ready to be read from its start.
type source struct {
	io.Reader
	start int64 // of a seeker
	size  int64
	close func() error
}

// rewind goes back to the start.
func (s *source) rewind() error {
	_, err := s.Reader.(io.Seeker).Seek(s.start, io.SeekStart)
	return err
}

func (s *source) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

const inMemory = 1 << 20

// hashed reads r once for its hash, and gives the same bytes to read again.
func (s *Store) hashed(r io.Reader) (src *source, hash string, err error) {
	sum := sha256.New()
	hex := func() string { return hex.EncodeToString(sum.Sum(nil)) }
	if seeker, ok := r.(io.ReadSeeker); ok {
		start, err := seeker.Seek(0, io.SeekCurrent)
		if err == nil {
			size, err := io.Copy(sum, seeker)
			if err == nil {
				_, err = seeker.Seek(start, io.SeekStart)
			}
			return &source{Reader: seeker, start: start, size: size}, hex(), err
		}
		// A pipe is an *os.File that cannot seek.
	}
	var head bytes.Buffer
	size, err := io.Copy(io.MultiWriter(&head, sum), io.LimitReader(r, inMemory))
	if err != nil || size < inMemory {
		return &source{Reader: bytes.NewReader(head.Bytes()), size: size}, hex(), err
	}
	f, err := os.CreateTemp(s.scratch, "artifact-*")
	if err != nil {
		return nil, "", err
	}
	drop := func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
	_, err = f.Write(head.Bytes())
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.MultiWriter(f, sum), r)
		size += rest
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, "", errors.Join(err, drop())
	}
	return &source{Reader: f, size: size, close: drop}, hex(), nil
}

// verifier gives io.EOF only for bytes that are what their name says. It hides
// the reader's ways to seek, which would pass the check by.
type verifier struct {
	r       *blob.Reader
	sum     hash.Hash
	want    string
	discard func() error
	end     error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.end != nil {
		return 0, v.end
	}
	n, err := v.r.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(v.sum.Sum(nil)); got != v.want {
			err = fmt.Errorf("artifact: object %.12s holds other bytes (%.12s), so it was deleted: %w", v.want, got, fs.ErrNotExist)
			err = errors.Join(err, v.discard())
		}
	}
	v.end = err
	return n, err
}

func (v *verifier) Close() error { return v.r.Close() }

func (s *Store) name(kind, sum string) (string, error) {
	if !isSHA256(sum) {
		return "", fmt.Errorf("artifact: %q is not a SHA-256 in lower-case hexadecimal", sum)
	}
	return s.place + kind + "/" + sum[:2] + "/" + sum, nil
}

func firstByte(sum string) byte {
	first, _ := hex.DecodeString(sum[:2]) // isSHA256 holds
	return first[0]
}

func isSHA256(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}
