package ort

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/earshot-fm/earshot/models"
	onnx "github.com/yalue/onnxruntime_go"
)

// live counts the native handles that this package has made and not freed.
var live atomic.Int64

// release frees one native handle.
func release(destroy func() error) error {
	live.Add(-1)
	return destroy()
}

// ErrClosed is returned by Run after Close.
var ErrClosed = errors.New("the session is closed")

// session is a models.Session. onnxruntime allows runs side by side, but
// nothing guards freeing a session during one: runs hold mu for reading.
type session struct {
	mu              sync.RWMutex
	native          *onnx.DynamicAdvancedSession // nil: closed
	inputs, outputs []models.Port
}

func (s *session) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.native == nil {
		return nil, fmt.Errorf("ort: run: %w", ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ort: run: %w", err)
	}
	v := values{}
	defer v.free()
	for _, p := range s.inputs {
		t, ok := inputs[p.Name]
		if !ok {
			return nil, fmt.Errorf("ort: run: the graph's input %q is not given (it takes %s)", p.Name, strings.Join(names(s.inputs), ", "))
		}
		if err := v.addInput(p, t); err != nil {
			return nil, err
		}
	}
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("ort: run: %d inputs are given, and the graph takes %s", len(inputs), strings.Join(names(s.inputs), ", "))
	}
	for _, p := range s.outputs {
		if err := v.addOutput(p); err != nil {
			return nil, err
		}
	}
	if err := s.run(ctx, &v); err != nil {
		return nil, err
	}
	out := make(map[string]models.Tensor, len(s.outputs))
	for i, p := range s.outputs {
		t, err := tensor(v.outputs[i])
		if err != nil {
			return nil, fmt.Errorf("ort: output %q: %w", p.Name, err)
		}
		out[p.Name] = t
	}
	return out, nil
}

// run calls onnxruntime; when ctx ends it asks the run to stop, and returns
// once it has.
func (s *session) run(ctx context.Context, v *values) error {
	options, err := onnx.NewRunOptions()
	if err != nil {
		return fmt.Errorf("ort: run options: %w", err)
	}
	live.Add(1)
	defer func() { _ = release(options.Destroy) }()
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		// An error here means that the run goes on to its end, which is waited for anyway.
		_ = options.Terminate()
	})
	// A copy, because a run that fails may leave unusable values in it.
	outputs := slices.Clone(v.outputs)
	err = s.native.RunWithOptions(v.inputs, outputs, options)
	if !stop() {
		<-terminated
	}
	if err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			return fmt.Errorf("ort: run stopped: %w", ctxErr)
		}
		return fmt.Errorf("ort: run: %w", classify(err))
	}
	for i := range outputs {
		if v.outputs[i] == nil {
			live.Add(1)
		}
	}
	v.outputs = outputs
	return nil
}

// Close frees the session when the runs in flight have ended. A second Close
// does nothing.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.native == nil {
		return nil
	}
	native := s.native
	s.native = nil
	if err := release(native.Destroy); err != nil {
		return fmt.Errorf("ort: close a session: %w", err)
	}
	return nil
}

// values are the native tensors of one run.
type values struct {
	inputs, outputs []onnx.Value
	pinned          runtime.Pinner // onnxruntime reads and writes Go memory between calls
}

func (v *values) addInput(p models.Port, t models.Tensor) error {
	var n onnx.Value
	var err error
	got := ""
	switch d := t.Elements().(type) {
	case []float32:
		got = "float32"
		n, err = native(v, d, t.Shape())
	case []int64:
		got = "int64"
		n, err = native(v, d, t.Shape())
	case []int32:
		got = "int32"
		n, err = native(v, d, t.Shape())
	case []uint8:
		got = "uint8"
		n, err = native(v, d, t.Shape())
	case []bool:
		got = "bool"
		n, err = native(v, d, t.Shape())
	default:
		err = fmt.Errorf("%T is no tensor's data", d)
	}
	if err != nil {
		return fmt.Errorf("ort: input %q: %w", p.Name, err)
	}
	v.inputs = append(v.inputs, n)
	live.Add(1)
	if got != p.Type {
		return fmt.Errorf("ort: input %q is %s, and the graph takes %s", p.Name, got, p.Type)
	}
	return nil
}

func native[T models.Element](v *values, data []T, shape []int64) (onnx.Value, error) {
	if len(shape) == 0 {
		return onnx.NewScalar(data[0])
	}
	if len(data) > 0 {
		v.pinned.Pin(&data[0])
	}
	return onnx.NewTensor(onnx.NewShape(shape...), data)
}

// addOutput leaves the allocation to onnxruntime, which knows the shape; save
// for scalars, which the wrapper cannot take over from it.
func (v *values) addOutput(p models.Port) error {
	if p.Shape == nil || len(p.Shape) > 0 {
		v.outputs = append(v.outputs, nil)
		return nil
	}
	var n onnx.Value
	var err error
	switch p.Type {
	case "float32":
		n, err = onnx.NewEmptyScalar[float32]()
	case "int64":
		n, err = onnx.NewEmptyScalar[int64]()
	case "int32":
		n, err = onnx.NewEmptyScalar[int32]()
	case "uint8":
		n, err = onnx.NewEmptyScalar[uint8]()
	case "bool":
		n, err = onnx.NewEmptyScalar[bool]()
	}
	if err != nil {
		return fmt.Errorf("ort: output %q: %w", p.Name, err)
	}
	v.outputs = append(v.outputs, n)
	live.Add(1)
	return nil
}

func (v *values) free() {
	for _, n := range v.inputs {
		_ = release(n.Destroy)
	}
	for _, n := range v.outputs {
		if n != nil {
			_ = release(n.Destroy)
		}
	}
	v.pinned.Unpin()
}

// tensor takes an output's data over; the native handle is freed by
// values.free, which leaves the data alone.
func tensor(n onnx.Value) (models.Tensor, error) {
	switch n := n.(type) {
	case *onnx.Tensor[float32]:
		return models.NewTensor(n.GetData(), n.GetShape()...), nil
	case *onnx.Tensor[int64]:
		return models.NewTensor(n.GetData(), n.GetShape()...), nil
	case *onnx.Tensor[int32]:
		return models.NewTensor(n.GetData(), n.GetShape()...), nil
	case *onnx.Tensor[uint8]:
		return models.NewTensor(n.GetData(), n.GetShape()...), nil
	case *onnx.Tensor[bool]:
		return models.NewTensor(n.GetData(), n.GetShape()...), nil
	case *onnx.Scalar[float32]:
		return models.NewTensor([]float32{n.GetData()}), nil
	case *onnx.Scalar[int64]:
		return models.NewTensor([]int64{n.GetData()}), nil
	case *onnx.Scalar[int32]:
		return models.NewTensor([]int32{n.GetData()}), nil
	case *onnx.Scalar[uint8]:
		return models.NewTensor([]uint8{n.GetData()}), nil
	case *onnx.Scalar[bool]:
		return models.NewTensor([]bool{n.GetData()}), nil
	}
	return models.Tensor{}, fmt.Errorf("onnxruntime gave %T", n)
}

// classify finds onnxruntime's out-of-memory errors, which the wrapper gives
// as text only.
func classify(err error) error {
	text := err.Error()
	for _, sign := range []string{"Failed to allocate memory", "out of memory", "bad_alloc", "Available memory of"} {
		if strings.Contains(text, sign) {
			return fmt.Errorf("%w: %w", models.ErrOutOfMemory, err)
		}
	}
	return err
}
