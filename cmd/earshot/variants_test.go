package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag"
)

// Every runner finds its graphs by their place in sessions: a variant's have
// other names.
func TestModelsOfEveryFamilyRunAsAVariant(t *testing.T) {
	for _, m := range oneOfEachFamily(t) {
		f := m.Manifest
		folder := filepath.Join(t.TempDir(), f.Name)
		if err := os.CopyFS(folder, os.DirFS(filepath.Join("../../models/parity", f.Name))); err != nil {
			t.Fatal(err)
		}
		var names []string
		files := ""
		for _, name := range f.Sessions {
			b, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			other := strings.TrimSuffix(name, ".onnx") + ".int8.onnx"
			write(t, filepath.Join(folder, other), string(b))
			names = append(names, other)
			files += "  " + other + ": " + sumOf(b) + "\n"
		}
		manifest := filepath.Join(folder, "model.yaml")
		b, err := os.ReadFile(manifest)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "\nfiles:\n", "\nfiles:\n"+files, 1) + "variants: {int8: {sessions: [" + strings.Join(names, ", ") + "]}}\n"
		write(t, manifest, text)
		ref := f.Name + ":int8"
		out, stderr, code := command(t, "models", "verify", ref, "--models", folder, "-o", "json")
		var all []verifiedModel
		if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK || len(all) != 1 {
			t.Fatalf("%s: exit code %d, %v, %s", ref, code, err, stderr)
		}
		if v := all[0]; v.Model != f.Ref()+":int8" || v.Items < 2 || len(v.Faults) > 0 {
			t.Errorf("%+v", v)
		}
	}
}

func TestVariantsAreListedShownAndVerified(t *testing.T) {
	fixed := ownModel(t, "earshot-sound", "my-sound", "int8: {sessions: [model.int8.onnx]}", "int8: {sessions: [model.int8.onnx], batch: {max_items: 4, fixed: true}}")
	out, stderr, code := command(t, "models", "list", "-o", "json", "--models", fixed)
	var all []listedModel
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	line := func(ref string) listedModel {
		i := slices.IndexFunc(all, func(m listedModel) bool { return m.Model == ref })
		if i < 0 {
			t.Fatalf("no %s in %s", ref, out)
		}
		return all[i]
	}
	own, small := line("my-sound@3"), line("my-sound@3:int8")
	if own.Precision != "fp32" || own.BatchFixed || own.BatchItems != 16 || !slices.Equal(own.Precisions, []string{"fp32", "int8"}) {
		t.Errorf("%+v", own)
	}
	if small.Precision != "int8" || !small.BatchFixed || small.BatchItems != 4 || small.SHA256 == own.SHA256 {
		t.Errorf("%+v", small)
	}
	out, _, _ = command(t, "models", "list", "--models", fixed)
	for _, want := range []string{"my-sound@3:int8", "always 4", "up to 16"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	out, stderr, code = command(t, "models", "show", "my-sound:int8", "--models", fixed)
	for _, want := range []string{"precision  int8 (also my-sound@3:fp32)", "sessions   model.int8.onnx", "batch      always 4 items"} {
		if code != exitOK || !strings.Contains(out, want) {
			t.Errorf("exit code %d, %s, no %q in\n%s", code, stderr, want, out)
		}
	}
	// A model is verified in each of its precisions, by its folder and by its name.
	for _, args := range [][]string{{"--models", fixed}, {"my-sound", "--models", fixed}} {
		out, stderr, code := command(t, append([]string{"models", "verify"}, args...)...)
		if code != exitOK || !strings.Contains(out, "my-sound@3: good") || !strings.Contains(out, "my-sound@3:int8: good") {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, stderr)
		}
	}
	if _, stderr, code := command(t, "models", "verify", "my-sound:fp16", "--models", fixed); code != exitUsage || !strings.Contains(stderr, `my-sound@3: no such model in the catalog in precision "fp16" (has fp32, int8)`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestAVariantThatIsMistakenIsNotAdded(t *testing.T) {
	mine := ownModel(t, "earshot-sound", "my-sound", "int8: {sessions", "fp16: {sessions")
	out, stderr, code := command(t, "models", "add", mine, "--state", t.TempDir())
	if code != exitOK || !strings.Contains(out, "fp32 and fp16") {
		t.Errorf("exit code %d, %s%s", code, out, stderr)
	}
	wrong := ownModel(t, "earshot-sound", "my-sound", "sessions: [model.int8.onnx]", "sessions: [model.int4.onnx]")
	if _, stderr, code := command(t, "models", "add", wrong, "--state", t.TempDir()); code != exitUsage || !strings.Contains(stderr, `variants.int8.sessions[0]: "model.int4.onnx" is not in files`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// The configuration pins a precision; another gives other keys.
func TestTheConfigurationPinsAPrecision(t *testing.T) {
	file, state := shortEpisode(t, 10), t.TempDir()
	keys := map[string]bool{}
	for model, want := range map[string]string{"earshot-sound": "earshot-sound@3", "earshot-sound:fp32": "earshot-sound@3", "earshot-sound:int8": "earshot-sound@3:int8", "earshot-sound@3:int8": "earshot-sound@3:int8"} {
		config := filepath.Join(t.TempDir(), "config.yaml")
		write(t, config, "graph: {nodes: {fetch: {}, decode: {}, sound-events: {model: "+model+"}}}\n")
		if _, stderr, code := command(t, "config", "check", config); code != exitOK {
			t.Fatalf("%s: exit code %d, %s", model, code, stderr)
		}
		if _, stderr, code := command(t, "enrich", "--config", config, "--target", "sound-events", "--state", state, file); code != exitOK {
			t.Fatalf("%s: exit code %d, %s", model, code, stderr)
		}
		out, stderr, code := command(t, "explain", "-o", "json", "--config", config, "--state", state, file)
		var report dag.Report
		if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
			t.Fatalf("%s: exit code %d, %v, %s", model, code, err, stderr)
		}
		d := report.Decision("sound-events")
		if d.Status == dag.Ran && d.Detail["model"] != want || d.Key == "" {
			t.Errorf("%s: %+v", model, d)
		}
		keys[d.Key] = true
		if out, _, _ := command(t, "models", "show", model, "--config", config); !strings.Contains(out, "nodes      sound-events") {
			t.Errorf("%s:\n%s", model, out)
		}
	}
	if len(keys) != 2 {
		t.Errorf("%d keys for two precisions", len(keys))
	}
	config := filepath.Join(t.TempDir(), "config.yaml")
	write(t, config, "graph: {nodes: {fetch: {}, decode: {}, sound-events: {model: earshot-sound:fp16}}}\n")
	if _, stderr, code := command(t, "config", "check", config); code != exitUsage || !strings.Contains(stderr, `graph.nodes.sound-events.model: no model "earshot-sound:fp16" in the catalog (has earshot-sound, earshot-sound:fp32, earshot-sound:int8, earshot-sound@3, `) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
