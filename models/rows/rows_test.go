package rows_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/rows"
)

// echo gives its input back, and as "one" only the first row of it.
type echo struct{ rows int64 }

func (e *echo) Run(_ context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	x := in["x"]
	e.rows = x.Shape()[0]
	values, err := models.Elements[float32](x)
	size := len(values) / int(e.rows)
	return map[string]models.Tensor{"y": x, "one": models.NewTensor(values[:size], 1, int64(size))}, err
}

func (*echo) Close() error { return nil }

func TestEachItemGetsItsRow(t *testing.T) {
	for n := 1; n < 5; n++ {
		s := new(echo)
		var items [][]float32
		for i := range n {
			items = append(items, []float32{float32(i), 1, 2, 3, 4, 5})
		}
		answers, err := rows.Run(t.Context(), s, "x", 2, items, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		each, shape, err := answers.Of("y")
		if err != nil || !slices.Equal(shape, []int64{2, 3}) || len(each) != n || s.rows != int64(max(2, n)) {
			t.Fatalf("%d items in %d rows: %d answers of %v, error %v", n, s.rows, len(each), shape, err)
		}
		for i := range each {
			if !slices.Equal(each[i], items[i]) {
				t.Errorf("item %d: %v", i, each[i])
			}
		}
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	if _, err := rows.Run(t.Context(), new(echo), "x", 2, [][]float32{{1, 2}}, 3); err == nil || !strings.Contains(err.Error(), "2 values") {
		t.Errorf("an item too short: %v", err)
	}
	if _, err := rows.Run(t.Context(), new(echo), "x", 2, nil, 3); err == nil || !strings.Contains(err.Error(), "without items") {
		t.Errorf("no items: %v", err)
	}
	answers, err := rows.Run(t.Context(), new(echo), "x", 2, [][]float32{{1, 2}, {3, 4}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	for output, want := range map[string]string{"one": "must be the batch", "z": "no output"} {
		if _, _, err := answers.Of(output); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("output %s: %v", output, err)
		}
	}
}
