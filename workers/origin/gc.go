package origin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/earshot-fm/earshot/dag/episode"
)

// GCOptions are GC's settings; the zero value of each is its default.
type GCOptions struct {
	// Grace is how long an object is left alone after it was written, and
	// after the manifest of its episode has last changed: publications that
	// are under way, and players that still hold the manifest of before, need
	// it. Zero: 24 h; the least is 2 h.
	Grace time.Duration
	// DryRun deletes nothing, and says what would be.
	DryRun bool
	// Deleted is told of each object that is deleted, or would be. It is
	// called from one goroutine.
	Deleted func(name string, bytes int64)
	// Readers is how many manifests are read at once. Zero: 16.
	Readers int
}

// Tally counts objects and their bytes.
type Tally struct{ Objects, Bytes int64 }

func (t *Tally) add(bytes int64) { t.Objects++; t.Bytes += bytes }

// GCReport is what GC found.
type GCReport struct {
	Manifests int64 // that were read
	Named     Tally // objects that a manifest names
	Recent    Tally // that none names, within their grace
	Deleted   Tally // that were deleted, or would be
	Foreign   Tally // under previews/, but not of an object's name; they are left
}

// errNamed ends a GC that has deleted what a manifest names.
var errNamed = errors.New("a manifest was published that names objects which had just been deleted: publish these episodes again")

// GC deletes the objects under previews/ that no manifest names. It may run
// beside publishers. It holds eight bytes for each object that is named or
// deleted; all else is streamed. A manifest that cannot be read ends it before anything is
// deleted.
func (o *Origin) GC(ctx context.Context, g GCOptions) (GCReport, error) {
	if g.Grace == 0 {
		g.Grace = 24 * time.Hour
	}
	if g.Grace < 2*renewAfter {
		return GCReport{}, fmt.Errorf("origin: gc: a grace of %s is too short for publications that are under way; give %s or more", g.Grace, 2*renewAfter)
	}
	if g.Readers <= 0 {
		g.Readers = 16
	}
	c := &collection{origin: o, options: g, began: o.options.Now()}
	if err := c.run(ctx); err != nil {
		return c.report, fmt.Errorf("origin: gc: %w", err)
	}
	return c.report, nil
}

// collection is one run of GC.
type collection struct {
	origin  *Origin
	options GCOptions
	began   time.Time

	mu     sync.Mutex
	report GCReport
}

func (c *collection) run(ctx context.Context) error {
	var named, deleted prefixes
	err := c.eachManifest(ctx, func(entry *blob.ListObject) error {
		names, err := c.safe(ctx, entry)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			named.add(names)
		}
		return err
	})
	if err != nil {
		return err
	}
	if deleted, err = c.sweep(ctx, named.sorted()); err != nil || len(deleted) == 0 {
		return err
	}
	// Only a publisher that had read an object back between the last look at
	// its age and its deletion can have been passed by.
	var lost []string
	err = c.eachManifest(ctx, func(entry *blob.ListObject) error {
		if entry.ModTime.Before(c.began.Add(-renewAfter)) { // clocks differ
			return nil
		}
		names, _, err := c.manifest(ctx, entry)
		for _, name := range names {
			if err == nil && deleted.has(name) {
				var there bool
				if there, err = c.origin.store.Bucket.Exists(ctx, name); err == nil && !there {
					c.mu.Lock()
					lost = append(lost, name)
					c.mu.Unlock()
				}
			}
		}
		return err
	})
	if err == nil && len(lost) > 0 {
		slices.Sort(lost)
		err = fmt.Errorf("%w: %s", errNamed, strings.Join(lost, ", "))
	}
	return err
}

// prefixes are the first 64 bits of objects' hashes, in order. Two objects
// that share them are taken for one, which at worst keeps one too long.
type prefixes []uint64

func prefixOf(name string) (prefix uint64, ok bool) {
	hash := hashOf(name)
	if len(hash) != 64 || name != ObjectName(hash, strings.TrimPrefix(path.Ext(name), ".")) || strings.Trim(hash, "0123456789abcdef") != "" {
		return 0, false
	}
	prefix, err := strconv.ParseUint(hash[:16], 16, 64)
	return prefix, err == nil
}

func (p *prefixes) add(names []string) {
	for _, name := range names {
		if prefix, ok := prefixOf(name); ok {
			*p = append(*p, prefix)
		}
	}
}

func (p prefixes) sorted() prefixes {
	slices.Sort(p)
	return slices.Compact(p)
}

// has needs p to be sorted.
func (p prefixes) has(name string) bool {
	prefix, ok := prefixOf(name)
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(p, prefix)
	return found
}

// eachManifest calls do for what is under episodes/, from several goroutines;
// an error ends it.
func (c *collection) eachManifest(ctx context.Context, do func(*blob.ListObject) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		pending = make(chan *blob.ListObject)
		readers sync.WaitGroup
	)
	for range c.options.Readers {
		readers.Go(func() {
			for entry := range pending {
				if err := do(entry); err != nil {
					stop(err)
				}
			}
		})
	}
	err := c.each(ctx, "episodes/", func(entry *blob.ListObject) error {
		select {
		case pending <- entry:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(pending)
	readers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// safe gives the objects that an entry under episodes/ keeps from deletion: a
// manifest those it names, and while it or the ledger is within the grace, the
// ledger all.
func (c *collection) safe(ctx context.Context, entry *blob.ListObject) ([]string, error) {
	id := episode.ID(path.Base(path.Dir(entry.Key)))
	recent := c.recent(entry.ModTime)
	if entry.Key == ledgerName(id) && recent {
		return c.entered(ctx, id)
	}
	names, m, err := c.manifest(ctx, entry)
	if err != nil || m == nil {
		return nil, err
	}
	c.mu.Lock()
	c.report.Manifests++
	c.mu.Unlock()
	if !recent || m.Removed {
		return names, nil
	}
	entered, err := c.entered(ctx, id)
	return append(names, entered...), err
}

// manifest reads a manifest and the names in it; nil where the entry is none.
func (c *collection) manifest(ctx context.Context, entry *blob.ListObject) (names []string, m *Manifest, err error) {
	if entry.Key != ManifestName(episode.ID(path.Base(path.Dir(entry.Key)))) {
		return nil, nil, nil
	}
	there, err := c.origin.read(ctx, entry.Key)
	if err != nil || there.body == nil {
		return nil, nil, err
	}
	read, err := parse(there.body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", entry.Key, err)
	}
	return slices.Collect(maps.Keys(named(read))), &read, nil
}

func (c *collection) entered(ctx context.Context, id episode.ID) ([]string, error) {
	l, _, err := c.origin.ledger(ctx, id)
	return l.names(), err
}

// sweep deletes what is not named, and gives what it has deleted.
func (c *collection) sweep(ctx context.Context, named prefixes) (deleted prefixes, err error) {
	err = c.each(ctx, "previews/", func(entry *blob.ListObject) error {
		_, ours := prefixOf(entry.Key)
		switch {
		case !ours:
			c.report.Foreign.add(entry.Size)
			return nil
		case named.has(entry.Key):
			c.report.Named.add(entry.Size)
			return nil
		case c.recent(entry.ModTime):
			c.report.Recent.add(entry.Size)
			return nil
		}
		if !c.options.DryRun {
			gone, err := c.delete(ctx, entry)
			if err != nil || !gone {
				return err
			}
			deleted.add([]string{entry.Key})
		}
		c.report.Deleted.add(entry.Size)
		if c.options.Deleted != nil {
			c.options.Deleted(entry.Key, entry.Size)
		}
		return nil
	})
	return deleted.sorted(), err
}

func (c *collection) recent(written time.Time) bool {
	return c.origin.options.Now().Sub(written) < c.options.Grace
}

// delete looks once more: a publisher that needs the object has written it
// again.
func (c *collection) delete(ctx context.Context, entry *blob.ListObject) (gone bool, err error) {
	a, err := c.origin.store.Bucket.Attributes(ctx, entry.Key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err == nil && c.recent(a.ModTime) {
		c.report.Recent.add(entry.Size)
		return false, nil
	}
	if err == nil {
		err = c.origin.store.Bucket.Delete(ctx, entry.Key)
	}
	if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return false, fmt.Errorf("delete %s: %w", entry.Key, err)
	}
	return err == nil, nil
}

// listed is how many names are asked for at once. Cloud stores give a thousand
// all the same; a folder is walked from its start for each such page.
const listed = 50_000

// each lists what is under a prefix, in order.
func (c *collection) each(ctx context.Context, prefix string, do func(*blob.ListObject) error) error {
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := c.origin.store.Bucket.ListPage(ctx, token, listed, &blob.ListOptions{Prefix: prefix})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, entry := range page {
			if err := do(entry); err != nil {
				return err
			}
		}
		token = next
	}
	return nil
}
