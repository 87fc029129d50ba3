package feed

import (
	"bytes"
	"context"
	"slices"
	"sync"
)

// MemoryCursors keep their place only as long as the process runs. The zero
// value is ready.
type MemoryCursors struct {
	mu     sync.Mutex
	bodies map[string][]byte
}

// LoadCursor implements Cursors.
func (m *MemoryCursors) LoadCursor(_ context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.bodies[name]), nil
}

// SaveCursor implements Cursors.
func (m *MemoryCursors) SaveCursor(_ context.Context, name string, was, body []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, found := m.bodies[name]; found != (was != nil) || !bytes.Equal(there, was) {
		return false, nil
	}
	if m.bodies == nil {
		m.bodies = map[string][]byte{}
	}
	m.bodies[name] = slices.Clone(body)
	return true, nil
}
