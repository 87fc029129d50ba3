package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/protowire"
)

// otherGraph is testdata/affine.onnx with a producer_name: other bytes, the same
// ports.
func otherGraph(t testing.TB) []byte {
	return slices.Concat(field(2, []byte("other")), fixture(t, "affine.onnx"))
}

// varied is folder with other.onnx, a model's variants, and replacements in its
// manifest.
func varied(t testing.TB, other []byte, variants string, replacements ...string) fstest.MapFS {
	t.Helper()
	f := folder(t, "sessions: [model.onnx]", "sessions: [model.onnx]\n"+variants)
	text := strings.Replace(string(f["model.yaml"].Data), "words.txt:", "other.onnx: "+hash(other)+", words.txt:", 1)
	f["model.yaml"].Data = []byte(strings.NewReplacer(replacements...).Replace(text))
	f["other.onnx"] = &fstest.MapFile{Data: other}
	return f
}

func TestAReferencePinsAPrecision(t *testing.T) {
	old := varied(t, otherGraph(t), "variants: {int8: {sessions: [other.onnx]}, fp16: {sessions: [other.onnx], batch: {max_items: 4, fixed: true}}}")
	c, err := LoadCatalog(under("affine", old), under("newer", varied(t, otherGraph(t), "variants: {int8: {sessions: [other.onnx]}}", "version: 1", "version: 2")))
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for ref, want := range map[string]struct {
		ref, precision, session string
		items                   int
	}{
		"affine":        {"affine@2", "fp32", "model.onnx", 16},
		"affine:fp32":   {"affine@2", "fp32", "model.onnx", 16},
		"affine:int8":   {"affine@2:int8", "int8", "other.onnx", 16},
		"affine@1:int8": {"affine@1:int8", "int8", "other.onnx", 16},
		"affine@1:fp16": {"affine@1:fp16", "fp16", "other.onnx", 4},
		"affine@1":      {"affine@1", "fp32", "model.onnx", 16},
	} {
		m, err := c.Get(ref)
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		f := &m.Manifest
		if f.Ref() != want.ref || f.Precision != want.precision || !slices.Equal(f.Sessions, []string{want.session}) || f.Batch.MaxItems != want.items || f.Batch.Fixed != (want.items == 4) {
			t.Errorf("%s: %s, %s, %v, %+v", ref, f.Ref(), f.Precision, f.Sessions, f.Batch)
		}
		if other, ok := sums[m.SHA256]; ok && other != f.Ref() {
			t.Errorf("%s and %s have one sha256, and their bits differ", ref, other)
		}
		sums[m.SHA256] = f.Ref()
		if len(m.SHA256) != 64 {
			t.Errorf("%s: sha256 %s", ref, m.SHA256)
		}
	}
	for ref, want := range map[string]string{
		"affine:fp16":   `models: affine@2: no such model in the catalog in precision "fp16" (has fp32, int8)`,
		"affine@1:bf16": `models: affine@1: no such model in the catalog in precision "bf16" (has fp32, fp16, int8)`,
		"affine@1:":     `models: affine@1: no such model in the catalog in precision "" (has fp32, fp16, int8)`,
		"affine@3:int8": `models: "affine@3:int8": no such model in the catalog (has affine@1, affine@2)`,
	} {
		if _, err := c.Get(ref); !errors.Is(err, ErrNoModel) || err.Error() != want {
			t.Errorf("%s: got %v, want %s", ref, err, want)
		}
	}
	m, err := c.Get("affine@1:fp16")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range m.All() {
		all = append(all, v.Manifest.Ref())
	}
	if got := fmt.Sprint(all); got != "[affine@1 affine@1:fp16 affine@1:int8]" {
		t.Errorf("a variant's model has %s", got)
	}
	if got := fmt.Sprint(c.References(m)); got != "[affine@1 affine@1:fp32 affine@1:fp16 affine@1:int8]" {
		t.Errorf("found by %s", got)
	}
	for _, ref := range c.References(c.All()[1]) {
		if m, err := c.Get(ref); err != nil || m.Manifest.Version != 2 {
			t.Errorf("%s: %v, %v", ref, m, err)
		}
	}
}

func TestLoadNamesEachMistakeOfAVariant(t *testing.T) {
	half := graphOf(10, "x", "4", "y", "3")
	for name, c := range map[string]struct {
		other          []byte
		variants, want string
	}{
		"precision":     {otherGraph(t), "variants: {int4: {sessions: [other.onnx]}}", "variants.int4: want fp32, fp16 or int8 as the precision of a variant"},
		"its own":       {otherGraph(t), "variants: {fp32: {sessions: [other.onnx]}}", "variants.fp32: is the manifest's own precision"},
		"the same":      {otherGraph(t), "variants: {int8: {sessions: [model.onnx]}}", "variants.int8.sessions: are the manifest's own"},
		"how many":      {otherGraph(t), "variants: {int8: {sessions: [other.onnx, model.onnx]}}", "variants.int8.sessions: want one for each of the manifest's 1, got 2"},
		"none":          {otherGraph(t), "variants: {int8: {}}", "variants.int8.sessions: want one for each of the manifest's 1, got 0"},
		"no such file":  {otherGraph(t), "variants: {int8: {sessions: [third.onnx]}}", `variants.int8.sessions[0]: "third.onnx" is not in files`},
		"unknown field": {otherGraph(t), "variants: {int8: {session: [other.onnx]}}", "variants.int8.session: unknown field (has batch, sessions)"},
		"batch":         {otherGraph(t), "variants: {int8: {sessions: [other.onnx], batch: {fixed: true}}}", "variants.int8.batch.max_items: want 1 or more, got 0"},
		"no graph":      {[]byte("text"), "variants: {int8: {sessions: [other.onnx]}}", "files.other.onnx: not an ONNX model"},
		"edges":         {half, "variants: {fp16: {sessions: [other.onnx]}}", `variants.fp16.sessions[0]: inputs[0].type: is float32, and the graph's is float16`},
		"ports":         {graphOf(1, "x", "4", "z", "3"), "variants: {fp16: {sessions: [other.onnx]}}", `variants.fp16.sessions[0]: outputs[0].name: the graph has no "y" (has z)`},
		"sizes":         {graphOf(1, "x", "5", "y", "3"), "variants: {fp16: {sessions: [other.onnx]}}", `variants.fp16.sessions[0]: inputs[0].shape: is [batch, steps, 4], and the graph's is [batch, steps, 5]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(varied(t, c.other, c.variants))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	f := varied(t, otherGraph(t), "variants: {int8: {sessions: [other.onnx]}}")
	f["other.onnx"].Data = fixture(t, "affine.onnx")
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), "files.other.onnx: the file has sha256") {
		t.Errorf("got %v", err)
	}
}

// A manifest says the ports of its first graph alone.
func TestFurtherGraphsOfAVariantHaveThePortsOfThoseTheyReplace(t *testing.T) {
	decoder := graphOf(1, "tokens", "4", "logits", "3")
	for name, c := range map[string]struct {
		other []byte
		want  string
	}{
		"good": {slices.Concat(field(2, []byte("other")), decoder), ""},
		"name": {graphOf(1, "tokens", "4", "scores", "3"), `variants.int8.sessions[1]: the graph: has no output "logits", which the graph of the manifest's sessions[1] has`},
		"more": {graphOf(1, "ids", "4", "logits", "3"), `variants.int8.sessions[1]: the graph: has input "ids", which the graph of the manifest's sessions[1] has not`},
		"type": {graphOf(6, "tokens", "4", "logits", "3"), `variants.int8.sessions[1]: the graph: has input "tokens" of type int32, and that of the manifest's sessions[1] is float32`},
	} {
		f := varied(t, c.other, "variants: {int8: {sessions: [model.onnx, other.onnx]}}",
			"sessions: [model.onnx]\n", "sessions: [model.onnx, decoder.onnx]\n", "words.txt:", "decoder.onnx: "+hash(decoder)+", words.txt:")
		f["decoder.onnx"] = &fstest.MapFile{Data: decoder}
		_, err := Load(f)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

// graphOf is the header of an ONNX model with one input and one output
// [batch, steps, size] of an element type of onnx.proto.
func graphOf(elem uint64, in, inSize, out, outSize string) []byte {
	port := func(name, size string) []byte {
		dim := func(d string) []byte {
			if d == "4" || d == "3" || d == "5" {
				return field(shapeDim, protowire.AppendVarint(protowire.AppendTag(nil, dimValue, protowire.VarintType), uint64(d[0]-'0')))
			}
			return field(shapeDim, field(dimName, []byte(d)))
		}
		shape := slices.Concat(dim("batch"), dim("steps"), dim(size))
		tensor := slices.Concat(protowire.AppendVarint(protowire.AppendTag(nil, elemType, protowire.VarintType), elem), field(tensorShape, shape))
		return slices.Concat(field(valueName, []byte(name)), field(valueType, field(typeTensor, tensor)))
	}
	return field(modelGraph, slices.Concat(field(graphInput, port(in, inSize)), field(graphOutput, port(out, outSize))))
}
