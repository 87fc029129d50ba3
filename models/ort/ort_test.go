package ort

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/models"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if n := live.Load(); n != 0 && code == 0 {
			println("native handles still alive after the tests:", n)
			code = 1
		}
		os.Exit(code)
	}))
}

func open(t *testing.T, name string) models.Session {
	t.Helper()
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Open(t.Context(), graph(t, name), "cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func graph(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func floats(t *testing.T, out map[string]models.Tensor, name string) []float32 {
	t.Helper()
	d, err := models.Elements[float32](out[name])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRunTakesAnyBatch(t *testing.T) {
	s := open(t, "affine.onnx")
	for _, shape := range [][2]int64{{1, 1}, {2, 3}, {5, 1}, {2, 0}} {
		x := make([]float32, shape[0]*shape[1]*4)
		for i := range x {
			x[i] = float32(i % 4)
		}
		out, err := s.Run(t.Context(), map[string]models.Tensor{"x": models.NewTensor(x, shape[0], shape[1], 4)})
		if err != nil {
			t.Fatal(shape, err)
		}
		if want := []int64{shape[0], shape[1], 3}; !slices.Equal(out["y"].Shape(), want) {
			t.Errorf("x %v: y has shape %v, want %v", shape, out["y"].Shape(), want)
		}
		y := floats(t, out, "y")
		for i, v := range y {
			// 0·w0 + 1·w1 + 2·w2 + 3·w3 + b with w counting 0.0, 0.1, …
			if want := []float32{5.2, 6.8, 8.4}[i%3]; v < want-1e-5 || v > want+1e-5 {
				t.Fatalf("x %v: y[%d] = %v, want %v", shape, i, v, want)
			}
		}
	}
}

func TestRunKeepsEveryType(t *testing.T) {
	s := open(t, "types.onnx")
	in := map[string]models.Tensor{
		"f32":    models.NewTensor([]float32{1.5, -2}, 2),
		"i64":    models.NewTensor([]int64{1 << 40, -1}, 2),
		"i32":    models.NewTensor([]int32{7, -7}, 2),
		"u8":     models.NewTensor([]uint8{255, 1}, 2),
		"bool":   models.NewTensor([]bool{true, false}, 2),
		"scalar": models.NewTensor([]int64{21}),
	}
	out, err := s.Run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	same := func(ok bool, name string) {
		if !ok {
			t.Errorf("%s: %v in, %v out", name, in[name].Elements(), out[name+"_out"].Elements())
		}
	}
	same(slices.Equal(in["f32"].Elements().([]float32), out["f32_out"].Elements().([]float32)), "f32")
	same(slices.Equal(in["i64"].Elements().([]int64), out["i64_out"].Elements().([]int64)), "i64")
	same(slices.Equal(in["i32"].Elements().([]int32), out["i32_out"].Elements().([]int32)), "i32")
	same(slices.Equal(in["u8"].Elements().([]uint8), out["u8_out"].Elements().([]uint8)), "u8")
	same(slices.Equal(in["bool"].Elements().([]bool), out["bool_out"].Elements().([]bool)), "bool")
	if d := out["scalar_out"].Elements().([]int64); len(d) != 1 || d[0] != 42 || len(out["scalar_out"].Shape()) != 0 {
		t.Errorf("scalar: 21 in, %v of shape %v out", d, out["scalar_out"].Shape())
	}
}

func TestRunSaysWhatIsWrongWithInputs(t *testing.T) {
	s := open(t, "affine.onnx")
	x := models.NewTensor(make([]float32, 8), 1, 2, 4)
	for name, c := range map[string]struct {
		in   map[string]models.Tensor
		want string
	}{
		"missing": {map[string]models.Tensor{}, `input "x" is not given`},
		"unknown": {map[string]models.Tensor{"x": x, "z": x}, "2 inputs are given"},
		"type":    {map[string]models.Tensor{"x": models.NewTensor(make([]int64, 8), 1, 2, 4)}, `input "x" is int64, and the graph takes float32`},
		"shape":   {map[string]models.Tensor{"x": models.NewTensor(make([]float32, 8), 1, 4, 2)}, "ort: run:"},
	} {
		if _, err := s.Run(t.Context(), c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		graph  []byte
		device string
		want   string
	}{
		"other files": {graph(t, "external.onnx"), "cpu", "weights.bin"},
		"no model":    {[]byte("<html>"), "cpu", "not an ONNX model"},
		"truncated":   {graph(t, "affine.onnx")[:40], "cpu", "not an ONNX model"},
		"device":      {graph(t, "affine.onnx"), "cuda:0", "no such device (this runtime has cpu)"},
	} {
		if _, err := r.Open(t.Context(), c.graph, c.device); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestCancelStopsARunInFlight(t *testing.T) {
	s := open(t, "loop.onnx")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	const side = 256
	_, err := s.Run(ctx, map[string]models.Tensor{
		"trips": models.NewTensor([]int64{1 << 40}),
		"m":     models.NewTensor(make([]float32, side*side), side, side),
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the run went on for %v", took)
	}
	if _, err := s.Run(t.Context(), map[string]models.Tensor{
		"trips": models.NewTensor([]int64{1}),
		"m":     models.NewTensor(make([]float32, 4), 2, 2),
	}); err != nil {
		t.Errorf("the session must go on working: %v", err)
	}
}

func TestCloseWaitsForRuns(t *testing.T) {
	s := open(t, "affine.onnx")
	x := map[string]models.Tensor{"x": models.NewTensor(make([]float32, 4000), 10, 100, 4)}
	var wg sync.WaitGroup
	started := make(chan struct{}, 8)
	for range 8 {
		wg.Go(func() {
			started <- struct{}{}
			for {
				if _, err := s.Run(t.Context(), x); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestLibraryIsFound(t *testing.T) {
	t.Run("named", func(t *testing.T) {
		t.Setenv("EARSHOT_ORT_LIB", filepath.Join(t.TempDir(), "none.so"))
		if _, err := Library(); err == nil || !strings.Contains(err.Error(), "EARSHOT_ORT_LIB") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cache folder", func(t *testing.T) {
		cache := t.TempDir()
		want := filepath.Join(cache, libraryName)
		if err := os.WriteFile(want, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Setenv("EARSHOT_ORT_LIB", "")
		t.Setenv("EARSHOT_CACHE", cache)
		if got, err := Library(); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("above the working directory", func(t *testing.T) {
		root := t.TempDir()
		deep := filepath.Join(root, "a", "b")
		want := filepath.Join(root, ".cache", libraryName)
		if err := errors.Join(os.MkdirAll(deep, 0o755), os.MkdirAll(filepath.Dir(want), 0o755), os.WriteFile(want, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("EARSHOT_ORT_LIB", "")
		t.Setenv("EARSHOT_CACHE", "")
		t.Chdir(deep)
		if got, err := Library(); err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestAnOnnxruntimeWithoutCUDASaysSo(t *testing.T) {
	r, err := New(Options{CUDA: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CheckCUDA(); err == nil || !strings.Contains(err.Error(), r.options.Library) {
		t.Errorf("the pinned library is for the CPU, and CheckCUDA says %v", err)
	}
}
