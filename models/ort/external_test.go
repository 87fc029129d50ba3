package ort

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-fm/earshot/models"
)

func TestOpenInFindsTensorsBesideTheGraph(t *testing.T) {
	var weights bytes.Buffer
	for i := range 12 {
		if err := binary.Write(&weights, binary.LittleEndian, float32(i)/10); err != nil {
			t.Fatal(err)
		}
	}
	if err := binary.Write(&weights, binary.LittleEndian, []float32{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "weights.bin"), weights.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.OpenIn(t.Context(), graph(t, "external.onnx"), dir, "cpu")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(t.Context(), map[string]models.Tensor{"x": models.NewTensor([]float32{0, 1, 2, 3}, 1, 1, 4)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{5.2, 6.8, 8.4} {
		if got := floats(t, out, "y")[i]; got < want-1e-5 || got > want+1e-5 {
			t.Errorf("y[%d] = %v, want %v", i, got, want)
		}
	}
}
