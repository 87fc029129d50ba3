package ort

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
)

// modelOf wraps a graph of testdata with the ports that its own header gives.
func modelOf(t *testing.T, name string) *models.Model {
	t.Helper()
	b := graph(t, name)
	g, err := models.ReadGraph(b)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return &models.Model{
		Manifest: models.Manifest{
			Name: "fixture", Version: 1,
			Files:    map[string]string{"model.onnx": hex.EncodeToString(sum[:])},
			Sessions: []string{"model.onnx"},
			Inputs:   g.Inputs, Outputs: g.Outputs,
			Batch: models.Batch{MaxItems: 8},
		},
		Files: fstest.MapFS{"model.onnx": {Data: b}},
	}
}

func TestVerifyFindsOutWhatAModelDoesInABatch(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"affine.onnx":  "",
		"leaky.onnx":   `output "y" of an item depends on the batch`,
		"inverse.onnx": `output "y" has values that are not finite`,
		"types.onnx":   "has no batch axis first",
	} {
		v, err := models.Verify(t.Context(), r, modelOf(t, name), "cpu")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		switch {
		case want == "" && (len(v.Faults) > 0 || !slices.Equal(v.Batches, []int{2, 3, 4, 8}) || v.Build != r.Build()):
			t.Errorf("%s: %+v", name, v)
		case want != "" && !strings.Contains(strings.Join(v.Faults, "\n"), want):
			t.Errorf("%s: faults %q, want %q", name, v.Faults, want)
		}
	}
}

func TestVerifySaysThatAShapeIsNotAsDeclared(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := modelOf(t, "affine.onnx")
	m.Manifest.Outputs[0].Shape = []string{"batch", "steps", "5"}
	if _, err := models.Verify(t.Context(), r, m, "cpu"); err == nil || !strings.Contains(err.Error(), "declared [batch steps 5]") {
		t.Errorf("got %v", err)
	}
}
