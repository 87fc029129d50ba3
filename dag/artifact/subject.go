package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag"
)

// subjects is before the places of all subjects.
const subjects = "subjects/"

// Of implements dag.Store: the part of the store that is one subject's. What a
// subject has is nobody else's, bit by bit the same or not, so that it can be
// cleared without a list of what was ever made.
func (s *Store) Of(subject string) dag.Store { return s.Part(subject) }

// Part is Of.
func (s *Store) Part(subject string) *Store {
	return &Store{bucket: s.bucket, scratch: s.scratch, binds: s.binds, place: subjects + "=" + plain(subject) + "/"}
}

// plain writes a subject in letters, digits, - and _, which mean nothing to any
// kind of bucket.
func plain(subject string) string {
	var b strings.Builder
	for _, c := range []byte(subject) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

// Clear implements dag.Store.
func (s *Store) Clear(ctx context.Context, keep []string) error {
	if s.place == "" {
		return errors.New("artifact: only a subject's part of the store can be cleared")
	}
	for list := s.bucket.List(&blob.ListOptions{Prefix: s.place}); ; {
		entry, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("artifact: listing %s: %w", s.place, err)
		}
		isKey := strings.HasPrefix(entry.Key, s.place+"keys/")
		if len(keep) > 0 && (isKey || slices.Contains(keep, path.Base(entry.Key))) {
			continue // a key without bytes says nothing of them
		}
		if err := s.bucket.Delete(ctx, entry.Key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("artifact: deleting %s: %w", entry.Key, err)
		}
	}
}
