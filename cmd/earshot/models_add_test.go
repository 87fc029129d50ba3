package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/earshot-fm/earshot/models/public"
)

func sumOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// loopback is a configuration that lets tests ask servers of their own.
func loopback(t *testing.T, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	write(t, file, "fetch: {allow_private: [127.0.0.0/8]}\n"+more)
	return file
}

// served is a server of some files by path.
func served(t *testing.T, files map[string][]byte) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b) // a client that left is no matter
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func zipped(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAModelIsAddedFromAFolderOrAnArchive(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	write(t, filepath.Join(mine, "notes.txt"), "not the model's")
	archive := zipped(t, filepath.Dir(mine))
	onDisk := filepath.Join(t.TempDir(), "my-vad.zip")
	write(t, onDisk, string(archive))
	base := served(t, map[string][]byte{"/my-vad.zip": archive})
	config := loopback(t, "")
	for name, add := range map[string][]string{
		"folder":  {mine},
		"archive": {onDisk},
		"address": {base + "/my-vad.zip", "--sha256", sumOf(archive)},
	} {
		state := t.TempDir()
		if _, stderr, code := command(t, append([]string{"models", "add", "--state", state, "--config", config}, add...)...); code != exitOK {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
			continue
		}
		out, stderr, code := command(t, "models", "verify", "my-vad", "--state", state)
		if code != exitOK || !strings.Contains(out, "my-vad@1: good") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
		if left, err := fs.Glob(os.DirFS(filepath.Join(state, "models")), "*"); err != nil || len(left) != 1 {
			t.Errorf("%s: left %v", name, left)
		}
		if _, stderr, code := command(t, append([]string{"models", "add", "--state", state, "--config", config}, add...)...); code != exitUsage || !strings.Contains(stderr, "is there already") {
			t.Errorf("%s, again: exit code %d, %s", name, code, stderr)
		}
	}
}

func TestWhatIsNotAdded(t *testing.T) {
	mine := ownModel(t, "earshot-vad", "my-vad", "", "")
	archive := zipped(t, filepath.Dir(mine))
	base := served(t, map[string][]byte{"/my-vad.zip": archive, "/page": []byte("<html>")})
	config := loopback(t, "")
	spoilt := ownModel(t, "earshot-vad", "my-vad", "", "")
	write(t, filepath.Join(spoilt, "model.onnx"), "not the model")
	wheel := filepath.Join(t.TempDir(), "a.whl")
	write(t, wheel, string(archive))
	pointers := t.TempDir()
	for _, f := range []string{"decoder_model_merged.onnx", "encoder_model.onnx", "generation_config.json", "tokenizer.json", "silero_vad.onnx"} {
		write(t, filepath.Join(pointers, f), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no hash":            {[]string{base + "/my-vad.zip"}, "--sha256 HEX is missing"},
		"wrong hash":         {[]string{base + "/my-vad.zip", "--sha256", sumOf(nil)}, "is expected"},
		"no hash at all":     {[]string{base + "/my-vad.zip", "--sha256", "abc"}, "want 64 hexadecimal digits"},
		"no archive":         {[]string{base + "/page", "--sha256", sumOf([]byte("<html>"))}, "it is no .tar, .tar.gz or .zip"},
		"not there":          {[]string{base + "/none", "--sha256", sumOf(nil)}, "404"},
		"too large":          {[]string{base + "/my-vad.zip", "--sha256", sumOf(archive), "--max-bytes", "1000"}, "larger than 1000 bytes"},
		"unpacked too large": {[]string{base + "/my-vad.zip", "--sha256", sumOf(archive), "--max-bytes", fmt.Sprint(len(archive) + 100)}, "larger unpacked than"},
		"scheme":             {[]string{"ftp://example.org/x.zip", "--sha256", sumOf(nil)}, `scheme "ftp" is none of https, http, gs, s3`},
		"changed files":      {[]string{spoilt}, "files.model.onnx: the file has sha256"},
		"hash of a folder":   {[]string{mine, "--sha256", sumOf(archive)}, "a folder has none"},
		"files of a folder":  {[]string{mine, "--sha256", "model.onnx=" + sumOf(nil)}, "files are named for a public model alone"},
		"from, of a folder":  {[]string{mine, "--from", "x"}, "it is for a public model's name alone"},
		"a manifest":         {[]string{filepath.Join(mine, "model.yaml")}, "name the folder with its model.yaml"},
		"a family of none":   {[]string{ownModel(t, "earshot-vad", "my-vad", "family: frame-classifier", "family: crystal-ball")}, "can be one of frame-classifier, silero"},
		"a task of none":     {[]string{ownModel(t, "earshot-vad", "my-vad", "task: speech", "task: weather")}, `a task is one of ads, highlight`},
		"no folder":          {[]string{filepath.Join(mine, "none")}, "none: no such file or folder\n"},
		"an empty folder":    {[]string{t.TempDir()}, "docs/models.md says how to write a model.yaml"},
		"no bytes":           {[]string{mine, "--max-bytes", "0"}, "--max-bytes 0: want 1 or more"},
		"a file it lacks":    {[]string{"whisper-tiny", "--sha256", "encodr.onnx=" + sumOf(nil)}, `no file "encodr.onnx" in the manifest (has decoder_model_merged.onnx, `},
		"hash of what":       {[]string{"whisper-tiny", "--sha256", sumOf(nil)}, "of which file? Give --sha256 FILE=HEX (it has decoder_model_merged.onnx, "},
		"a wheel's hash":     {[]string{"silero-vad", "--from", wheel, "--sha256", sumOf(nil)}, "is expected"},
		"of a package":       {[]string{"silero-vad"}, "pip download --no-deps silero-vad"},
		"a pointer":          {[]string{"silero-vad", "--from", pointers}, "is expected"},
		"an LFS pointer":     {[]string{"whisper-tiny", "--from", pointers}, "the file is a pointer of Git LFS, not the file itself"},
		"a name":             {[]string{"whisper-gigantic"}, "no ready manifest (has "},
		"secrets":            {[]string{"https://user:hunter2@example.org/x.zip?token=hunter2"}, "--sha256 HEX is missing"},
	} {
		state := t.TempDir()
		_, stderr, code := command(t, append([]string{"models", "add", "--state", state, "--config", config}, c.args...)...)
		if code == exitOK || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: exit code %d, %s\nwant %s", name, code, stderr, c.want)
		}
		if left, err := fs.Glob(os.DirFS(filepath.Join(state, "models")), "*"); err != nil || len(left) != 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	if _, stderr, _ := command(t, "models", "add", base+"/my-vad.zip", "--sha256", sumOf(archive), "--state", t.TempDir()); !strings.Contains(stderr, "not a public address") {
		t.Errorf("a private address was asked: %s", stderr)
	}
}

// audioSetTable is a table of 527 labels in AudioSet's form.
func audioSetTable() string {
	var labels strings.Builder
	labels.WriteString("index,mid,display_name\n")
	for i := range 527 {
		fmt.Fprintf(&labels, "%d,/m/%d,\"Class %d\"\n", i, i, i)
	}
	return labels.String()
}

func TestAPublicModelIsAddedByItsName(t *testing.T) {
	graph, err := os.ReadFile("testdata/published.onnx")
	if err != nil {
		t.Fatal(err)
	}
	table := []byte(audioSetTable())
	hub := served(t, map[string][]byte{
		"/mispeech/ced-tiny/resolve/main/model.onnx":               graph,
		"/mispeech/ced-tiny/resolve/main/class_labels_indices.csv": table,
	})
	config := loopback(t, "models: {hub: "+hub+"}\n")
	state := t.TempDir()
	_, stderr, code := command(t, "models", "add", "ced-tiny", "--state", state, "--config", config)
	for _, want := range []string{
		"its graph has to be made first. CED is published for PyTorch", "export.py ced-tiny", "earshot models add ced-tiny --from FOLDER", "model.onnx: features float32[batch, 64, frames] -> logits float32[batch, 527]",
		"the sha256 of 2 files is not known here", "--sha256 model.onnx=…   (" + hub + "/mispeech/ced-tiny/resolve/main/model.onnx)", "--sha256 class_labels_indices.csv=…",
	} {
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("without hashes: exit code %d, %s\nwant %s", code, stderr, want)
		}
	}
	sums := []string{"--sha256", "model.onnx=" + sumOf(graph), "--sha256", "class_labels_indices.csv=" + sumOf(table)}
	if _, stderr, code := command(t, append([]string{"models", "add", "ced-tiny", "--state", t.TempDir()}, sums...)...); code != exitUsage || !strings.Contains(stderr, "give --from") || !strings.Contains(stderr, "mispeech/ced-tiny") {
		t.Errorf("without a hub: exit code %d, %s", code, stderr)
	}
	wrong := []string{"--sha256", "model.onnx=" + sumOf(nil), "--sha256", "class_labels_indices.csv=" + sumOf(table)}
	if _, stderr, code := command(t, append([]string{"models", "add", "ced-tiny", "--state", t.TempDir(), "--config", config}, wrong...)...); code == exitOK || !strings.Contains(stderr, "is expected") {
		t.Errorf("wrong hash: exit code %d, %s", code, stderr)
	}
	out, stderr, code := command(t, append([]string{"models", "add", "ced-tiny", "--state", state, "--config", config, "-o", "json"}, sums...)...)
	var added listedModel
	if err := json.Unmarshal([]byte(out), &added); err != nil || code != exitOK || added.Model != "ced-tiny@1" {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	if out, stderr, code := command(t, "models", "verify", "ced-tiny", "--state", state); code != exitOK || !strings.Contains(out, "ced-tiny@1: good") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	// The files of a folder are the user's own.
	dir := t.TempDir()
	write(t, filepath.Join(dir, "model.onnx"), string(graph))
	write(t, filepath.Join(dir, "class_labels_indices.csv"), string(table))
	if _, stderr, code := command(t, "models", "add", "ced-tiny", "--from", dir, "--into", filepath.Join(t.TempDir(), "models")); code != exitOK {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// Who has neither hashes nor files is told what to do, to the letter.
func TestWhatToDoForAPublicModelIsSaid(t *testing.T) {
	for _, name := range public.Names() {
		m, err := public.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		_, stderr, code := command(t, "models", "add", name, "--state", t.TempDir())
		want := []string{"--from"}
		if m.Source.Export != "" {
			want = append(want, m.Source.Export, "models/train/export.py "+name, m.Ports)
		}
		for _, f := range m.Missing(nil) {
			want = append(want, "--sha256 "+f+"=…", "earshot models add "+name+" --from FOLDER")
		}
		for _, w := range want {
			if code != exitUsage || !strings.Contains(stderr, w) {
				t.Errorf("%s: exit code %d, no %q in: %s", name, code, w, stderr)
			}
		}
	}
}

func TestReadyManifestsAreListedAndHaveRunners(t *testing.T) {
	out, stderr, code := command(t, "models", "add", "-o", "json")
	var all []struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK || len(all) < 15 {
		t.Fatalf("exit code %d, %v, %s", code, err, stderr)
	}
	for _, r := range all {
		m, err := public.Get(r.Name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Manifest(nil)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Task   string `yaml:"task"`
			Family string `yaml:"family"`
		}
		if err := yaml.Unmarshal(b, &f); err != nil || families[f.Task][f.Family] == nil {
			t.Errorf("%s: no runner for family %q of task %q, %v", r.Name, f.Family, f.Task, err)
		}
	}
}
