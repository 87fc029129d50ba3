package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/gpu"
)

// enriched is the content of records that enrich printed: all but how they came
// about.
func enriched(t *testing.T, stdout string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for d := json.NewDecoder(strings.NewReader(stdout)); d.More(); {
		var record map[string]any
		if err := d.Decode(&record); err != nil {
			t.Fatal(err)
		}
		delete(record, "run")
		delete(record["episode"].(map[string]any), "revision") // when it was seen
		out = append(out, record)
	}
	return out
}

// TestLittleMemoryChangesNothingButTheTime enriches two episodes with memory for
// some of the models: they take turns, and the records are the same to the bit.
// With too little for the recogniser, all that the rest can give is there.
func TestLittleMemoryChangesNothingButTheTime(t *testing.T) {
	run := func(config string, known ...gpu.Profile) (records []map[string]any, metrics, stderr string) {
		dir := t.TempDir()
		profiles, err := gpu.OpenProfiles(profilesPath(filepath.Join(dir, "state")))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range known {
			if err := profiles.Put(p); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(dir, "config.yaml"), config)
		stdout, stderr, code := program(t, "enrich", "-o", "json", "--config", filepath.Join(dir, "config.yaml"), "--state", filepath.Join(dir, "state"),
			"--metrics", filepath.Join(dir, "metrics"), "../../sample/feed/old-dog.wav", "../../sample/feed/penalty-night.mp3")
		if code != exitOK {
			t.Fatal(stderr)
		}
		b, err := os.ReadFile(filepath.Join(dir, "metrics"))
		if err != nil {
			t.Fatal(err)
		}
		return enriched(t, stdout), string(b), stderr
	}
	h, err := openHardware(t.Context(), deviceConfig{Kind: devicesCPU}, newProbers(), notLeftOut)
	if err != nil {
		t.Fatal(err)
	}
	key := gpu.KeyOf(builtIn(t, "earshot-en"), h.devices[0], h.runtime)
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	plenty, metrics, _ := run("{}\n")
	if n := total(t, metrics, `earshot_evictions_total{.*reason="room"}`); n != 0 {
		t.Errorf("%v models made room where there is plenty", n)
	}
	// Guessed, the recogniser takes 40 MB, 67 while it opens, and all others 56.
	little, metrics, _ := run("device: {memory_bytes: 100000000, warm_up: never}\n")
	if n := total(t, metrics, `earshot_evictions_total{.*reason="room"}`); n == 0 {
		t.Error("no model made room for another")
	}
	if len(plenty) != 2 || !reflect.DeepEqual(plenty, little) {
		t.Errorf("with little memory:\n%v\nwant\n%v", little, plenty)
	}
	less, _, stderr := run("device: {memory_bytes: 60000000, warm_up: never}\n", gpu.Profile{
		ProfileKey: key, WeightsBytes: 59 << 20, Points: []gpu.Point{{Items: 1, Cost: 10, Bytes: 8 << 20}},
	})
	for i, record := range less {
		if record["transcript"] != nil || record["preview"] == nil || len(record["sound_events"].([]any)) == 0 {
			t.Errorf("too little memory for the recogniser: %v", record)
		}
		if gaps, _ := json.Marshal(record["gaps"]); !strings.Contains(string(gaps), "is too large for the device's memory") {
			t.Errorf("gaps of episode %d: %s", i, gaps)
		}
	}
	if n := strings.Count(stderr, "a model has no room"); n != 1 {
		t.Errorf("said %d times:\n%s", n, stderr)
	}
}

// total sums the samples of a metric, named by a pattern.
func total(t *testing.T, metrics, pattern string) float64 {
	t.Helper()
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+pattern+` (.*)$`).FindAllStringSubmatch(metrics, -1) {
		x, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += x
	}
	return sum
}
