package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Swap lets the newest finished pair that Reindex or Rebuild has made take the
// current one's place, for searchers and writers in one step. It catches up
// with what was written meanwhile; for the last of it, and no longer, writers
// wait. The old pair stays, closed to writers, for the operator to delete. It
// returns the pair that was and the one that is.
func (x *Index) Swap(ctx context.Context) (old, now int, err error) {
	if old, now, err = x.swap(ctx); err != nil {
		return 0, 0, failed("swap "+x.options.Episodes, err)
	}
	return old, now, nil
}

func (x *Index) swap(ctx context.Context) (old, now int, err error) {
	p, err := x.pairs(ctx)
	if err != nil {
		return 0, 0, err
	}
	if old, err = p.current(); err != nil {
		return 0, 0, err
	}
	now, from, err := x.ready(ctx, p, old)
	if err != nil {
		return 0, 0, err
	}
	if old == 0 {
		return old, now, x.refreshAndPoint(ctx, old, now)
	}
	if from.Checkpoint, err = x.catchUp(ctx, old, now, from.Checkpoint); err != nil {
		return 0, 0, err
	}
	if err := x.setProvenance(ctx, x.episodesOf(now), from); err != nil {
		return 0, 0, err
	}
	if err := x.block(ctx, old); err != nil {
		return 0, 0, errors.Join(err, x.unblock(ctx, old))
	}
	// Nothing is written to the old pair any more: what is left is the last.
	if err = x.refresh(ctx, x.episodesOf(old)); err == nil {
		_, err = x.copyAfter(ctx, old, now, from.Checkpoint, newerOrSame, nil)
	}
	if err == nil {
		err = x.refreshAndPoint(ctx, old, now)
	}
	if err != nil {
		return 0, 0, errors.Join(err, x.reopen(ctx, old))
	}
	return old, now, nil
}

// ready is the newest finished pair that can take the current one's place.
func (x *Index) ready(ctx context.Context, p pairs, current int) (int, provenance, error) {
	for _, n := range slices.Backward(p.all) {
		if n <= current {
			break
		}
		from, err := x.provenance(ctx, x.episodesOf(n))
		if err != nil {
			return 0, from, err
		}
		if from.Earshot == mappingVersion && from.From == current && from.Checkpoint != unfinished {
			return n, from, nil
		}
	}
	return 0, provenance{}, errors.New("there is no finished pair to take its place: run `earshot index reindex` or `earshot index rebuild`")
}

// catchUp copies what was written since a checkpoint, until there is little
// left to do while writers wait, and returns up to where it is.
func (x *Index) catchUp(ctx context.Context, old, now int, checkpoint int64) (int64, error) {
	const (
		rounds = 10
		little = 2 * copyPage
	)
	for range rounds {
		next, err := x.checkpoint(ctx, x.episodesOf(old))
		if err != nil {
			return 0, err
		}
		if err := x.refresh(ctx, x.episodesOf(old)); err != nil {
			return 0, err
		}
		n, err := x.copyAfter(ctx, old, now, checkpoint, newerOrSame, nil)
		if err != nil {
			return 0, err
		}
		if checkpoint = next; n <= little {
			break
		}
	}
	return checkpoint, nil
}

// block forbids writing to a pair, and returns when what was being written is
// done.
func (x *Index) block(ctx context.Context, pair int) error {
	for _, name := range []string{x.episodesOf(pair), x.segmentsOf(pair)} {
		if err := x.perform(ctx, http.MethodPut, "/"+url.PathEscape(name)+"/_block/write", nil, nil, nil); err != nil {
			return fmt.Errorf("close %s to writers: %w", name, err)
		}
	}
	return nil
}

func (x *Index) unblock(ctx context.Context, pair int) error {
	path := "/" + url.PathEscape(x.episodesOf(pair)+","+x.segmentsOf(pair)) + "/_settings"
	if err := x.perform(ctx, http.MethodPut, path, nil, field{"index.blocks.write": nil}, nil); err != nil {
		return fmt.Errorf("open %s to writers again (writers wait; run `earshot index swap` again): %w", x.episodesOf(pair), err)
	}
	return nil
}

// reopenLimit is for opening a pair again after ctx has ended.
const reopenLimit = 30 * time.Second

// reopen opens the old pair to writers again when a swap has failed, unless the
// aliases have moved after all.
func (x *Index) reopen(ctx context.Context, old int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reopenLimit)
	defer cancel()
	p, err := x.pairs(ctx)
	if err != nil {
		return fmt.Errorf("%s may still be closed to writers; run `earshot index swap` again: %w", x.episodesOf(old), err)
	}
	if p.write != old {
		return nil
	}
	return x.unblock(ctx, old)
}

// refreshAndPoint lets searchers see all of a pair before any of them comes.
func (x *Index) refreshAndPoint(ctx context.Context, old, now int) error {
	if err := x.refresh(ctx, x.episodesOf(now), x.segmentsOf(now)); err != nil {
		return err
	}
	err := x.point(ctx, old, now)
	if err == nil {
		return nil
	}
	// An attempt whose answer was lost may have done it.
	if p, again := x.pairs(ctx); again == nil && len(p.odd) == 0 && p.read == now {
		return nil
	}
	return err
}
