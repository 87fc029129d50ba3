package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr/whisper"
)

// verifiedModel is a model in models verify's JSON.
type verifiedModel struct {
	Model    string   `json:"model"` // name@version
	Build    string   `json:"build"` // of the engine
	Device   string   `json:"device"`
	Graph    []int    `json:"graph_batches"` // sizes that the first graph was compared in; none: its ports have no batch axis
	Items    int      `json:"items"`         // of its tasks, on the fixed episode
	Batches  []int    `json:"batches"`       // sizes that the items were compared in
	Refilled int      `json:"refilled"`      // items that were compared in the place of another that was done
	Faults   []string `json:"faults"`
}

func (v verifiedModel) told() string {
	how := fmt.Sprintf("in batches of %v", v.Batches)
	if len(v.Batches) == 0 {
		how = "one at a time as batch.max_items says"
	}
	if v.Refilled > 0 {
		how += fmt.Sprintf(", %d in places that others had left", v.Refilled)
	}
	return fmt.Sprintf("%d items %s, on %s", v.Items, how, v.Build)
}

// verifyModel runs a model's first graph on noise, then does each of its tasks
// for the fixed episode.
func verifyModel(ctx context.Context, runtime models.Runtime, m *models.Model, device string) (verifiedModel, error) {
	v := verifiedModel{Model: m.Manifest.Ref(), Build: runtime.Build(), Device: device, Graph: []int{}, Batches: []int{}, Faults: []string{}}
	if takesFeatures(&m.Manifest) {
		g, err := models.Verify(ctx, runtime, m, v.Device)
		v.Graph = append(v.Graph, g.Batches...)
		v.Faults = append(v.Faults, g.Faults...)
		if err != nil || len(v.Faults) > 0 {
			return v, err
		}
	}
	for _, task := range tasksOf(m) {
		r, err := verifyTask(ctx, runtime, m, task, device)
		v.Items += r.Items
		v.Refilled += r.Refilled
		for _, n := range r.Batches {
			if !slices.Contains(v.Batches, n) {
				v.Batches = append(v.Batches, n)
			}
		}
		for _, f := range r.Faults {
			if !slices.Contains(v.Faults, f) {
				v.Faults = append(v.Faults, f)
			}
		}
		if err != nil {
			return v, err
		}
	}
	return v, nil
}

// takesFeatures tells whether a model's first graph can be run on noise: it takes
// features of any length, and every port has the batch's axis first. What takes
// samples or tokens may have a least length that a manifest does not say, and
// Whisper's encoder never runs in a batch.
func takesFeatures(f *models.Manifest) bool {
	ok := func(p models.Port) bool { return len(p.Shape) > 1 && p.Shape[0] == "batch" }
	return f.Frontend != nil && f.Family != whisper.Family &&
		!slices.ContainsFunc(f.Inputs, func(p models.Port) bool { return !ok(p) }) &&
		!slices.ContainsFunc(f.Outputs, func(p models.Port) bool { return !ok(p) })
}
