package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// streamed submits an event and runs the real worker until the queue is empty.
func streamed(t *testing.T, state string, e episode.Event) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	submit := builtCommand(t, "submit", "--state", state, "-")
	submit.Stdin = bytes.NewReader(b)
	if out, err := submit.CombinedOutput(); err != nil {
		t.Fatalf("submit: %v\n%s", err, out)
	}
	return emptied(t, state)
}

func emptied(t *testing.T, state string) string {
	t.Helper()
	out, errs, code := program(t, "stream", "--state", state, "--until-empty", "--local-files", "-o", "json")
	if code != exitOK {
		t.Fatalf("stream: exit code %d\n%s%s", code, out, errs)
	}
	return out
}

// leftOf lists the objects of artifacts' bytes and keys.
func leftOf(t *testing.T, state string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(state, "artifacts", "subjects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

func TestATakedownReachesEveryPlaceAndHolds(t *testing.T) {
	state := t.TempDir()
	audio, err := filepath.Abs("../../sample/feed/old-dog.wav")
	if err != nil {
		t.Fatal(err)
	}
	e := episode.Event{ID: "dog", Title: "Dog", Revision: 1000, Enclosure: episode.Enclosure{URL: "file://" + audio}}
	if out := streamed(t, state, e); !strings.Contains(out, `"outcome":"enriched"`) {
		t.Fatal(out)
	}
	if len(leftOf(t, state)) < 5 {
		t.Fatal("no artifacts: the test looks in the wrong place")
	}
	if out, errs, code := program(t, "remove", "--state", state, "dog", "--revision", "1000", "--reason", "asked for"); code != exitOK {
		t.Fatalf("remove: exit code %d\n%s%s", code, out, errs)
	}
	var line audit
	if err := json.Unmarshal([]byte(strings.SplitN(emptied(t, state), "\n", 2)[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line.ID != "dog" || line.Outcome != workers.Removed || line.Reason != "asked for" || line.Gone["index"].IsZero() || line.Gone["origin"].IsZero() || line.Gone["artifacts"].IsZero() {
		t.Errorf("audit line: %+v", line)
	}
	gone := func(after string) {
		t.Helper()
		if out, _, _ := program(t, "search", "--state", state); !strings.HasPrefix(out, "0 episodes") {
			t.Errorf("after %s search finds %s", after, out)
		}
		if left := leftOf(t, state); len(left) > 0 {
			t.Errorf("after %s these artifacts are left: %v", after, left)
		}
		if files := previews(t, state); len(files) > 0 {
			t.Errorf("after %s the origin has %v", after, files)
		}
	}
	gone("the takedown")
	if out := streamed(t, state, e); !strings.Contains(out, `"outcome":"overtaken"`) {
		t.Errorf("the same revision again: %s", out)
	}
	gone("the same revision again")
	if out, errs, code := program(t, "enrich", "--state", state, audio, "--title", "Another"); code != exitOK {
		t.Fatalf("another episode with the same audio: exit code %d\n%s%s", code, out, errs)
	}
	e.Revision = 2000
	if out := streamed(t, state, e); !strings.Contains(out, `"outcome":"enriched"`) {
		t.Errorf("a newer revision: %s", out)
	}
	if out, _, _ := program(t, "search", "--state", state); !strings.HasPrefix(out, "Dog") && !strings.Contains(out, "2 episodes") {
		t.Errorf("after a newer revision search finds %s", out)
	}
	out, errs, code := program(t, "remove", "--state", state, "dog", "--now", "-o", "json")
	if code != exitOK || !strings.Contains(out, `"outcome":"removed"`) {
		t.Errorf("remove --now: exit code %d\n%s%s", code, out, errs)
	}
}

// previews are the preview objects at an embedded origin.
func previews(t *testing.T, state string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(state, "origin", "previews"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

func TestDeadLettersOnTheCommandLine(t *testing.T) {
	state := t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken.mp3")
	write(t, broken, "no audio at all")
	e := episode.Event{ID: "broken", Title: "Broken", Podcast: "p", Revision: 1000, Enclosure: episode.Enclosure{URL: "file://" + broken}}
	streamed(t, state, e)
	e.ID, e.Title = "other", "Other"
	streamed(t, state, e)
	ids := func() (ids []string) {
		out, errs, code := program(t, "deadletters", "list", "--state", state, "-o", "json")
		if code != exitOK {
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		for line := range strings.Lines(out) {
			var l workers.DeadLetter
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			if l.Node == "" || l.Reason == "" || l.Attempts != 1 || l.Event.Podcast != "p" {
				t.Errorf("%+v", l)
			}
			ids = append(ids, l.ID)
		}
		return ids
	}
	expect := func(what string, want ...string) {
		t.Helper()
		if got := ids(); !slices.Equal(got, want) {
			t.Errorf("%s: the letters are %v, want %v", what, got, want)
		}
	}
	expect("at first", "broken@1000", "other@1000")
	for _, c := range []struct {
		args string
		code int
		says string
		left []string
	}{
		{"list", exitOK, "2 letters", []string{"broken@1000", "other@1000"}},
		{"list --node nothing", exitOK, "0 letters", []string{"broken@1000", "other@1000"}},
		{"show broken", exitOK, `"title": "Broken"`, []string{"broken@1000", "other@1000"}},
		{"show nobody", exitFailed, "no letter nobody", []string{"broken@1000", "other@1000"}},
		{"drop", exitUsage, "say which letters", []string{"broken@1000", "other@1000"}},
		{"drop --all broken", exitUsage, "say which letters", []string{"broken@1000", "other@1000"}},
		{"drop --before nonsense", exitUsage, "--before", []string{"broken@1000", "other@1000"}},
		{"replay --all --dry-run", exitOK, "2 letters would be delivered again", []string{"broken@1000", "other@1000"}},
		{"drop --podcast p --before 2020-01-01", exitOK, "0 letters dropped", []string{"broken@1000", "other@1000"}},
		{"drop other@1000", exitOK, "1 letter dropped", []string{"broken@1000"}},
		{"replay broken", exitOK, "1 letter to be delivered again", nil},
	} {
		out, errs, code := program(t, slices.Concat([]string{"deadletters", "--state", state}, strings.Fields(c.args))...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("deadletters %s: exit code %d\n%s%s", c.args, code, out, errs)
		}
		expect("after "+c.args, c.left...)
	}
	emptied(t, state)
	expect("rejected again", "broken@1000")
}
