package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/models"
)

// shortEpisode is the first seconds of a sample episode.
func shortEpisode(t *testing.T, seconds int) string {
	t.Helper()
	b, err := os.ReadFile("../../sample/feed/old-dog.wav")
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Index(b, []byte("data"))
	perSecond := int(binary.LittleEndian.Uint32(b[28:])) // bytes (RIFF's fmt chunk)
	size := seconds * perSecond
	b = b[:data+8+size]
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[data+4:], uint32(size))
	file := filepath.Join(t.TempDir(), "short.wav")
	write(t, file, string(b))
	return file
}

// Each folder of models/parity has the architecture of a public model, small
// and with random weights: what it says is noise, but it must run from its
// folder alone.
func TestEveryFamilyRunsFromItsFolder(t *testing.T) {
	catalog, err := models.LoadCatalog(models.Dir("../../models/parity"))
	if err != nil {
		t.Fatal(err)
	}
	file := shortEpisode(t, 10)
	covered := map[string]bool{}
	for _, m := range catalog.All() {
		f := m.Manifest
		covered[f.Task+" "+f.Family] = true
		t.Run(f.Name, func(t *testing.T) {
			state, folder := t.TempDir(), filepath.Join("../../models/parity", f.Name)
			if _, stderr, code := command(t, "enrich", "--language", "en", "--models", folder, "--target", f.Task, "--state", state, file); code != exitOK {
				t.Fatalf("exit code %d, %s", code, stderr)
			}
			out, stderr, code := command(t, "explain", "-o", "json", "--models", folder, "--state", state, file)
			var report dag.Report
			if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
				t.Fatalf("exit code %d, %v, %s", code, err, stderr)
			}
			if d := report.Decision(f.Task); d.Status != dag.Ran || d.Detail["model"] != f.Ref() {
				t.Errorf("node %s: %+v", f.Task, d)
			}
		})
	}
	for _, want := range []string{
		"transcript whisper", "transcript whisper-beam-search", "transcript ctc", "transcript transducer", "language waveform-classifier",
		"sound-events patch-waveform", "sound-events clip-classifier", "speakers waveform-embedding",
	} {
		if !covered[want] {
			t.Errorf("no model of %s in models/parity", want)
		}
	}
}

// Two public models can be had as packages: make setup brings their files.
func TestThePublicModelsOfMakeSetupRun(t *testing.T) {
	cache := cmp.Or(os.Getenv("EARSHOT_CACHE"), "../../.cache")
	state := t.TempDir()
	for _, name := range []string{"silero-vad", "silero-vad-sequence", "minilm", "minilm-topics"} {
		if _, stderr, code := command(t, "models", "add", name, "--from", cache, "--state", state); code != exitOK {
			t.Fatalf("%s: exit code %d, %s", name, code, stderr)
		}
		if out, stderr, code := command(t, "models", "verify", name, "--state", state); code != exitOK || !strings.Contains(out, ": good") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}
