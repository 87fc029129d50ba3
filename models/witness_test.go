package models

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"testing"
	"testing/fstest"
)

// spoken is a Runtime whose sessions answer what they are told to.
type spoken struct{ out map[string]Tensor }

func (spoken) Build() string { return "spoken" }
func (s spoken) Open(context.Context, []byte, string) (Session, error) {
	return s, nil
}
func (s spoken) Run(context.Context, map[string]Tensor) (map[string]Tensor, error) {
	if s.out == nil {
		return nil, errors.New("no device")
	}
	return s.out, nil
}
func (spoken) Close() error { return nil }

func TestAWitnessNotesWhatARunGives(t *testing.T) {
	graph, err := os.ReadFile("testdata/affine.onnx")
	if err != nil {
		t.Fatal(err)
	}
	port := func(name string) []Port {
		return []Port{{Name: name, Type: "float32", Shape: []string{"batch", "steps", "2"}}}
	}
	m := &Model{
		Manifest: Manifest{
			Name: "test", Version: 1, Files: map[string]string{"a.onnx": hash(graph), "b.onnx": hash(graph)},
			Sessions: []string{"a.onnx", "b.onnx"}, Inputs: port("x"), Outputs: port("y"),
		},
		Files: fstest.MapFS{"a.onnx": {Data: graph}, "b.onnx": {Data: graph}},
	}
	in := map[string]Tensor{"x": NewTensor(make([]float32, 12), 3, 2, 2)}
	values := func(x float32, shape ...int64) map[string]Tensor {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		return map[string]Tensor{"y": NewTensor(slices.Repeat([]float32{x}, int(n)), shape...)}
	}
	nan, infinite := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		session string
		out     map[string]Tensor
		want    []string
	}{
		"as declared":           {"a.onnx", values(1, 3, 5, 2), nil},
		"another width":         {"a.onnx", values(1, 3, 5, 1), []string{`a.onnx: output "y" has shape [3 5 1] in a batch of 3, declared [batch steps 2]`}},
		"another batch":         {"a.onnx", values(1, 2, 5, 2), []string{`a.onnx: output "y" has shape [2 5 2] in a batch of 3, declared [batch steps 2]`}},
		"fewer axes":            {"a.onnx", values(1, 3, 10), []string{`a.onnx: output "y" has shape [3 10] in a batch of 3, declared [batch steps 2]`}},
		"missing":               {"a.onnx", map[string]Tensor{}, []string{`a.onnx: output "y" is missing`}},
		"NaN":                   {"a.onnx", values(nan, 3, 5, 2), []string{`a.onnx: output "y" has values that are not finite`}},
		"NaN of the second":     {"b.onnx", values(nan, 7), []string{`b.onnx: output "y" has values that are not finite`}},
		"infinite":              {"b.onnx", values(infinite, 7), []string{`b.onnx: output "y" has values that are not finite`}},
		"no promise of it":      {"b.onnx", values(1, 7), nil},
		"a failure is no fault": {"a.onnx", nil, nil},
	} {
		var w Witness
		s, err := w.Open(t.Context(), spoken{c.out}, m, c.session, "cpu")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a fault is told once
			if _, err := s.Run(t.Context(), in); (err != nil) != (c.out == nil) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := w.Faults(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
