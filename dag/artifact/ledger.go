package artifact

import (
	"context"
	"fmt"
	"net/url"

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

// The suffix keeps subjects such as "" and ".." from being anything but a name.
func pageName(subject string) string { return "ledger/" + url.PathEscape(subject) + ".json" }
