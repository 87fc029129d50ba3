package main

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
)

// oneOfEachFamily are small models, one of every public family.
func oneOfEachFamily(t *testing.T) []*models.Model {
	t.Helper()
	catalog, err := models.LoadCatalog(models.Dir("../../models/parity"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(catalog.All(), func(m *models.Model) bool {
		family := m.Manifest.Task + " " + m.Manifest.Family
		defer func() { seen[family] = true }()
		return seen[family]
	})
}

func TestModelsOfEveryFamilyPassVerification(t *testing.T) {
	for _, m := range oneOfEachFamily(t) {
		f := m.Manifest
		out, stderr, code := command(t, "models", "verify", "-o", "json", "--models", filepath.Join("../../models/parity", f.Name))
		var all []verifiedModel
		if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitOK || len(all) != 1 {
			t.Fatalf("%s: exit code %d, %v, %s", f.Name, code, err, stderr)
		}
		v := all[0]
		if v.Items < 2 || len(v.Batches) == 0 || len(v.Faults) > 0 || (f.Family == "whisper") != (v.Refilled > 0) {
			t.Errorf("%+v", v)
		}
	}
}

// broken is onnxruntime with a fault in what its sessions give.
type broken struct {
	models.Runtime
	harm func(name string, t models.Tensor, call int64) models.Tensor
}

func (b broken) Open(ctx context.Context, graph []byte, device string) (models.Session, error) {
	s, err := b.Runtime.Open(ctx, graph, device)
	return &brokenSession{Session: s, harm: b.harm}, err
}

type brokenSession struct {
	models.Session
	calls atomic.Int64
	harm  func(name string, t models.Tensor, call int64) models.Tensor
}

func (s *brokenSession) Run(ctx context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	out, err := s.Session.Run(ctx, in)
	call := s.calls.Add(1)
	for name, t := range out {
		out[name] = s.harm(name, t, call)
	}
	return out, err
}

func scaled(t models.Tensor, factor float32) models.Tensor {
	x, ok := t.Elements().([]float32)
	if !ok {
		return t
	}
	y := make([]float32, len(x))
	for i := range x {
		y[i] = x[i] * factor
	}
	return models.NewTensor(y, t.Shape()...)
}

// A model that breaks its promise is found out in every family, whatever its
// runner makes of the graph's outputs.
func TestVerificationFindsWhatIsBroken(t *testing.T) {
	runtime, err := ort.New(ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		harm func(name string, t models.Tensor, call int64) models.Tensor
		want []string // one of them
		skip func(f *models.Manifest) bool
	}{
		"gives NaN": {
			harm: func(_ string, t models.Tensor, _ int64) models.Tensor { return scaled(t, float32(math.NaN())) },
			want: []string{"values that are not finite"},
			// One operator with the search inside: tokens alone come out.
			skip: func(f *models.Manifest) bool { return f.Family == "whisper-beam-search" },
		},
		"looks at its batch": {
			harm: func(_ string, t models.Tensor, _ int64) models.Tensor {
				if len(t.Shape()) == 0 {
					return t
				}
				return scaled(t, 1+float32(t.Shape()[0])/64)
			},
			want: []string{"depends on the batch", "depends on its batch", "depends on what ran in its place"},
			skip: func(f *models.Manifest) bool {
				return f.Family == "whisper-beam-search" || f.Family == "patch-waveform" // which takes one item a run
			},
		},
		"remembers what ran before": {
			harm: func(_ string, t models.Tensor, call int64) models.Tensor { return scaled(t, 1+float32(call%16)/256) },
			want: []string{"depends on the batch", "depends on its batch"},
			skip: func(f *models.Manifest) bool { return f.Family == "whisper-beam-search" },
		},
		"remembers in its decoder": {
			harm: func(name string, t models.Tensor, call int64) models.Tensor {
				if name != "logits" {
					return t
				}
				return scaled(t, 1+float32(call%16)/256)
			},
			want: []string{"depends on its batch"},
			skip: func(f *models.Manifest) bool { return f.Family != "whisper" },
		},
		"gives an axis more": {
			harm: func(_ string, t models.Tensor, _ int64) models.Tensor {
				shape := append(slices.Clone(t.Shape()), 1)
				switch x := t.Elements().(type) {
				case []float32:
					return models.NewTensor(x, shape...)
				case []int32:
					return models.NewTensor(x, shape...)
				}
				return t
			},
			want: []string{"declared ["},
		},
	} {
		for _, m := range oneOfEachFamily(t) {
			if c.skip != nil && c.skip(&m.Manifest) {
				continue
			}
			v, err := verifyModel(t.Context(), broken{Runtime: runtime, harm: c.harm}, m, "cpu")
			got := strings.Join(v.Faults, "; ")
			if err != nil {
				got += "; " + err.Error()
			}
			if !slices.ContainsFunc(c.want, func(w string) bool { return strings.Contains(got, w) }) {
				t.Errorf("a %s that %s: faults %q, want one of %q", m.Manifest.Ref(), name, got, c.want)
			}
		}
	}
}
