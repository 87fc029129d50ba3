// Package bucket opens the storage behind an origin by its URL: a folder
// (file:///srv/previews, or a plain path), Google Cloud Storage (gs://name),
// S3 and what speaks its protocol (s3://name?region=…&endpoint=…), or memory
// (mem://). Several processes may publish to one folder or one bucket.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/gcsblob" // gs://
	"gocloud.dev/blob/memblob"
	_ "gocloud.dev/blob/s3blob" // s3://

	"github.com/earshot-fm/earshot/workers/origin"
)

// Open opens the store at address. gs:// and s3:// take credentials from
// where their vendors' tools look, and go-cloud's URL parameters; the bucket
// must exist. A folder is made when it is missing.
func Open(ctx context.Context, address string) (origin.Store, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return openFolder(address)
	}
	var (
		onlyIf   func(*blob.Attributes) func(func(any) bool) error
		conflict func(error) bool
	)
	switch scheme {
	case "file":
		path, err := url.PathUnescape(rest)
		if err != nil {
			return origin.Store{}, fmt.Errorf("origin: open %s: %w", address, err)
		}
		return openFolder(path)
	case "mem":
		b := memblob.OpenBucket(nil)
		return origin.Store{Bucket: b, Lock: memoryLock(), Close: b.Close}, nil
	case "gs":
		onlyIf = onlyIfGeneration
	case "s3":
		onlyIf, conflict = onlyIfETag, isConflict
	default:
		return origin.Store{}, fmt.Errorf("origin: open %s: scheme %q is none of file, gs, s3, mem", address, scheme)
	}
	b, err := blob.OpenBucket(ctx, address)
	if err != nil {
		return origin.Store{}, fmt.Errorf("origin: open %s: %w", address, err)
	}
	return origin.Store{Bucket: b, OnlyIf: onlyIf, Conflict: conflict, Close: b.Close}, nil
}

// memoryLock serves several origins on one store in memory.
func memoryLock() func(ctx context.Context) (unlock func() error, err error) {
	held := make(chan struct{}, 1)
	return func(ctx context.Context) (func() error, error) {
		select {
		case held <- struct{}{}:
			return func() error { <-held; return nil }, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// onlyIfGeneration is Cloud Storage's ifGenerationMatch.
func onlyIfGeneration(attributes *blob.Attributes) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var (
			there  storage.ObjectAttrs
			object **storage.ObjectHandle
		)
		if !attributes.As(&there) || !as(&object) {
			return fmt.Errorf("the gs driver does not give the object's generation")
		}
		*object = (*object).If(storage.Conditions{GenerationMatch: there.Generation})
		return nil
	}
}

// onlyIfETag is S3's If-Match on PutObject. Stores that only resemble S3 may
// ignore it; with those, let one process publish at a time.
func onlyIfETag(attributes *blob.Attributes) func(as func(any) bool) error {
	return func(as func(any) bool) error {
		var upload *transfermanager.UploadObjectInput
		if !as(&upload) {
			return fmt.Errorf("the s3 driver does not give the upload's conditions")
		}
		tag := attributes.ETag
		upload.IfMatch = &tag
		return nil
	}
}

// isConflict is S3's answer to one of two conditional writes at once.
func isConflict(err error) bool {
	s3, ok := errors.AsType[smithy.APIError](err)
	return ok && s3.ErrorCode() == "ConditionalRequestConflict"
}
