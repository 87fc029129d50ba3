package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/audio/enclosure"
)

// fetch brings a file, bounded, and checks its hash.
func (s *adding) fetch(ctx context.Context, address, to, want string) error {
	u, err := url.Parse(address)
	if err != nil {
		return exit(exitUsage, fmt.Errorf("%s is no address", shown(address)))
	}
	switch u.Scheme {
	case "http", "https":
		o := s.config.Fetch.options()
		o.MaxBytes = s.left
		f := enclosure.New(o)
		defer f.Close()
		file, err := f.Fetch(ctx, address, to)
		if err != nil {
			return err
		}
		s.left -= file.Bytes
	case "gs", "s3":
		if err := s.fetchObject(ctx, u, to); err != nil {
			return err
		}
	default:
		return exit(exitUsage, fmt.Errorf("%s: scheme %q is none of https, http, gs, s3", shown(address), u.Scheme))
	}
	if err := checkSum(to, want); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", shown(address), err), os.Remove(to))
	}
	return nil
}

// objectIdle is how long a bucket may take for a next byte. The clients of
// object stores would try again for ever.
const objectIdle = 30 * time.Second

const s3Checksums = "response_checksum_validation"

// fetchObject brings an object of a bucket; the address's query is go-cloud's
// (region, endpoint).
func (s *adding) fetchObject(ctx context.Context, u *url.URL, to string) (err error) {
	ctx, stop := context.WithTimeoutCause(ctx, s.config.Fetch.Timeout, fmt.Errorf("not fetched within %v (fetch.timeout)", s.config.Fetch.Timeout))
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(objectIdle, func() { cancel(fmt.Errorf("not a byte within %v", objectIdle)) })
	defer idle.Stop()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", shown(u.String()), err)
		}
	}()
	query := u.Query()
	if u.Scheme == "s3" && !query.Has(s3Checksums) {
		query.Set(s3Checksums, "when_required") // the sha256 is checked; AWS's client would print a line about each object without its own
	}
	bucketURL := url.URL{Scheme: u.Scheme, Host: u.Host, RawQuery: query.Encode()}
	b, err := blob.OpenBucket(ctx, bucketURL.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r, err := b.NewReader(ctx, strings.TrimPrefix(path.Clean(u.Path), "/"), nil)
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		err = fmt.Errorf("%w (credentials are the environment's; a bucket that is open to all needs none: add ?anonymous=true)", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(resets{r, idle}, s.left+1))
	if s.left -= n; err == nil && s.left < 0 {
		err = fmt.Errorf("it is larger than %d bytes (--max-bytes)", s.maxBytes)
	}
	return errors.Join(err, out.Close())
}

// resets is a reader that starts a timer again with every byte.
type resets struct {
	io.Reader
	idle *time.Timer
}

func (r resets) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.idle.Reset(objectIdle)
	}
	return n, err
}
