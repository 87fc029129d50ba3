package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
)

// standInStream submits events and takes them through the stand-in.
func standInStream(t *testing.T, state string, events ...episode.Event) string {
	t.Helper()
	var lines strings.Builder
	for _, e := range events {
		if err := json.NewEncoder(&lines).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	submit := builtCommand(t, "submit", "--state", state, "-")
	submit.Stdin = strings.NewReader(lines.String())
	if out, err := submit.CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	out, errs, code := program(t, "stream", "--state", state, "--stand-in", "3ms", "--until-empty", "-o", "json")
	if code != exitOK {
		t.Fatalf("stream: exit code %d\n%s%s", code, out, errs)
	}
	return out
}

func standInEvent(id string, revision episode.Revision) episode.Event {
	return episode.Event{ID: episode.ID(id), Title: "Title of " + id, Revision: revision,
		Enclosure: episode.Enclosure{URL: "https://cdn.example.org/" + id + "-" + string(rune('a'+revision%26)) + ".mp3"}}
}

// age makes all files below a folder look as if they had been written before.
func age(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGCDeletesWhatNothingNamesAndWhatIsPastItsTime(t *testing.T) {
	state := t.TempDir()
	standInStream(t, state, standInEvent("e1", 1000), standInEvent("e2", 1000))
	first := len(previews(t, state))
	standInStream(t, state, standInEvent("e1", 1001)) // other audio: another preview
	if n := len(previews(t, state)); n <= first {
		t.Fatalf("%d objects, %d before: the newer revision has no preview of its own", n, first)
	}
	age(t, state, 8*24*time.Hour)
	gc := func(args ...string) (c collected) {
		t.Helper()
		out, errs, code := program(t, append([]string{"origin", "gc", "--state", state, "-o", "json"}, args...)...)
		if code != exitOK {
			t.Fatalf("gc %v: exit code %d\n%s", args, code, errs)
		}
		if err := json.Unmarshal([]byte(out), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := len(previews(t, state))
	dry := gc("--dry-run")
	if len(previews(t, state)) != before || dry.Origin.Deleted.Objects == 0 || dry.Artifacts.Deleted[keptEnclosure].Objects != 3 {
		t.Errorf("dry run: %+v, %d of %d objects left", dry, len(previews(t, state)), before)
	}
	done := gc()
	if done.Origin.Deleted != dry.Origin.Deleted || done.Artifacts.Deleted[keptEnclosure] != dry.Artifacts.Deleted[keptEnclosure] {
		t.Errorf("it did something else than the dry run said: %+v, %+v", done, dry)
	}
	if got := len(previews(t, state)); got != first {
		t.Errorf("%d preview objects are left, want those of two editions: %d", got, first)
	}
	if again := gc(); again.Origin.Deleted.Objects != 0 || again.Artifacts.Deleted[keptEnclosure].Objects != 0 {
		t.Errorf("a second time: %+v", again)
	}
	// What was derived from the enclosures stays valid: nothing runs but effects.
	standInStream(t, state, standInEvent("e2", 1000))
	out, errs, code := program(t, "explain", "--state", state, "e2", "-o", "json")
	if code != exitOK || strings.Contains(out, `"node": "fetch",
      "status": "ran"`) || !strings.Contains(out, `"status": "reused"`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestTheIndexIsRebuiltFromTheArtifacts(t *testing.T) {
	state := t.TempDir()
	standInStream(t, state, standInEvent("e1", 1000), standInEvent("e2", 1000), standInEvent("e3", 1000))
	if out, errs, code := program(t, "remove", "--state", state, "e3", "--now"); code != exitOK {
		t.Fatalf("remove: exit code %d\n%s%s", code, out, errs)
	}
	search := func() string {
		t.Helper()
		out, errs, code := program(t, "search", "--state", state, "-o", "json", "--limit", "100")
		if code != exitOK {
			t.Fatalf("search: exit code %d\n%s", code, errs)
		}
		return out
	}
	before := search()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(state, "index.db"+suffix)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if out, errs, code := program(t, "index", "rebuild", "--state", state); code != exitOK || !strings.Contains(out, "2 episodes") {
		t.Fatalf("rebuild: exit code %d\n%s%s", code, out, errs)
	}
	if after := search(); after != before {
		t.Errorf("search finds\n%s\nbefore it found\n%s", after, before)
	}
	if _, errs, code := program(t, "index", "swap", "--state", state); code != exitUsage || !strings.Contains(errs, "embedded") {
		t.Errorf("swap of the embedded index: exit code %d, %s", code, errs)
	}
}
