package elastic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/earshot-fm/earshot/workers/index"
)

// Progress is told how many episodes and removals have been put into a new
// pair of indices, from time to time. It may be nil.
type Progress func(episodes int)

// Reindex makes a new pair of indices, with the mapping of this version of
// Earshot, and copies the current one into it while searchers and writers go
// on with that. Swap then lets it take its place. What an earlier Reindex or
// Rebuild has left unfinished is deleted first. It returns the new pair.
func (x *Index) Reindex(ctx context.Context, progress Progress) (pair int, err error) {
	p, err := x.pairs(ctx)
	if err == nil {
		_, err = p.current()
	}
	if err == nil && p.read == 0 {
		err = errors.New("there is nothing to copy: run `earshot index create`, or rebuild from the artifacts")
	}
	if err == nil {
		pair, err = x.renew(ctx, func(ctx context.Context, current, pair int) error {
			return x.copyAll(ctx, current, pair, newerOrSame, progress)
		})
	}
	if err != nil {
		return 0, failed("reindex "+x.options.Episodes, err)
	}
	return pair, nil
}

// Rebuild makes a new pair of indices from documents, each the newest that the
// caller has of its episode, in any order, and then copies from the current
// pair, if there is one, what is newer there: removals, and episodes of which
// the caller had an older version or none. It ends at the first error that
// documents yields. Swap then lets the pair take its place. It returns the new
// pair.
func (x *Index) Rebuild(ctx context.Context, documents iter.Seq2[index.Document, error], progress Progress) (pair int, err error) {
	pair, err = x.renew(ctx, func(ctx context.Context, current, pair int) error {
		to := x.filling(pair, newerOrSame)
		count := 0
		var page []encoded
		flush := func() error {
			if len(page) == 0 {
				return nil
			}
			if err := x.fill(ctx, to, page); err != nil {
				return err
			}
			count, page = count+len(page), nil
			report(progress, count)
			return nil
		}
		in := map[string]bool{} // a page holds an episode once
		for d, err := range documents {
			if err != nil {
				return err
			}
			e, err := encode(d)
			if err != nil {
				return err
			}
			if in[string(e.id)] || len(page) == copyPage {
				if err := flush(); err != nil {
					return err
				}
				clear(in)
			}
			in[string(e.id)] = true
			page = append(page, e)
		}
		if err := flush(); err != nil || current == 0 {
			return err
		}
		return x.copyAll(ctx, current, pair, newerOnly, func(n int) { report(progress, count+n) })
	})
	if err != nil {
		return 0, failed("rebuild "+x.options.Episodes, err)
	}
	return pair, nil
}

func report(p Progress, episodes int) {
	if p != nil {
		p(episodes)
	}
}

// renew makes a pair for what is to fill it, and marks it as ready.
func (x *Index) renew(ctx context.Context, fill func(ctx context.Context, current, pair int) error) (int, error) {
	p, err := x.pairs(ctx)
	if err != nil {
		return 0, err
	}
	current, err := p.current()
	if err != nil {
		return 0, err
	}
	if err := x.deleteUnfinished(ctx, p, current); err != nil {
		return 0, err
	}
	there, err := x.analyzers(ctx)
	if err != nil {
		return 0, err
	}
	if err := x.putTemplates(ctx, there); err != nil {
		return 0, err
	}
	pair := p.next()
	from := provenance{Earshot: mappingVersion, From: current, Checkpoint: unfinished, Run: rand.Text()}
	if err := x.createPair(ctx, pair, there, from); err != nil {
		return 0, err
	}
	if err := x.mine(ctx, pair, from); err != nil {
		return 0, err
	}
	// Before anything is read: what changes from here on is caught up with.
	from.Checkpoint = -1
	if current > 0 {
		if from.Checkpoint, err = x.checkpoint(ctx, x.episodesOf(current)); err != nil {
			return 0, err
		}
	}
	if err := fill(ctx, current, pair); err != nil {
		return 0, err
	}
	if err := x.mine(ctx, pair, from); err != nil {
		return 0, err
	}
	if err := x.setProvenance(ctx, x.episodesOf(pair), from); err != nil {
		return 0, err
	}
	return pair, nil
}

func (x *Index) deleteUnfinished(ctx context.Context, p pairs, current int) error {
	for _, n := range p.all {
		if n <= current {
			continue
		}
		from, err := x.provenance(ctx, x.episodesOf(n))
		if err != nil {
			return err
		}
		if from.Checkpoint != unfinished {
			continue
		}
		if err := x.perform(ctx, http.MethodDelete, "/"+url.PathEscape(x.episodesOf(n)+","+x.segmentsOf(n)), nil, nil, nil); err != nil {
			return fmt.Errorf("delete %s, which was left unfinished: %w", x.episodesOf(n), err)
		}
	}
	return nil
}

// mine reports that a pair is another's.
func (x *Index) mine(ctx context.Context, pair int, from provenance) error {
	for _, name := range []string{x.episodesOf(pair), x.segmentsOf(pair)} {
		is, err := x.provenance(ctx, name)
		if err != nil {
			return err
		}
		if is.Run != from.Run {
			return fmt.Errorf("%s has been made anew by another reindex or rebuild: run one at a time", name)
		}
	}
	return nil
}

func (x *Index) filling(pair int, versionType string) target {
	return target{episodes: x.episodesOf(pair), segments: x.segmentsOf(pair), versionType: versionType}
}

func (x *Index) copyAll(ctx context.Context, from, pair int, versionType string, progress Progress) error {
	if err := x.refresh(ctx, x.episodesOf(from)); err != nil {
		return err
	}
	_, err := x.copyAfter(ctx, from, pair, -1, versionType, progress)
	return err
}

// copyAfter copies what has changed after a checkpoint, and returns how much
// it was.
func (x *Index) copyAfter(ctx context.Context, from, pair int, after int64, versionType string, progress Progress) (count int, err error) {
	to := x.filling(pair, versionType)
	for page, err := range x.changes(ctx, x.episodesOf(from), after) {
		if err != nil {
			return count, err
		}
		if err := x.fill(ctx, to, page); err != nil {
			return count, err
		}
		count += len(page)
		report(progress, count)
	}
	return count, nil
}
