package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownModel copies a built-in model under another name, as a user's own.
func ownModel(t *testing.T, builtIn, name, old, new string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../../models/pack", builtIn))); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "model.yaml")
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "name: "+builtIn, "name: "+name, 1)
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q", manifest, old)
	}
	write(t, manifest, strings.Replace(text, old, new, 1))
	return dir
}

func TestAModelOfTheCommandLineTakesOverItsNode(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	for _, dir := range []string{mine, filepath.Dir(mine)} {
		out, stderr, code := command(t, "graph", "show", "-o", "json", "--models", dir)
		var nodes []graphNode
		if err := json.Unmarshal([]byte(out), &nodes); err != nil || code != exitOK {
			t.Fatalf("%s: exit code %d, %v, %s", dir, code, err, stderr)
		}
		for _, n := range nodes {
			if n.Name == "speech" && n.Model != "my-vad@1" || n.Name == "language" && n.Model != "earshot-langid" {
				t.Errorf("%s: node %s runs %s", dir, n.Name, n.Model)
			}
		}
	}
}

func TestWhatModelsOfTheCommandLineCannotBe(t *testing.T) {
	one, two := ownModel(t, "earshot-vad", "one-vad", "", ""), ownModel(t, "earshot-vad", "two-vad", "", "")
	other := ownModel(t, "earshot-vad", "other", "family: frame-classifier", "family: crystal-ball")
	tasked := ownModel(t, "earshot-vad", "tasked", "task: speech", "task: weather")
	mistaken := ownModel(t, "earshot-vad", "mistaken", "version: 1", "version: 0")
	for name, c := range map[string]struct {
		dirs []string
		want string
	}{
		"two of a task": {[]string{one, two}, "one-vad@1 (" + one + ") and two-vad@1 (" + two + ") are both models for speech: give the folder of one, or choose with models.folders and graph.nodes.speech.model"},
		"none":          {[]string{t.TempDir()}, "no model is there"},
		"a file":        {[]string{filepath.Join(one, "model.yaml")}, "it is a file: name the folder that has its model.yaml"},
		"a mistake":     {[]string{mistaken}, filepath.Join(mistaken, "model.yaml") + ": version: want 1 or more, got 0"},
		"no folder":     {[]string{filepath.Join(one, "none")}, "no such file"},
		"task":          {[]string{tasked}, "tasked@1 is a model for weather, and the graph has no such node"},
	} {
		for _, args := range [][]string{{"graph", "check"}, {"enrich", "../../sample/feed/old-dog.wav", "--state", t.TempDir()}} {
			for _, d := range c.dirs {
				args = append(args, "--models", d)
			}
			if _, stderr, code := command(t, args...); code != exitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("%s: %s: exit code %d, %s\nwant %s", name, args[0], code, stderr, c.want)
			}
		}
	}
	for dir, want := range map[string]string{
		t.TempDir(): "no model is there",
		tasked:      `tasked@1 is a model for "weather", and a task is one of ads, highlight, keywords`,
	} {
		if _, stderr, code := command(t, "models", "verify", "--models", dir); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("verify: exit code %d, %s\nwant %s", code, stderr, want)
		}
	}
	if _, stderr, code := command(t, "models", "show", one); code != exitUsage || !strings.Contains(stderr, one+" is a folder: give it as --models "+one) {
		t.Errorf("show: exit code %d, %s", code, stderr)
	}
	want := `other@1 is of family "crystal-ball", and a model for speech can be one of`
	if _, stderr, _ := command(t, "models", "verify", "--models", other); !strings.Contains(stderr, want) {
		t.Errorf("family: %s", stderr)
	}
}

func TestAModelIsShown(t *testing.T) {
	out, stderr, code := command(t, "models", "show", "earshot-sound")
	if code != exitOK {
		t.Fatal(stderr)
	}
	for _, want := range []string{"task       sound-events, family frame-classifier", "licence    Apache-2.0", "nodes      sound-events", "model.onnx, 1606294 bytes", "logmel float32[batch, frames, 64]", "Music", "# earshot-sound"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	out, _, _ = command(t, "models", "show", "earshot-sound", "-o", "json")
	var shown shownModel
	if err := json.Unmarshal([]byte(out), &shown); err != nil || len(shown.Labels) < 12 || shown.Inputs[0].Name != "logmel" {
		t.Errorf("%v, %s", err, out)
	}
}

func TestBuiltInModelsPassVerification(t *testing.T) {
	out, stderr, code := command(t, "models", "verify", "-o", "json")
	var all []verifiedModel
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK || len(all) < 7 {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	for _, v := range all {
		if v.Items == 0 || len(v.Batches) == 0 || len(v.Faults) > 0 {
			t.Errorf("%+v", v)
		}
	}
}
