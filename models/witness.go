package models

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Witness opens a model's sessions and notes what their runs give that the
// model does not promise: an output of the first session in another shape than
// the manifest declares, and in any session a value that is not finite. A
// runner may hide both (the likeliest of NaNs is a token too). It is safe for
// concurrent use.
type Witness struct {
	mu     sync.Mutex
	faults []string
}

// Open opens one of the model's graphs on a device, watched.
func (w *Witness) Open(ctx context.Context, r Runtime, m *Model, name, device string) (Session, error) {
	s, err := m.Open(ctx, r, name, device)
	if err != nil {
		return nil, err
	}
	watched := &watchedSession{Session: s, witness: w, name: name}
	if name == m.Manifest.Sessions[0] {
		watched.inputs, watched.outputs = m.Manifest.Inputs, m.Manifest.Outputs
	}
	return watched, nil
}

// Faults are what was noted so far, each once.
func (w *Witness) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.faults)
}

func (w *Witness) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.faults, text) {
		w.faults = append(w.faults, text)
	}
}

type watchedSession struct {
	Session
	witness         *Witness
	name            string
	inputs, outputs []Port // as declared; none: not of the first session
}

func (s *watchedSession) Run(ctx context.Context, inputs map[string]Tensor) (map[string]Tensor, error) {
	out, err := s.Session.Run(ctx, inputs)
	if err != nil {
		return nil, err
	}
	batch := s.batch(inputs)
	for _, p := range s.outputs {
		t, ok := out[p.Name]
		if !ok {
			s.witness.fault("%s: output %q is missing", s.name, p.Name)
		} else if !hasShape(p, t.Shape(), batch) {
			s.witness.fault("%s: output %q has shape %v in a batch of %d, declared %v", s.name, p.Name, t.Shape(), batch, p.Shape)
		}
	}
	for _, name := range sorted(out) {
		if !allFinite(out[name]) {
			s.witness.fault("%s: output %q has values that are not finite", s.name, name)
		}
	}
	return out, nil
}

// batch is the size that the inputs have where "batch" is declared; 0: nowhere.
func (s *watchedSession) batch(inputs map[string]Tensor) int {
	for _, p := range s.inputs {
		axis := slices.Index(p.Shape, "batch")
		if t, ok := inputs[p.Name]; ok && axis >= 0 && axis < len(t.Shape()) {
			return int(t.Shape()[axis])
		}
	}
	return 0
}
