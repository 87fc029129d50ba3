package enclosure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// transfer is one enclosure on its way to disk, over as many attempts as it
// takes.
type transfer struct {
	path    string
	file    *os.File
	hash    hash.Hash
	written int64
	etag    string // of what is written, when it is strong
	kind    string
	resumed bool
	done    bool

	encoding string
}

func newTransfer(path string) (*transfer, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("enclosure: %w", err)
	}
	return &transfer{path: path, file: file, hash: sha256.New()}, nil
}

func (t *transfer) restart() error {
	t.hash.Reset()
	t.written, t.etag, t.resumed = 0, "", false
	if err := t.file.Truncate(0); err != nil {
		return fmt.Errorf("enclosure: %w", err)
	}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("enclosure: %w", err)
	}
	return nil
}

func (t *transfer) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	t.hash.Write(p[:n])
	t.written += int64(n)
	if err != nil {
		err = &diskError{err}
	}
	return n, err
}

func (t *transfer) complete() (File, error) {
	if err := t.file.Close(); err != nil {
		return File{}, fmt.Errorf("enclosure: %w", err)
	}
	t.done = true
	return File{
		Path: t.path, Bytes: t.written, SHA256: hex.EncodeToString(t.hash.Sum(nil)),
		ContentType: t.kind, Encoding: t.encoding, Resumed: t.resumed,
	}, nil
}

func (t *transfer) abandon() {
	if !t.done {
		t.file.Close()
		os.Remove(t.path)
	}
}

// diskError keeps a full disk apart from a broken connection.
type diskError struct{ err error }

func (e *diskError) Error() string { return "enclosure: writing to disk: " + e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

// brokenError is a transfer that another attempt may complete.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

var errIdle = errors.New("the server sent too little for too long")

// attempt asks for u, for its rest where a strong ETag vouches for what is here
// already, and writes what comes.
func (f *Fetcher) attempt(ctx context.Context, u *url.URL, t *transfer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return &audio.Rejection{Code: BadURL, Detail: "enclosure: the URL is malformed"}
	}
	req.Header.Set("User-Agent", f.agent)
	req.Header.Set("Accept", "audio/*, */*;q=0.5")
	req.Header.Set("Accept-Encoding", "identity")
	if f.o.Compressed {
		req.Header.Set("Accept-Encoding", "gzip, deflate")
	}
	resuming := t.written > 0 && t.etag != ""
	if resuming {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.written))
		req.Header.Set("If-Range", t.etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		var rejected *audio.Rejection
		if errors.As(err, &rejected) {
			return rejected
		}
		return &brokenError{fmt.Errorf("asking %s: %w", redact(u), bare(err))}
	}
	defer resp.Body.Close()
	at := redact(resp.Request.URL)
	switch {
	case resp.StatusCode == http.StatusPartialContent && resuming:
		if !continues(resp, t) {
			if err := t.restart(); err != nil {
				return err
			}
			return &brokenError{fmt.Errorf("%s gave another part than was asked for", at)}
		}
		t.resumed = true
	case resp.StatusCode == http.StatusOK:
		if err := t.restart(); err != nil {
			return err
		}
		if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
			t.etag = tag
		}
		t.kind = resp.Header.Get("Content-Type")
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && resuming:
		if err := t.restart(); err != nil {
			return err
		}
		return &brokenError{fmt.Errorf("%s has no such part", at)}
	default:
		return statusError(at, resp, f.o.Now())
	}
	if e := resp.Header.Get("Content-Encoding"); f.o.Compressed {
		t.encoding = e
	} else if e != "" && !strings.EqualFold(e, "identity") {
		return &audio.Rejection{Code: Encoded, Detail: fmt.Sprintf("enclosure: %s sends the file as %.20q though asked not to", at, e)}
	}
	if resp.ContentLength > f.o.MaxBytes-t.written {
		return tooLarge(at, f.o.MaxBytes)
	}
	body := newWatched(resp.Body, f.o.IdleTimeout, func() { cancel(errIdle) })
	defer body.stop()
	_, err = io.Copy(t, io.LimitReader(body, f.o.MaxBytes-t.written+1))
	if t.written > f.o.MaxBytes {
		return tooLarge(at, f.o.MaxBytes)
	}
	if err == nil {
		return nil
	}
	var disk *diskError
	if errors.As(err, &disk) {
		return disk
	}
	if errors.Is(context.Cause(ctx), errIdle) {
		err = errIdle
	}
	return &brokenError{fmt.Errorf("reading from %s after %d bytes: %w", at, t.written, bare(err))}
}

// continues says whether a partial answer goes on where t ends, with the same
// file.
func continues(resp *http.Response, t *transfer) bool {
	var first, last int64
	n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
	return err == nil && n == 2 && first == t.written && resp.Header.Get("ETag") == t.etag
}

// leastProgress, in bytes, is what counts as a sign of life: a byte now and then
// would hold a slot for as long as an enclosure may take.
const leastProgress = 16 << 10

// watched calls late when less than leastProgress has been read for a while.
type watched struct {
	r     io.Reader
	idle  time.Duration
	timer *time.Timer
	since int // bytes, since the timer was set
}

func newWatched(r io.Reader, idle time.Duration, late func()) *watched {
	return &watched{r: r, idle: idle, timer: time.AfterFunc(idle, late)}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if w.since += n; w.since >= leastProgress {
		w.since = 0
		w.timer.Reset(w.idle)
	}
	return n, err
}

func (w *watched) stop() { w.timer.Stop() }

func hashAll(ctx context.Context, r io.Reader) (string, int64, error) {
	h := sha256.New()
	buf := make([]byte, 1<<20)
	var total int64
	for {
		n, err := r.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), total, nil
		}
		if err != nil {
			return "", 0, err
		}
		if err := context.Cause(ctx); err != nil {
			return "", 0, err
		}
	}
}
