package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/earshot-fm/earshot/models"
)

// deviation is how far the outputs of a model's first graph are from those of
// the same model in fp32.
type deviation struct {
	Max  float64 `json:"max"`  // absolute difference
	Mean float64 `json:"mean"` // of the absolute differences
	RMS  float64 `json:"rms"`  // root mean square of fp32's outputs
}

// relative is the mean difference as a share of the outputs' size.
func (d *deviation) relative() float64 {
	if d.RMS == 0 {
		return d.Mean // of nothing: any difference is large
	}
	return d.Mean / d.RMS
}

func (d *deviation) told() string {
	if d == nil {
		return "-"
	}
	return fmt.Sprintf("%.2g %%", 100*d.relative())
}

// comparedRuns bounds the runs that are compared.
const comparedRuns = 8

// deviationOf compares a model with itself in fp32, where the catalog has that;
// else it gives nil. Both get what the tasks give the model in fp32.
func deviationOf(ctx context.Context, runtime models.Runtime, catalog *models.Catalog, m *models.Model, device string) (d *deviation, err error) {
	exact := inFP32(catalog, m)
	if exact == nil {
		return nil, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("compare %s with %s on %s: %w", m.Manifest.Ref(), exact.Manifest.Ref(), device, err)
		}
	}()
	sessions := models.Sessions{}
	defer func() { err = errors.Join(err, closeSessions(sessions)) }()
	var runs recorder
	for i, name := range exact.Manifest.Sessions {
		s, err := exact.Open(ctx, runtime, name, device)
		if err != nil {
			return nil, err
		}
		sessions[name] = s
		if i == 0 {
			runs.Session = s
			sessions[name] = &runs
		}
	}
	for _, task := range tasksOf(exact) {
		if _, _, err := takeThrough(ctx, exact, task, sessions); err != nil {
			return nil, err
		}
	}
	s, err := m.Open(ctx, runtime, m.Manifest.Sessions[0], device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return runs.compare(ctx, s)
}

// inFP32 finds a model's fp32 form: of its own version, else the newest of its
// name. It is nil for a model that is that itself.
func inFP32(catalog *models.Catalog, m *models.Model) *models.Model {
	if m.Manifest.Precision == "fp32" {
		return nil
	}
	own := fmt.Sprintf("%s@%d", m.Manifest.Name, m.Manifest.Version)
	for _, ref := range []string{own, own + ":fp32"} {
		if found, err := catalog.Get(ref); err == nil && found.Manifest.Precision == "fp32" {
			return found
		}
	}
	var newest *models.Model
	for _, other := range catalog.All() {
		if other.Manifest.Name == m.Manifest.Name && other.Manifest.Precision == "fp32" {
			newest = other // they come by version
		}
	}
	return newest
}

// recorder is a session that keeps what its first runs were given and gave.
type recorder struct {
	models.Session

	mu   sync.Mutex
	runs []recordedRun
}

type recordedRun struct{ inputs, outputs map[string]models.Tensor }

func (r *recorder) Run(ctx context.Context, inputs map[string]models.Tensor) (map[string]models.Tensor, error) {
	outputs, err := r.Session.Run(ctx, inputs)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.runs) < comparedRuns {
		r.runs = append(r.runs, recordedRun{copied(inputs), outputs})
	}
	return outputs, nil
}

// copied keeps inputs, whose memory a runner may use again.
func copied(tensors map[string]models.Tensor) map[string]models.Tensor {
	out := map[string]models.Tensor{}
	for name, t := range tensors {
		shape := slices.Clone(t.Shape())
		switch d := t.Elements().(type) {
		case []float32:
			out[name] = models.NewTensor(slices.Clone(d), shape...)
		case []int64:
			out[name] = models.NewTensor(slices.Clone(d), shape...)
		case []int32:
			out[name] = models.NewTensor(slices.Clone(d), shape...)
		case []uint8:
			out[name] = models.NewTensor(slices.Clone(d), shape...)
		case []bool:
			out[name] = models.NewTensor(slices.Clone(d), shape...)
		}
	}
	return out
}

// compare runs another session on the recorded inputs.
func (r *recorder) compare(ctx context.Context, other models.Session) (*deviation, error) {
	var d deviation
	n := 0
	for _, run := range r.runs {
		got, err := other.Run(ctx, run.inputs)
		if err != nil {
			return nil, err
		}
		for name, t := range run.outputs {
			want, ok := t.Elements().([]float32)
			if !ok {
				continue
			}
			have, err := models.Elements[float32](got[name])
			if err != nil {
				return nil, fmt.Errorf("output %q: %w", name, err)
			}
			if !slices.Equal(got[name].Shape(), t.Shape()) {
				return nil, fmt.Errorf("output %q has shape %v, and in fp32 %v", name, got[name].Shape(), t.Shape())
			}
			for i := range want {
				off := math.Abs(float64(have[i]) - float64(want[i]))
				d.Max = max(d.Max, off)
				d.Mean += off
				d.RMS += float64(want[i]) * float64(want[i])
			}
			n += len(want)
		}
	}
	if n == 0 {
		return nil, errors.New("the first graph gives no numbers to compare")
	}
	d.Mean, d.RMS = d.Mean/float64(n), math.Sqrt(d.RMS/float64(n))
	if math.IsNaN(d.Mean) {
		return nil, errors.New("the outputs are not finite: `earshot models verify` says more")
	}
	return &d, nil
}
