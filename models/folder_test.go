package models

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// beside writes a model to disk whose graph keeps tensors in weights.bin; the
// manifest is changed by replacing old with new.
func beside(t *testing.T, old, new string) string {
	t.Helper()
	external := fixture(t, "external.onnx")
	f := folder(t, hash(fixture(t, "affine.onnx")), hash(external))
	f["model.onnx"] = &fstest.MapFile{Data: external}
	f["weights.bin"] = &fstest.MapFile{Data: []byte("tensors")}
	manifest := strings.Replace(string(f["model.yaml"].Data), "words.txt:", "weights.bin: "+hash([]byte("tensors"))+", words.txt:", 1)
	if !strings.Contains(manifest, old) {
		t.Fatalf("the manifest has no %q", old)
	}
	f["model.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(manifest, old, new, 1))}
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, f); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAGraphMayKeepTensorsInTheModelsFolder(t *testing.T) {
	dir := beside(t, "", "")
	m, err := Load(Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	want, graph := int64(0), int64(len(fixture(t, "external.onnx")))
	if want, err = m.SessionBytes("model.onnx"); err != nil || want != graph+int64(len("tensors")) {
		t.Errorf("%d bytes, %v", want, err)
	}
	catalog, err := LoadCatalog(Dir(dir), Dir(filepath.Dir(dir)))
	if err != nil || len(catalog.All()) != 1 {
		t.Errorf("the model in its own folder and in the folder above: %v", err)
	}
}

func TestTensorsElsewhereAreRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "weights.bin")
	if err := os.WriteFile(outside, []byte("tensors"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"changed": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "weights.bin"), []byte("others"), 0o644)
		}, "the file has sha256"},
		"absent": {func(dir string) error { return os.Remove(filepath.Join(dir, "weights.bin")) }, "no such file"},
		"a link": {func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "weights.bin")); err != nil {
				return err
			}
			return os.Symlink(outside, filepath.Join(dir, "weights.bin"))
		}, "weights.bin is a symbolic link: put the file itself into the model's folder"},
		"not listed": {func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, "model.yaml"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "model.yaml"), []byte(strings.Replace(string(b), "weights.bin: "+hash([]byte("tensors"))+", ", "", 1)), 0o644)
		}, `keeps tensors in "weights.bin": list weights.bin in files`},
	} {
		dir := beside(t, "", "")
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Dir(dir)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	m := &Model{Manifest: Manifest{Files: map[string]string{"a/model.onnx": "", "weights.bin": hash(nil)}}, Files: Dir(t.TempDir())}
	for _, location := range []string{"../../weights.bin", "/etc/passwd", `..\weights.bin`, "..", "../.."} {
		if _, err := m.externalFiles("a/model.onnx", Graph{External: []string{location}}); err == nil || !strings.Contains(err.Error(), "is outside the model's folder") {
			t.Errorf("%s: %v", location, err)
		}
	}
}

func TestPortsThatNoTensorHoldsAreNamed(t *testing.T) {
	var m mistakes
	m.checkTypes("files.a.onnx", "input", []Port{{Name: "x", Type: "float16"}, {Name: "y", Type: "int64"}, {Name: "z"}})
	want := `files.a.onnx: the graph's input "x" has type float16: export the graph with float32, int64, int32, uint8 or bool at its edges
files.a.onnx: the graph's input "z" is no tensor: export the graph with tensors alone`
	if m.Error() != want {
		t.Errorf("got %s", m.Error())
	}
}

func TestLabelsComeFromAFile(t *testing.T) {
	files := folder(t, "labels: [{name: Music, id: /m/04rlf, threshold: 0.5}, {name: Speech}]", "labels_file: words.txt")
	m, err := Load(files)
	if err != nil || len(m.Manifest.Labels) != 1 || m.Manifest.Labels[0].Name != "a b c" {
		t.Fatalf("%v, %v", m, err)
	}
	labels, err := readLabels([]byte("index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/05zppz,\"Male speech, man speaking\"\n"))
	if err != nil || len(labels) != 2 || labels[1] != (Label{Name: "Male speech, man speaking", ID: "/m/05zppz"}) {
		t.Errorf("%v, %v", labels, err)
	}
	for text, want := range map[string]string{
		"index,mid,display_name\n1,/m/09x0r,Speech\n": `row 0 has index "1"`,
		"mid,display_name\n/m/09x0r,Speech\n":         `no column "index"`,
		"Speech\n\nMusic\n":                           "line 2 is empty",
	} {
		if _, err := readLabels([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"Music\nSpeech\nMusic\n": `labels[2].name: "Music" is given twice`,
		"index,mid,display_name\n0,/m/09x0r,Speech\n1,/m/05zppz,\"\"\n": "labels[1].name: is missing",
	} {
		files["words.txt"].Data = []byte(text)
		files[ManifestFile].Data = bytes.ReplaceAll(files[ManifestFile].Data, []byte(m.Manifest.Files["words.txt"]), []byte(hash([]byte(text))))
		m.Manifest.Files["words.txt"] = hash([]byte(text))
		if _, err := Load(files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	_, err = Load(folder(t, "parameters:", "labels_file: words.txt\nparameters:"))
	if err == nil || !strings.Contains(err.Error(), "labels_file: is given, and labels too: give one") {
		t.Errorf("got %v", err)
	}
}
