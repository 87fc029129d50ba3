package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/artifact"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/index/sqlite"
	"github.com/earshot-fm/earshot/workers/origin/bucket"
	"github.com/earshot-fm/earshot/workers/queue"
)

var kills = flag.Int("kills", 56, "how often TestKill kills the program at least")

// killFeed is two of the sample's episodes: one that is recognised and one in
// a language that has no recogniser.
const killFeed = `<?xml version="1.0"?><rss version="2.0" xmlns:podcast="https://podcastindex.org/namespace/1.0"><channel>
<title>Kill</title><podcast:guid>9162f355-a623-5c9f-bf22-dfa2c3cbd2df</podcast:guid>
<item><title>Dog</title><guid>dog</guid><pubDate>Mon, 02 Nov 2026 06:00:00 GMT</pubDate><enclosure url="%[1]s/old-dog.wav" length="1" type="audio/wav"/></item>
<item><title>Atelier</title><guid>atelier</guid><pubDate>Tue, 03 Nov 2026 06:00:00 GMT</pubDate><enclosure url="%[1]s/atelier.m4a" length="1" type="audio/mp4"/></item>
</channel></rss>`

// TestKill kills the real program as kill -9 does, at the start and the end of
// every node and between the last effect and the acknowledgement. Started again
// on the same folder it must end with what an undisturbed run ends with: every
// episode there, records and previews the same bytes, nothing left in the queue.
func TestKill(t *testing.T) {
	feed := killServer(t)
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "fetch: {allow_private: [127.0.0.0/8]}\nworker: {slots: 2, visibility: 1s, max_deliveries: 100000}\n")
	start := func(state string, extra ...string) (string, int) {
		out, errs, code := program(t, append([]string{"stream", "--config", config, "--state", state, "--feed", feed, "--until-empty"}, extra...)...)
		return out + errs, code
	}

	undisturbed := t.TempDir()
	if log, code := start(undisturbed); code != exitOK {
		t.Fatalf("undisturbed run: exit code %d\n%s", code, log)
	}
	want := contents(t, undisturbed)
	if len(want) == 0 {
		t.Fatal("the undisturbed run left nothing to compare")
	}

	points := []string{}
	for _, n := range nodeNames(t, config) {
		points = append(points, n+":started", n+":stopped")
	}
	points = append(points, "verdict")
	killed := 0
	for round := 0; killed < *kills; round++ {
		if round > *kills {
			t.Fatalf("only %d kills in %d rounds", killed, round)
		}
		state := t.TempDir()
		for _, point := range points {
			// The n-th time: the first episode's node, then the second's.
			log, code := start(state, "--die-at", fmt.Sprintf("%s:%d", point, 1+round%2))
			switch code {
			case -1:
				killed++
			case exitOK: // what was left to do no longer came by that point
			default:
				t.Fatalf("round %d, %s: exit code %d\n%s", round, point, code, log)
			}
		}
		if log, code := start(state); code != exitOK {
			t.Fatalf("round %d: last start: exit code %d\n%s", round, code, log)
		}
		got := contents(t, state)
		for name, body := range want {
			if got[name] != body {
				t.Errorf("round %d: %s differs from the undisturbed run's (%d and %d bytes)", round, name, len(got[name]), len(body))
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("round %d: %s is not in the undisturbed run", round, name)
			}
		}
	}
	t.Logf("%d kills", killed)
}

func killServer(t *testing.T) (feed string) {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("../../sample/feed")))
	mux.HandleFunc("/kill.xml", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, killFeed, "http://"+r.Host)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/kill.xml"
}

func nodeNames(t *testing.T, config string) []string {
	t.Helper()
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := parseConfig(b)
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := cfg.catalog()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := cfg.spec(catalog)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range spec.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// contents is all that must be the same: every file at the origin, and each
// episode's record and entry in the index, without the revision, which says
// when the poller saw the episode. Dead letters and waiting events are faults.
func contents(t *testing.T, state string) map[string]string {
	t.Helper()
	ctx := context.Background()
	out := map[string]string{}
	q, err := queue.Open(ctx, filepath.Join(state, "queue.db"), queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	err = q.Sift(ctx, func(l workers.DeadLetter) (workers.Fate, error) {
		t.Errorf("dead letter: %+v", l)
		return workers.Keep, nil
	})
	if err != nil {
		t.Error(err)
	}
	store, err := bucket.Open(ctx, filepath.Join(state, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	artifacts := artifact.New(store.Bucket, t.TempDir())
	engine := &dag.Engine{Store: artifacts, Ledger: artifacts}
	idx, err := sqlite.Open(ctx, filepath.Join(state, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer idx.Close()
	for _, guid := range []string{"dog", "atelier"} {
		id := episode.NewID("9162f355-a623-5c9f-bf22-dfa2c3cbd2df", guid)
		report, ok, err := engine.Last(ctx, string(id))
		if err != nil || !ok {
			t.Fatalf("%s: no last run: %v", guid, err)
		}
		body, err := artifacts.Part(report.Subject).Read(ctx, report.Decision("record").Hash)
		if err != nil {
			t.Fatalf("%s: record: %v", guid, err)
		}
		out["record "+guid] = revisionless(t, body)
		entry, err := idx.Get(ctx, id)
		if err != nil {
			t.Fatalf("%s: index: %v", guid, err)
		}
		entry.Version.Revision = 0
		doc, err := episode.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		out["index "+guid] = string(doc)
	}
	origin := filepath.Join(state, "origin")
	err = filepath.WalkDir(origin, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		name, _ := filepath.Rel(origin, path)
		if filepath.Ext(path) == ".json" {
			body = []byte(revisionless(t, body))
		}
		out["origin "+name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var revisionField = regexp.MustCompile(`"revision": ?\d+`)

func revisionless(t *testing.T, body []byte) string {
	t.Helper()
	return revisionField.ReplaceAllString(string(body), `"revision": 0`)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
