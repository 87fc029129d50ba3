package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// errMoved: the aliases went to other indices while an episode was written, or
// are about to. All of it is written again, so that all of it is in one pair.
var errMoved = errors.New("another index is taking its place")

// Put implements index.Index. The episode's own document alone makes the new
// version visible, at once and whole; its segments, which are named for their
// edition, are seen by nobody before, and those of older editions by nobody
// after. Whatever of older editions an interrupted Put has left goes too.
func (x *Index) Put(ctx context.Context, d index.Document) (index.Result, error) {
	e, err := encode(d)
	if err != nil {
		return "", err
	}
	result, err := x.settled(ctx, func(ctx context.Context) (index.Result, error) { return x.put(ctx, e) })
	if err != nil {
		return "", failed("put "+string(d.ID)+" in "+x.writeEpisodes(), err)
	}
	return result, nil
}

// settled does what it is given until the aliases stay where they are.
func (x *Index) settled(ctx context.Context, do func(context.Context) (index.Result, error)) (index.Result, error) {
	for n := 1; ; n++ {
		result, err := do(ctx)
		f, ok := errors.AsType[*fault](err)
		moved := errors.Is(err, errMoved) || ok && f.blocked()
		switch {
		case !moved:
			return result, err
		case n > attempts && ok:
			return "", err
		case n > attempts:
			return "", &index.Unavailable{Err: err}
		}
		if err := x.pause(ctx, backoff(n)); err != nil {
			return "", err
		}
	}
}

func (x *Index) writing() target {
	return target{episodes: x.writeEpisodes(), segments: x.writeSegments(), aliases: true, versionType: newerOrSame}
}

func (x *Index) put(ctx context.Context, e encoded) (index.Result, error) {
	there, err := x.look(ctx, e.id)
	if err != nil {
		return "", err
	}
	switch {
	case there.found && e.edition.older(there.edition):
		// A late delivery is when segments that it left behind are cleared.
		return index.Overtaken, x.clear(ctx, e.id, there.older(there.edition))
	case there.found && there.edition == e.edition:
		if !there.complete(e) {
			if err := x.write(ctx, e, x.writing().segmentItems(e)); err != nil {
				return "", err
			}
		}
		return index.Unchanged, x.clear(ctx, e.id, there.older(e.edition))
	}
	err = x.write(ctx, e, append(x.writing().segmentItems(e), x.writing().episodeItem(e)))
	if errors.Is(err, errOvertaken) {
		return index.Overtaken, x.clear(ctx, e.id, map[edition]int{e.edition: len(e.segments)})
	}
	if err != nil {
		return "", err
	}
	return index.Stored, x.clear(ctx, e.id, there.older(e.edition))
}

var errOvertaken = errors.New("overtaken")

// write sends an edition's items, the episode's own, if any, as the last.
func (x *Index) write(ctx context.Context, e encoded, items []item) error {
	if len(items) == 0 {
		return nil
	}
	results, err := x.bulk(ctx, items, x.options.Refresh)
	if err != nil {
		return err // even a 400 is about the request then, and not the document
	}
	pair := ""
	for i, r := range results {
		switch {
		case r.overtaken() && !items[i].segment:
			return errOvertaken
		case r.fault != nil && r.fault.refusal():
			return &index.Refused{ID: e.id, Reason: r.fault.Error()}
		case r.fault != nil:
			return r.fault
		}
		at := r.index[strings.LastIndex(r.index, versionMark)+1:]
		if i > 0 && at != pair {
			return errMoved
		}
		pair = at
	}
	return nil
}

// clear removes the segments, so many of each, of editions that nobody can see
// any more.
func (x *Index) clear(ctx context.Context, id episode.ID, segments map[edition]int) error {
	var items []item
	for e, n := range segments {
		for i := range n {
			items = append(items, x.writing().deletion(id, e, i))
		}
	}
	if len(items) == 0 {
		return nil
	}
	results, err := x.bulk(ctx, items, Later)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.fault != nil && r.fault.status != http.StatusNotFound { // gone already
			return r.fault
		}
	}
	return nil
}

// Remove implements index.Index. When it has returned, nobody finds the
// episode, whatever Refresh is; what was said in it is no longer held.
func (x *Index) Remove(ctx context.Context, id episode.ID, revision episode.Revision) (index.Result, error) {
	e, err := encodeRemoval(id, revision)
	if err != nil {
		return "", err
	}
	result, err := x.settled(ctx, func(ctx context.Context) (index.Result, error) { return x.remove(ctx, e) })
	if err != nil {
		return "", failed("remove "+string(id)+" from "+x.writeEpisodes(), err)
	}
	return result, nil
}

func (x *Index) remove(ctx context.Context, e encoded) (index.Result, error) {
	there, err := x.look(ctx, e.id)
	if err != nil {
		return "", err
	}
	result := index.Stored
	switch {
	case there.found && there.edition == e.edition:
		result = index.Unchanged
	case there.found && e.edition.older(there.edition):
		return index.Overtaken, nil
	default:
		results, err := x.bulk(ctx, []item{x.writing().episodeItem(e)}, Now)
		switch {
		case err != nil:
			return "", err
		case results[0].overtaken():
			return index.Overtaken, nil
		case results[0].fault != nil:
			return "", results[0].fault
		}
	}
	// What was just put may not be visible to the search that looks for it, nor a
	// removal that was cut short to any other.
	if err := x.refresh(ctx, x.writeEpisodes(), x.writeSegments()); err != nil {
		return "", err
	}
	for {
		editions, err := x.editions(ctx, e.id)
		if err != nil {
			return "", err
		}
		gone := standing{editions: editions}.older(e.edition)
		if len(gone) == 0 {
			return result, nil
		}
		if err := x.clear(ctx, e.id, gone); err != nil {
			return "", err
		}
		if err := x.refresh(ctx, x.writeSegments()); err != nil {
			return "", err
		}
	}
}

func (x *Index) refresh(ctx context.Context, indices ...string) error {
	return x.call(ctx, func(ctx context.Context) error {
		answer, err := x.client.Refresh(indices...).Do(ctx)
		if err == nil && answer.Shards != nil && answer.Shards.Failed > 0 {
			return fmt.Errorf("%d of %d shards did not refresh", answer.Shards.Failed, answer.Shards.Total)
		}
		return err
	})
}
