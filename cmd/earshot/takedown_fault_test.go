package main

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/origin"
)

// TestTakenDownStaysDownWhateverFails takes episodes down while two workers are
// busy with them and services fail now and then, kills a worker, and delivers all
// that is old again. From when a takedown is done no search finds its episode;
// what a newer revision has replaced is not found either.
func TestTakenDownStaysDownWhateverFails(t *testing.T) {
	s := newSite(t, 4)
	c := newCrew(t, s)
	first := shortEpisodes(*faultCrowd)
	second := shortEpisodes(*faultCrowd)
	var removed, replaced []episode.Event
	for i := range second {
		second[i].Revision++
		second[i].Enclosure.URL = fmt.Sprintf("https://example.org/second-%d.mp3", i)
		if i%2 == 0 {
			removed = append(removed, second[i])
		} else {
			replaced = append(replaced, second[i])
		}
	}
	s.es.set(sometimes(6, cut, status(503), slow, truncated))
	s.originFront.set(sometimes(10, status(503), slow, truncated, halved))
	state := stateFolder(t)
	victim := c.hire(state)
	c.hire(stateFolder(t))
	s.publish(t, first...)
	c.until("the first", func() bool { return c.ended[edition{first[0].ID, first[0].Revision}] > 0 })
	s.publish(t, replaced...)
	for _, e := range removed {
		if err := s.pubsub.Remove(t.Context(), episode.Removal{ID: e.ID, Revision: e.Revision}); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(t, first...) // while all that goes on
	c.kill(victim)
	c.hire(state)
	c.untilDone(1, removed...) // the takedowns
	c.untilDone(1, replaced...)

	watching, stop := context.WithCancel(t.Context())
	defer stop()
	var watch sync.WaitGroup
	looks := 0
	watch.Go(func() {
		for watching.Err() == nil {
			for i := 0; i < len(first); i += 2 {
				page, err := s.index.Search(watching, index.Query{Text: ownWord(i)})
				if watching.Err() != nil {
					return
				}
				if err != nil || page.Total != 0 {
					t.Errorf("%s was taken down, and %d are found: %v", first[i].Title, page.Total, err)
				}
				looks++
			}
		}
	})
	before := 0
	c.until("", func() bool {
		for _, n := range c.ended {
			before += n
		}
		return true
	})
	s.publish(t, first...)
	s.publish(t, replaced...)
	c.until("what is old again", func() bool {
		n := 0
		for _, times := range c.ended {
			n += times
		}
		return n >= before+len(first)+len(replaced)
	})
	s.es.clear()
	s.originFront.clear()
	c.dismiss()
	stop()
	watch.Wait()
	if looks == 0 {
		t.Error("nobody has looked")
	}
	s.drained(t)
	store := s.open(t, s.origin)
	o := origin.New(store, origin.Options{})
	for _, e := range removed {
		entry, err := s.index.Get(t.Context(), e.ID)
		if err != nil || !entry.Removed {
			t.Errorf("%s: %+v, %v", e.Title, entry, err)
		}
		s.segments(t, entry)
		m, found, err := o.Manifest(t.Context(), e.ID)
		if err != nil || !found || !m.Removed {
			t.Errorf("%s: the manifest is %+v, %v", e.Title, m, err)
		}
	}
	for _, e := range replaced {
		entry, err := s.index.Get(t.Context(), e.ID)
		if err != nil || entry.Version.Revision != e.Revision {
			t.Errorf("%s: %+v, %v", e.Title, entry.Version, err)
			continue
		}
		s.found(t, entry)
		s.segments(t, entry)
	}
	s.published(t, map[string]string{})
}
