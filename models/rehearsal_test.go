package models

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

// heard is an output with all that outputs are made of.
type heard struct {
	values  []float32
	LogP    float64
	Tokens  []int
	Words   map[string]float32
	Nothing *int
}

// testRunner doubles its items; a fault shows what Rehearsal is to find.
type testRunner struct {
	fault string
	sizes *[]int
}

func (testRunner) Cost(float32) float64 { return 1 }
func (testRunner) Bucket(x float32) int { return int(x) % 2 }
func (r testRunner) Run(_ context.Context, _ Sessions, batch []float32) ([]heard, error) {
	*r.sizes = append(*r.sizes, len(batch))
	out := make([]heard, len(batch))
	for i, x := range batch {
		out[i] = heard{values: []float32{2 * x, 0}, LogP: math.NaN(), Tokens: []int{int(x)}, Words: map[string]float32{"a": x}}
		switch r.fault {
		case "leaks":
			out[i].values[1] = float32(len(batch))
		case "infinite":
			out[i].values[1] = float32(math.Inf(-1))
		case "NaN":
			out[i].values[1] = float32(math.NaN())
		}
	}
	switch r.fault {
	case "fails":
		return nil, errors.New("no device")
	case "short":
		return out[1:], nil
	}
	return out, nil
}

func TestARehearsalFindsWhatARunnerDoesInABatch(t *testing.T) {
	m := &Model{Manifest: Manifest{Name: "test", Version: 1, Batch: Batch{MaxItems: 4}}}
	for fault, want := range map[string]string{
		"":         "",
		"leaks":    "an item's output depends on its batch: item 0 at place",
		"infinite": "the output of item 0 has a value that is not finite (values [1] -Inf)",
		"NaN":      "the output of item 0 has a value that is not finite (values [1] NaN)",
		"fails":    "models: run a batch of 1 of test@1: no device",
		"short":    "run a batch of 1 of test@1: it gave 0 outputs",
	} {
		var sizes []int
		v, err := VerifyRunner(t.Context(), m, testRunner{fault, &sizes}, nil, []float32{2, 4, 6})
		got := strings.Join(v.Faults, "; ")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", fault, got, want)
		}
		if fault == "" && (v.Items != 3 || len(v.Batches) != 3 || len(sizes) != 6) {
			t.Errorf("%+v, runs of %v", v, sizes)
		}
	}
	m.Manifest.Batch.Fixed = true
	var sizes []int
	if v, err := VerifyRunner(t.Context(), m, testRunner{"leaks", &sizes}, nil, []float32{2, 3}); err != nil || len(v.Faults) > 0 || sizes[0] != 4 {
		t.Errorf("fixed batches: %+v, %v, %v", v, err, sizes)
	}
	if v, err := VerifyRunner(t.Context(), m, testRunner{"", &sizes}, nil, nil); err != nil || len(v.Faults) != 1 {
		t.Errorf("nothing to do: %+v, %v", v, err)
	}
}
