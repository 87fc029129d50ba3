package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

func TestEachMistakeInAConfigurationHasItsMessage(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d bad configurations, %v", len(files), err)
	}
	for _, f := range files {
		want, err := os.ReadFile(strings.TrimSuffix(f, ".yaml") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		_, stderr, code := command(t, "config", "check", f)
		if code != exitUsage || !strings.Contains(stderr, strings.TrimSpace(string(want))) {
			t.Errorf("%s: exit code %d, %s\nwant: %s", f, code, stderr, want)
		}
	}
}

func TestThePrintedConfigurationIsTheDefault(t *testing.T) {
	out, stderr, code := command(t, "config", "print")
	if code != exitOK {
		t.Fatal(stderr)
	}
	file := filepath.Join(t.TempDir(), "printed.yaml")
	write(t, file, out)
	if _, stderr, code := command(t, "config", "check", file); code != exitOK {
		t.Errorf("the printed configuration is not accepted: %s", stderr)
	}
	again, _, _ := command(t, "config", "print", "--config", file)
	var a, b any
	if yaml.Unmarshal([]byte(out), &a) != nil || yaml.Unmarshal([]byte(again), &b) != nil {
		t.Fatal("not YAML")
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("printed again it differs:\n%s\n%s", x, y)
	}
}

func TestUsageErrors(t *testing.T) {
	const talk = "../../sample/feed/old-dog.wav"
	for _, c := range [][]string{
		{"enrich"}, {"enrich", "/no/such/file"}, {"search", "--from", "yesterday"}, {"search", "-o", "xml"},
		{"explain"}, {"version", "extra"}, {"stream", "--die-at", "nowhere"}, {"stream", "--feed", "not-a-feed"},
		{"frobnicate"}, {"models", "verify", "no-such-model"}, {"search", "--config", "/no/such/file"},
		{"search", "words"}, {"enrich", "ftp://example.org/a.mp3"}, {"enrich", "http://"}, {"enrich", talk, "--language", "klingonish"},
		{"enrich", talk, "--target", "topis"}, {"enrich", talk, "--force", "topis"}, {"enrich", talk, "--out", "cli_test.go"},
		{"enrich", talk, "--metrics", "cli_test.go/metrics"},
	} {
		_, stderr, code := command(t, append(c, "--state", t.TempDir())...)
		if code != exitUsage || stderr == "" {
			t.Errorf("%v: exit code %d, %q", c, code, stderr)
		}
	}
}

func TestSubmittedFilesAreTakenWhereItIsAllowed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.mp3")
	write(t, empty, "")
	for _, c := range []struct{ flag, want string }{{"--local-files", "the file is empty"}, {"--local-files=false", "unless fetch.local_files is set (stream --local-files)"}} {
		state := t.TempDir()
		if _, stderr, code := command(t, "submit", empty, "--state", state); code != exitOK || !strings.Contains(stderr, "--local-files") {
			t.Errorf("submit: exit code %d, %s", code, stderr)
		}
		out, stderr, code := command(t, "stream", "--until-empty", c.flag, "--state", state)
		if code != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit code %d, %s%s", c.flag, code, out, stderr)
		}
	}
}

func TestAFullDiskWaitsForWhoeverMakesRoom(t *testing.T) {
	err := verdictError(&dag.Failure{Node: "fetch", Kind: dag.KindRetry, Err: &os.PathError{Op: "write", Path: "enclosure", Err: syscall.ENOSPC}})
	letters, events := 0, 3
	w := workers.New(func(context.Context, workers.Delivery) (workers.Outcome, error) { return "", err }, counted{&letters}, workers.Options{})
	source := once{Delivery: workers.Delivery{Attempt: 1, Failures: 100, Event: standInEvent("e", 1)}, times: events}
	if err := w.Run(t.Context(), workers.Lane{Name: "full", Source: &source, Slots: 1}); err != nil {
		t.Fatal(err)
	}
	if letters > 0 || len(source.verdicts) != events {
		t.Fatalf("%d letters, %v", letters, source.verdicts)
	}
	for _, v := range source.verdicts {
		if v.Kind != workers.Release || v.After <= 0 || !strings.Contains(v.Err.Error(), "make room") {
			t.Errorf("%v", v)
		}
	}
}

type counted struct{ filed *int }

func (l counted) File(context.Context, workers.DeadLetter) error {
	*l.filed++
	return nil
}

// once delivers one event some times, and keeps what became of it.
type once struct {
	workers.Delivery
	times    int
	verdicts []workers.Verdict
}

func (o *once) Receive(ctx context.Context, _ int, handle workers.Handler) error {
	for range o.times {
		o.verdicts = append(o.verdicts, handle(ctx, o.Delivery))
	}
	return nil
}

func TestEpisodesOfOneTitleHaveFilesOfTheirOwn(t *testing.T) {
	events := []episode.Event{
		{ID: episode.NewID("", "a/talk.mp3"), Title: "Talk"}, {ID: episode.NewID("", "b/talk.mp3"), Title: "talk"}, {ID: episode.NewID("", "c"), Title: "Other"},
	}
	want := []string{"talk-" + string(events[0].ID)[:8], "talk-" + string(events[1].ID)[:8], "other"}
	if got := exportNames(events); !slices.Equal(got, want) || got[0] == got[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTheCatalogAndTheGraphAreShown(t *testing.T) {
	out, stderr, code := command(t, "models", "list", "-o", "json")
	var list []listedModel
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	var names []string
	for _, m := range list {
		names = append(names, m.Model)
	}
	for _, want := range []string{"earshot-vad@1", "earshot-langid@4", "earshot-en@3", "earshot-sound@3", "earshot-topics@2", "earshot-ads@4", "earshot-highlight@3", "earshot-passages@2", "earshot-punctuation@1"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %v", want, names)
		}
	}
	out, _, code = command(t, "graph", "show")
	if code != exitOK || !strings.Contains(out, "highlight") {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestEditDistanceCountsWords(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a b c", "a b c", 0}, {"a b c", "", 3}, {"a b c", "a x c d", 2}, {"the end", "end the", 2}} {
		if got := editDistance(strings.Fields(c.a), strings.Fields(c.b)); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
