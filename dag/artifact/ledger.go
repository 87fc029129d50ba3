package artifact

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Recall gives the document that was last recorded for the subject, nil if
// there is none.
func (s *Store) Recall(ctx context.Context, subject string) ([]byte, error) {
	doc, err := s.bucket.ReadAll(ctx, pageName(subject))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("artifact: recalling %q: %w", subject, err)
	}
	return doc, nil
}

// Record replaces the subject's document.
func (s *Store) Record(ctx context.Context, subject string, doc []byte) error {
	opts := &blob.WriterOptions{ContentType: "application/json"}
	if err := s.bucket.WriteAll(ctx, pageName(subject), doc, opts); err != nil {
		return fmt.Errorf("artifact: recording %q: %w", subject, err)
	}
	return nil
}

// Pages gives the documents of all subjects.
func (s *Store) Pages(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := s.each(ctx, "ledger/", func(page *blob.ListObject) error {
			if !strings.HasSuffix(page.Key, ".json") {
				return nil // a write that was killed
			}
			doc, err := s.bucket.ReadAll(ctx, page.Key)
			if gcerrors.Code(err) == gcerrors.NotFound {
				return nil
			}
			if err == nil && !yield(doc, nil) {
				err = errStopped
			}
			return err
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("artifact: reading the ledger: %w", err))
		}
	}
}

// errStopped ends a listing whose caller has seen enough.
var errStopped = errors.New("stopped")

// The suffix keeps subjects such as "" and ".." from being anything but a name.
func pageName(subject string) string { return "ledger/" + url.PathEscape(subject) + ".json" }
