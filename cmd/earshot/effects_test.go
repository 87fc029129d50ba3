package main

import (
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/origin"
	"github.com/earshot-fm/earshot/workers/origin/origintest"
)

// The publisher has replaced the audio by some that gives no preview: that of
// before is not played any more.
func TestARecordWithoutAPreviewIsPublished(t *testing.T) {
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	p := publishing{origin.New(origin.Store{Bucket: bucket}, origin.Options{})}
	m, objects := origintest.Publication(1, episode.Version{Revision: 1, Generation: 1})
	if _, err := p.origin.Publish(t.Context(), m, objects); err != nil {
		t.Fatal(err)
	}
	record := &episode.Record{Episode: episode.Episode{ID: m.ID, Title: "Another", Revision: 2, Generation: 1}}
	for range 2 {
		if overtaken, err := p.Publish(t.Context(), enrich.Publication{Record: record}); err != nil || overtaken {
			t.Fatalf("overtaken %v, %v", overtaken, err)
		}
		got, _, err := p.origin.Manifest(t.Context(), m.ID)
		if err != nil || got.Version.Revision != 2 || got.Preview != nil || got.Title != "Another" {
			t.Errorf("manifest %+v, %v", got, err)
		}
	}
	record.Episode.Revision = 1
	if overtaken, err := p.Publish(t.Context(), enrich.Publication{Record: record}); err != nil || !overtaken {
		t.Errorf("an older revision: overtaken %v, %v", overtaken, err)
	}
}
