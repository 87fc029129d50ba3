package gpu

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/earshot-fm/earshot/models"
)

// awaken opens a graph of one convolution and one product of matrices on a
// device and runs it: what the engine and the driver take once for all models
// (a CUDA context, the handles of cuBLAS and cuDNN) is taken then. The session
// stays open until sleep, so that it goes on being theirs.
func awaken(ctx context.Context, r models.Runtime, device string) (sleep func() error, err error) {
	s, err := r.Open(ctx, trivialGraph(), device)
	if err != nil {
		return nil, fmt.Errorf("gpu: open a trivial graph on %s: %w", device, err)
	}
	x := models.NewTensor(make([]float32, trivialSide*trivialSide), 1, 1, trivialSide, trivialSide)
	if _, err := s.Run(ctx, map[string]models.Tensor{"x": x}); err != nil {
		return nil, errors.Join(fmt.Errorf("gpu: run a trivial graph on %s: %w", device, err), s.Close())
	}
	return s.Close, nil
}

const trivialSide = 8

// trivialGraph is an ONNX model: y = conv(x, w) · w with x and y of shape
// [1, 1, side, side]. Field numbers are onnx.proto's (ONNX IR version 8).
func trivialGraph() []byte {
	message := func(num protowire.Number, fields ...[]byte) []byte {
		var content []byte
		for _, f := range fields {
			content = append(content, f...)
		}
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), content)
	}
	text := func(num protowire.Number, s string) []byte { return message(num, []byte(s)) }
	number := func(num protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), n)
	}
	const float = 1
	tensor := func(name string, dims ...uint64) []byte {
		size, fields := uint64(4), []byte{}
		for _, d := range dims {
			size *= d
			fields = append(fields, number(1, d)...)
		}
		return message(5, fields, number(2, float), text(8, name), message(9, make([]byte, size)))
	}
	port := func(num protowire.Number, name string) []byte {
		var dims []byte
		for _, d := range []uint64{1, 1, trivialSide, trivialSide} {
			dims = append(dims, message(1, number(1, d))...)
		}
		return message(num, text(1, name), message(2, message(1, number(1, float), message(2, dims))))
	}
	graph := message(7,
		message(1, text(1, "x"), text(1, "kernel"), text(2, "c"), text(4, "Conv")),
		message(1, text(1, "c"), text(1, "matrix"), text(2, "y"), text(4, "MatMul")),
		text(2, "trivial"),
		tensor("kernel", 1, 1, 1, 1),
		tensor("matrix", trivialSide, trivialSide),
		port(11, "x"), port(12, "y"),
	)
	model := append(number(1, 8), graph...)
	return append(model, message(8, number(2, 13))...)
}
