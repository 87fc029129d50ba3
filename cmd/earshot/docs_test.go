package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The example of docs/models.md is followed to the letter.
func TestTheExampleOfTheModelsPageWorks(t *testing.T) {
	page, err := os.ReadFile("../../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "   ```yaml\n")
	block, _, closed := strings.Cut(rest, "   ```")
	if !found || !closed {
		t.Fatal("docs/models.md has no example")
	}
	graph, err := os.ReadFile("testdata/published.onnx")
	if err != nil {
		t.Fatal(err)
	}
	labels := audioSetTable()
	manifest := strings.NewReplacer("LABELS_SHA256", sumOf([]byte(labels)), "MODEL_SHA256", sumOf(graph)).Replace(block)
	dir := filepath.Join(t.TempDir(), "my-tagger")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "model.yaml"), manifest)
	write(t, filepath.Join(dir, "model.onnx"), string(graph))
	write(t, filepath.Join(dir, "labels.csv"), labels)
	state := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"models", "verify", "--models", dir}, "my-tagger@1: good"},
		{[]string{"enrich", "--models", dir, "--target", "sound-events", "--target", "record", shortEpisode(t, 6)}, `"model": "my-tagger@1"`},
		{[]string{"models", "add", dir}, "added to"},
		{[]string{"models", "show", "my-tagger"}, "sound-events, family clip-classifier"},
	} {
		out, stderr, code := command(t, append(c.args, "--state", state)...)
		if code != exitOK || !strings.Contains(out, c.want) {
			t.Errorf("earshot %s: exit code %d, %s%s", strings.Join(c.args, " "), code, out, stderr)
		}
	}
	// What is kept is named in the graph, which is written down whole.
	out, stderr, code := command(t, "config", "print", "--state", state)
	const builtIn, mine = "sound-events: {model: earshot-sound}", "sound-events: {model: my-tagger}"
	if code != exitOK || !strings.Contains(out, builtIn) || !strings.Contains(string(page), mine) {
		t.Fatalf("exit code %d, no %q in %s%s", code, builtIn, out, stderr)
	}
	config := filepath.Join(t.TempDir(), "earshot.yaml")
	write(t, config, strings.Replace(out, builtIn, mine, 1))
	if out, stderr, code := command(t, "graph", "show", "--config", config, "--state", state, "-o", "json"); code != exitOK || !strings.Contains(out, `"my-tagger"`) {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
}
