package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"testing"

	"gocloud.dev/blob"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/artifact"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/origin"
)

// settled gives all that must be the same whatever happened on the way: each
// episode's entry in the index and its record, and every file at the origin. It
// checks besides what must hold without a comparison: every object that a
// manifest names is there with its hash, a search finds each episode once and
// where its words were said, and nothing waits, nor was given up.
func (s *site) settled(t *testing.T, events []episode.Event) map[string]string {
	t.Helper()
	s.drained(t)
	out := map[string]string{}
	artifacts := artifact.New(s.open(t, s.artifacts).Bucket, t.TempDir())
	engine := &dag.Engine{Store: artifacts, Ledger: artifacts}
	for _, e := range events {
		report, ok, err := engine.Last(t.Context(), string(e.ID))
		if err != nil || !ok {
			t.Errorf("%s: no last run: %v", e.Title, err)
			continue
		}
		record, err := artifacts.Part(report.Subject).Read(t.Context(), report.Decision("record").Hash)
		if err != nil {
			t.Errorf("%s: record: %v", e.Title, err)
		}
		out["record of "+e.Title] = string(record)
		entry, err := s.index.Get(t.Context(), e.ID)
		if err != nil {
			t.Errorf("%s: index: %v", e.Title, err)
			continue
		}
		doc, err := episode.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		out["entry of "+e.Title] = string(doc)
		s.found(t, entry)
		s.segments(t, entry)
	}
	s.published(t, out)
	return out
}

// same compares what is with what an undisturbed run left.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, body := range want {
		if there, ok := got[name]; !ok {
			t.Errorf("missing: %s", name)
		} else if there != body {
			t.Errorf("%s differs from the undisturbed run's (%d and %d bytes)", name, len(there), len(body))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("not in the undisturbed run: %s", name)
		}
	}
}

// only is what of all is about some events.
func only(all map[string]string, events []episode.Event) map[string]string {
	out := map[string]string{}
	for _, e := range events {
		for _, name := range []string{"record of " + e.Title, "entry of " + e.Title, "origin's " + origin.ManifestName(e.ID), "origin's episodes/" + string(e.ID) + "/objects.json"} {
			out[name] = all[name]
		}
		var m origin.Manifest
		if json.Unmarshal([]byte(all["origin's "+origin.ManifestName(e.ID)]), &m) != nil || m.Preview == nil {
			continue
		}
		for _, r := range m.Preview.Renditions {
			out["origin's "+r.Object] = all["origin's "+r.Object]
		}
	}
	return out
}

// found searches for an episode's own word, and for what is said in it first and
// last.
func (s *site) found(t *testing.T, e index.Entry) {
	t.Helper()
	word := e.Title[strings.LastIndexByte(e.Title, ' ')+1:]
	if page := s.search(t, word); page.Total != 1 || len(page.Hits) != 1 || page.Hits[0].ID != e.ID {
		t.Errorf("%s: the search for %s finds %d: %+v", e.Title, word, page.Total, page.Hits)
	}
	for _, i := range []int{0, len(e.Segments) - 1} {
		page := s.search(t, `"`+e.Segments[i].Text+`"`)
		ok := page.Total == 1 && len(page.Hits) == 1 && page.Hits[0].ID == e.ID && len(page.Hits[0].Moments) == 1
		if !ok {
			t.Errorf("%s: what is said in segment %d finds %d: %+v", e.Title, i, page.Total, page.Hits)
			continue
		}
		if m := page.Hits[0].Moments[0]; m.Segment != i || m.Span != e.Segments[i].Span || m.Text != e.Segments[i].Text {
			t.Errorf("%s: segment %d is found as %+v", e.Title, i, m)
		}
	}
}

func (s *site) search(t *testing.T, text string) index.Page {
	t.Helper()
	page, err := s.index.Search(t.Context(), index.Query{Text: text, Moments: index.MaxMoments})
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// raw asks Elasticsearch, past our driver.
func (s *site) raw(t *testing.T, path string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.elasticsearch+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", path, answer.Status, err)
	}
}

// segments looks at the documents themselves. Those of the episode's edition,
// which alone searches show, are there once each; none is there of an episode
// that was taken down.
func (s *site) segments(t *testing.T, e index.Entry) {
	t.Helper()
	var head struct {
		Source struct{ Edition string } `json:"_source"`
	}
	s.raw(t, fmt.Sprintf("/%s-episodes/_doc/%s", s.aliases, e.ID), &head)
	var all struct {
		Hits struct {
			Hits []struct {
				Source struct {
					Edition string
					N       int
				} `json:"_source"`
			}
		}
	}
	s.raw(t, fmt.Sprintf("/%s-segments/_search?size=10000&q=episode:%%22%s%%22", s.aliases, e.ID), &all)
	numbers := map[int]int{}
	stale := 0
	for _, h := range all.Hits.Hits {
		if h.Source.Edition == head.Source.Edition {
			numbers[h.Source.N]++
		} else {
			stale++
		}
	}
	for n := range e.Segments {
		if numbers[n] != 1 {
			t.Errorf("%s: segment %d is in the index %d times", e.Title, n, numbers[n])
		}
	}
	if len(numbers) != len(e.Segments) {
		t.Errorf("%s: %d segments are in the index, and %d in the episode", e.Title, len(numbers), len(e.Segments))
	}
	if e.Removed && len(all.Hits.Hits) > 0 {
		t.Errorf("%s was taken down, and %d of its segments are held", e.ID, len(all.Hits.Hits))
	}
	if stale > 0 {
		t.Logf("%s: %d segments of other editions are left, which no search shows", e.ID, stale)
	}
}

// published reads every file at the origin, and checks it by the hash in its
// name, and every manifest by what it names.
func (s *site) published(t *testing.T, into map[string]string) {
	t.Helper()
	store := s.open(t, s.origin)
	files := store.Bucket.List(&blob.ListOptions{})
	for {
		object, err := files.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := store.Bucket.ReadAll(t.Context(), object.Key)
		if err != nil {
			t.Fatal(err)
		}
		into["origin's "+object.Key] = string(body)
		sum := sha256.Sum256(body)
		name := strings.TrimSuffix(path.Base(object.Key), path.Ext(object.Key))
		switch {
		case strings.HasPrefix(object.Key, "previews/"):
			if hash := hex.EncodeToString(sum[:]); hash != name {
				t.Errorf("%s has the hash %s", object.Key, hash)
			}
		case name == "preview":
			s.manifest(t, store, body)
		}
	}
}

func (s *site) manifest(t *testing.T, store origin.Store, body []byte) {
	t.Helper()
	var m origin.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Errorf("a manifest cannot be read: %v: %s", err, body)
		return
	}
	if m.Removed {
		return
	}
	for _, r := range m.Preview.Renditions {
		object, err := store.Bucket.ReadAll(t.Context(), r.Object)
		sum := sha256.Sum256(object)
		if err != nil || hex.EncodeToString(sum[:]) != r.SHA256 || int64(len(object)) != r.Bytes {
			t.Errorf("the manifest of %s names %s: %d bytes, %v", m.ID, r.Object, len(object), err)
		}
	}
}
