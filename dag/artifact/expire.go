package artifact

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"time"

	"gocloud.dev/blob"
)

// Unnamed is the kind of an artifact that no ledger document names: of a run
// that has not ended.
const Unnamed = ""

// Expiry says which bytes are past their time.
type Expiry struct {
	// Keep is for how long bytes are kept after they were written, by their
	// kind. Those of a kind that is not in it are kept for good.
	Keep map[string]time.Duration

	// Kinds gives the kind of each hash that a document of the ledger names.
	// A hash that two kinds share should not be in documents: which kind it is
	// taken for is not said.
	Kinds func(doc []byte) (kinds map[string]string, err error)

	Now    time.Time // zero: time.Now()
	DryRun bool      // deletes nothing, and says what would be

	// Deleted is told of all that is deleted, or would be; it may be nil.
	Deleted func(hash, kind string, bytes int64)
}

// Tally counts objects and their bytes.
type Tally struct{ Objects, Bytes int64 }

// Expired is what Expire found, by kind. Kept holds all kinds that it does not
// tell apart, which are those without a time, under the name Unnamed.
type Expired struct{ Kept, Deleted map[string]Tally }

// Expire deletes bytes that are past their time. Keys stay bound: what was
// derived from the bytes stays valid, and a run that wants the bytes themselves
// makes them again. It may run beside others. It holds sixteen bytes of memory
// for each artifact that a ledger document names and that has a time, and for
// each that is named at all if Unnamed has one.
func (s *Store) Expire(ctx context.Context, e Expiry) (Expired, error) {
	if e.Now.IsZero() {
		e.Now = time.Now()
	}
	done := Expired{Kept: map[string]Tally{}, Deleted: map[string]Tally{}}
	named, err := s.named(ctx, e)
	if err != nil {
		return done, err
	}
	err = s.each(ctx, "objects/", func(object *blob.ListObject) error {
		hash := path.Base(object.Key)
		if !isSHA256(hash) {
			return nil
		}
		kind := named.kind(hash)
		keep, ends := e.Keep[kind]
		if !ends || e.Now.Sub(object.ModTime) < keep {
			count(done.Kept, kind, object.Size)
			return nil
		}
		if !e.DryRun {
			if err := s.Delete(ctx, hash); err != nil {
				return err
			}
		}
		if e.Deleted != nil {
			e.Deleted(hash, kind, object.Size)
		}
		count(done.Deleted, kind, object.Size)
		return nil
	})
	return done, err
}

func count(tallies map[string]Tally, kind string, bytes int64) {
	t := tallies[kind]
	tallies[kind] = Tally{t.Objects + 1, t.Bytes + bytes}
}

// naming is a hash's first 64 bits, and its kind by number.
type naming struct {
	prefix uint64
	kind   int
}

// namings are in order of prefixes.
type namings struct {
	all   []naming
	kinds []string
}

func prefixOf(hash string) uint64 {
	prefix, _ := strconv.ParseUint(hash[:16], 16, 64) // isSHA256 holds
	return prefix
}

func (n namings) kind(hash string) string {
	i, found := slices.BinarySearchFunc(n.all, prefixOf(hash), func(n naming, prefix uint64) int { return cmp.Compare(n.prefix, prefix) })
	if !found {
		return Unnamed
	}
	return n.kinds[n.all[i].kind]
}

// named reads the ledger.
func (s *Store) named(ctx context.Context, e Expiry) (n namings, err error) {
	_, all := e.Keep[Unnamed]
	for doc, err := range s.Pages(ctx) {
		var kinds map[string]string
		if err == nil {
			kinds, err = e.Kinds(doc)
		}
		if err != nil {
			return n, err
		}
		for hash, kind := range kinds {
			if _, ends := e.Keep[kind]; !isSHA256(hash) || !ends && !all {
				continue
			}
			number := slices.Index(n.kinds, kind)
			if number < 0 {
				number = len(n.kinds)
				n.kinds = append(n.kinds, kind)
			}
			n.all = append(n.all, naming{prefixOf(hash), number})
		}
	}
	slices.SortFunc(n.all, func(a, b naming) int {
		return cmp.Or(cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.kind, b.kind))
	})
	n.all = slices.Compact(n.all)
	return n, err
}

// listed is how many names are asked for at once. Cloud stores give a thousand
// all the same; a folder is walked from its start for each such page.
const listed = 50_000

// each lists what is under a prefix, in order.
func (s *Store) each(ctx context.Context, prefix string, do func(*blob.ListObject) error) error {
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := s.bucket.ListPage(ctx, token, listed, &blob.ListOptions{Prefix: prefix})
		if err != nil {
			return fmt.Errorf("artifact: listing %s: %w", prefix, err)
		}
		for _, object := range page {
			if err := do(object); err != nil {
				return err
			}
		}
		token = next
	}
	return nil
}
