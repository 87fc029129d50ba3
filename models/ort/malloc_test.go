package ort

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/pack"
)

func resident(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	t.Fatal("/proc does not tell the resident memory")
	return 0
}

func TestAModelThatIsClosedGivesItsMemoryBack(t *testing.T) {
	r, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := models.LoadCatalog(pack.Files())
	if err != nil {
		t.Fatal(err)
	}
	m, err := catalog.Get("earshot-en")
	if err != nil {
		t.Fatal(err)
	}
	const rows, frames, mels = 4, 1152, 64
	features := map[string]models.Tensor{m.Manifest.Inputs[0].Name: models.NewTensor(make([]float32, rows*frames*mels), rows, frames, mels)}
	var after []int64
	for range 12 {
		s, err := m.Open(t.Context(), r, m.Manifest.Sessions[0], "cpu")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(t.Context(), features); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		after = append(after, resident(t)>>20)
	}
	t.Logf("resident after each close, MiB: %d", after)
	// What stays (the arena, and the free lists of the allocator's heaps for each
	// thread that comes to use them) fills in steps of 3 or 4 MiB, to 12 more at
	// most. Without giveBack eight openings leave over 100.
	if grown := after[11] - after[3]; grown > 20 {
		t.Errorf("eight more openings left %d MiB behind: %d", grown, after)
	}
}
