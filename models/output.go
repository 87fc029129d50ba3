package models

import (
	"fmt"
	"slices"
)

// Floats takes an output of a run: its values and its shape. An output that is
// missing, that is not float32 or that has a value which is not finite is an
// error. A graph in half precision gives NaN when it overflows, and what a task
// makes of that (the likeliest label, the nearest voice) would look like an
// answer.
func Floats(outputs map[string]Tensor, name string) (values []float32, shape []int64, err error) {
	t, ok := outputs[name]
	if !ok {
		return nil, nil, fmt.Errorf("the graph gave no output %q", name)
	}
	if values, err = Elements[float32](t); err != nil {
		return nil, nil, fmt.Errorf("output %q: %w", name, err)
	}
	if i := slices.IndexFunc(values, notFiniteFloat); i >= 0 {
		return nil, nil, fmt.Errorf("output %q has values that are not finite: of %v, number %d is %g", name, t.Shape(), i, values[i])
	}
	return values, t.Shape(), nil
}

// notFiniteFloat: NaN and the infinities alone give no zero here.
func notFiniteFloat(x float32) bool { return x-x != 0 }
