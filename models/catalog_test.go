package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/protowire"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folder is a model around testdata/affine.onnx, its manifest changed by
// replacing old with new.
func folder(t testing.TB, old, new string) fstest.MapFS {
	t.Helper()
	affine := fixture(t, "affine.onnx")
	manifest := fmt.Sprintf(`schema: earshot.model/1
name: affine
version: 1
task: topics
family: linear
licence: Apache-2.0
precision: fp32
languages: [en]
files: {model.onnx: %s, words.txt: %s}
sessions: [model.onnx]
inputs: [{name: x, type: float32, shape: [batch, steps, "4"]}]
outputs: [{name: y, type: float32, shape: [batch, steps, "3"]}]
frontend: {kind: logmel, sample_rate: 16000, fft: 512, window: 400, hop: 160, mels: 64, min_hz: 20, max_hz: 7600, scale: htk, floor: 1.0e-6, normalise: item}
batch: {max_items: 16, max_cost: 160}
labels: [{name: Music, id: /m/04rlf, threshold: 0.5}, {name: Speech}]
parameters: {hop: 3, stride: [1, 2]}
`, hash(affine), hash([]byte("a b c")))
	if !strings.Contains(manifest, old) {
		t.Fatalf("the manifest has no %q", old)
	}
	return fstest.MapFS{
		"model.yaml": {Data: []byte(strings.Replace(manifest, old, new, 1))},
		"model.onnx": {Data: affine},
		"words.txt":  {Data: []byte("a b c")},
		"README.md":  {Data: []byte("# a card")},
	}
}

func under(name string, files fstest.MapFS) fstest.MapFS {
	out := fstest.MapFS{"README.md": {Data: []byte("not a model")}}
	for path, f := range files {
		out[name+"/"+path] = f
	}
	return out
}

func TestLoadReadsAModel(t *testing.T) {
	m, err := Load(folder(t, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if m.Manifest.Ref() != "affine@1" || m.Manifest.Labels[0].ID != "/m/04rlf" || m.Manifest.Frontend.Mels != 64 || len(m.SHA256) != 64 {
		t.Errorf("%+v", m)
	}
	if b, err := m.Read("words.txt"); err != nil || string(b) != "a b c" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := m.Read("README.md"); err == nil || !strings.Contains(err.Error(), "no such file in the manifest") {
		t.Errorf("a file that no hash vouches for was read: %v", err)
	}
	var params struct {
		Hop    int     `yaml:"hop"`
		Stride []int64 `yaml:"stride"`
	}
	if err := DecodeParams(m, &params); err != nil || params.Hop != 3 || len(params.Stride) != 2 {
		t.Errorf("%+v, %v", params, err)
	}
	var fewer struct {
		Hop string `yaml:"hop"`
	}
	err = DecodeParams(m, &fewer)
	if want := "models: affine@1: parameters.stride: unknown field (has hop)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadNamesEachMistake(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"schema":           {"earshot.model/1", "earshot.model/2", `schema: want "earshot.model/1", got "earshot.model/2"`},
		"name":             {"name: affine", "name: ../affine", `name: want small letters, digits, dashes and dots, got "../affine"`},
		"version":          {"version: 1", "version: 0", "version: want 1 or more, got 0"},
		"version's type":   {"version: 1", "version: one", `version: want a whole number, got "one"`},
		"no task":          {"task: topics\n", "", "task: is missing"},
		"precision":        {"fp32", "fp31", `precision: want fp32, fp16 or int8, got "fp31"`},
		"unknown field":    {"licence:", "license:", "license: unknown field (has batch, "},
		"unknown deep":     {"x, type: float32, shape", "x, type: float32, shpe", "inputs[0].shpe: unknown field (has name, shape, type)"},
		"twice":            {"version: 1", "version: 1\nversion: 2", "version: given twice"},
		"list":             {"[model.onnx]", "model.onnx", `sessions: want a list, got "model.onnx"`},
		"fields":           {"batch: {max_items: 16, max_cost: 160}", "batch: [16]", "batch: want fields, got a list"},
		"syntax":           {"version: 1", "version: [", "line "},
		"hash's form":      {"model.onnx: ", "model.onnx: x", "files.model.onnx: want a sha256"},
		"outside":          {"words.txt:", "../words.txt:", "files.../words.txt: is not the path of a file inside the model's folder"},
		"absent":           {"words.txt:", "others.txt:", "files.others.txt: open others.txt: file does not exist"},
		"wrong hash":       {hash([]byte("a b c")), hash([]byte("c b a")), "files.words.txt: the file has sha256"},
		"no sessions":      {"sessions: [model.onnx]\n", "", "sessions: is missing"},
		"unknown session":  {"sessions: [model.onnx]", "sessions: [encoder.onnx]", `sessions[0]: "encoder.onnx" is not in files`},
		"not ONNX":         {"sessions: [model.onnx]", "sessions: [words.txt]", "files.words.txt: not an ONNX model"},
		"no inputs":        {`[{name: x, type: float32, shape: [batch, steps, "4"]}]`, "[]", "inputs: is missing"},
		"port's name":      {"name: x", "name: z", `inputs[0].name: the graph has no "z" (has x)`},
		"port's type":      {"{name: x, type: float32", "{name: x, type: int64", "inputs[0].type: is int64, and the graph's is float32"},
		"unknown type":     {"{name: x, type: float32", "{name: x, type: float", `inputs[0].type: want float32, int64, int32, uint8 or bool, got "float"`},
		"port's size":      {`steps, "4"`, `steps, "5"`, "inputs[0].shape: is [batch, steps, 5], and the graph's is [batch, steps, 4]"},
		"port's rank":      {`steps, "3"`, `"3"`, "outputs[0].shape: is [batch, 3], and the graph's is [batch, steps, 3]"},
		"dimension":        {`steps, "4"`, `steps, "0"`, `inputs[0].shape[2]: want a size of 1 or more, or a name, got "0"`},
		"batch":            {"max_items: 16", "max_items: 0", "batch.max_items: want 1 or more, got 0"},
		"cost":             {"max_cost: 160", "max_cost: -1", "batch.max_cost: want 0 (no bound) or more, got -1"},
		"label":            {"{name: Speech}", "{name: Music}", `labels[1].name: "Music" is given twice`},
		"threshold":        {"threshold: 0.5", "threshold: 50", "labels[0].threshold: want 0 to 1, got 50"},
		"no number":        {"threshold: 0.5", "threshold: .nan", "labels[0].threshold: want a number, got \".nan\""},
		"no cost":          {"max_cost: 160", "max_cost: .NaN", "batch.max_cost: want a number, got \".NaN\""},
		"front end":        {"window: 400", "window: 600", "frontend.window: want 1 sample or more, at most fft"},
		"above half":       {"max_hz: 7600", "max_hz: 9000", "frontend.max_hz: want at most half of sample_rate"},
		"front end's kind": {"logmel", "mfcc", `frontend.kind: want "logmel", "whisper", "nemo" or "ced", got "mfcc"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(folder(t, c.old, c.new))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestLoadRefusesTensorsInOtherFiles(t *testing.T) {
	external := fixture(t, "external.onnx")
	f := folder(t, hash(fixture(t, "affine.onnx")), hash(external))
	f["model.onnx"] = &fstest.MapFile{Data: external}
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), `files.model.onnx: keeps tensors in "weights.bin"`) {
		t.Errorf("got %v", err)
	}
}

func TestCatalogFindsTheNewestVersion(t *testing.T) {
	c, err := LoadCatalog(under("affine", folder(t, "", "")), under("newer", folder(t, "version: 1", "version: 12")), under("other", folder(t, "name: affine", "name: other")))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{"affine": "affine@12", "affine@1": "affine@1", "other": "other@1"} {
		if m, err := c.Get(ref); err != nil || m.Manifest.Ref() != want {
			t.Errorf("%s: %v, %v", ref, m, err)
		}
	}
	if len(c.All()) != 3 {
		t.Errorf("%d models", len(c.All()))
	}
	_, err = c.Get("affine@2")
	if want := `models: "affine@2": no such model in the catalog (has affine@1, affine@12, other@1)`; !errors.Is(err, ErrNoModel) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestCatalogRefusesTwoOfAName(t *testing.T) {
	_, err := LoadCatalog(under("affine", folder(t, "", "")), under("affine", folder(t, "linear", "affine")))
	if err == nil || !strings.Contains(err.Error(), "affine@1 is in the catalog already") {
		t.Errorf("got %v", err)
	}
}

func TestReadGraphListsPorts(t *testing.T) {
	g, err := ReadGraph(fixture(t, "affine.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(g); got != "{[{x float32 [batch steps 4]}] [{y float32 [batch steps 3]}] []}" {
		t.Error(got)
	}
}

func FuzzReadGraph(f *testing.F) {
	f.Add(fixture(f, "affine.onnx"))
	f.Add(fixture(f, "external.onnx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ReadGraph(b); err != nil && !errors.Is(err, ErrNotONNX) {
			t.Error(err)
		}
	})
}

func FuzzLoad(f *testing.F) {
	b, err := fs.ReadFile(folder(f, "", ""), ManifestFile)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("a: &a {b: *a}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		files := folder(t, "", "")
		files[ManifestFile] = &fstest.MapFile{Data: b}
		if m, err := Load(files); err == nil && m.Manifest.Name == "" {
			t.Error("a model without a name was loaded")
		}
	})
}

// field is a length-delimited field of a protobuf message.
func field(num protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
}

func TestGraphsWithinGraphsHaveAnEnd(t *testing.T) {
	var graph []byte
	for range 2 * deepest {
		graph = field(graphNode, field(nodeAttribute, field(attributeGraph, graph)))
	}
	if _, err := ReadGraph(field(modelGraph, graph)); !errors.Is(err, ErrNotONNX) || !strings.Contains(err.Error(), "within one another") {
		t.Errorf("got %v", err)
	}
}

// onnxruntime puts a function's body in the place of its calls.
func TestTensorsOfAFunctionAreListed(t *testing.T) {
	location := slices.Concat(field(entryKey, []byte("location")), field(entryValue, []byte("../secret")))
	constant := field(nodeAttribute, field(attributeTensor, field(tensorExternal, location)))
	g, err := ReadGraph(slices.Concat(field(modelGraph, nil), field(modelFunction, field(functionNode, constant))))
	if err != nil || !slices.Equal(g.External, []string{"../secret"}) {
		t.Errorf("%+v, %v", g, err)
	}
}

func FuzzReadLabels(f *testing.F) {
	f.Add([]byte("index,mid,display_name\n0,/m/09x0r,\"Speech, of a man\"\n"))
	f.Add([]byte("\ufeffSpeech\r\nMusic\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		labels, err := readLabels(b)
		if err == nil && len(labels) > len(b) {
			t.Errorf("%d labels of %d bytes", len(labels), len(b))
		}
	})
}
