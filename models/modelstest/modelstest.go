// Package modelstest is what the tests of the tasks share: a model opened on
// onnxruntime, a queue that runs its items at once, tapes of given samples,
// and comparisons with a reference's numbers.
package modelstest

import (
	"context"
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
	"github.com/earshot-fm/earshot/models/pack"
)

// BuiltIn loads a model of the pack by its folder's name.
func BuiltIn(t testing.TB, name string) *models.Model {
	t.Helper()
	return load(t, pack.Files(), name)
}

// Folder loads the model of a folder on disk.
func Folder(t testing.TB, folder string) *models.Model {
	t.Helper()
	return load(t, models.Dir(folder), ".")
}

func load(t testing.TB, source fs.FS, folder string) *models.Model {
	t.Helper()
	files, err := fs.Sub(source, folder)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Load(files)
	if err != nil {
		t.Fatalf("load the model %s: %v", folder, err)
	}
	return m
}

// Open opens every session of a model on the processor; they are closed when
// the test ends.
func Open(t testing.TB, m *models.Model) models.Sessions {
	t.Helper()
	runtime, err := ort.New(ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sessions := models.Sessions{}
	for _, name := range m.Manifest.Sessions {
		session, err := m.Open(t.Context(), runtime, name, "cpu")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := session.Close(); err != nil {
				t.Error(err)
			}
		})
		sessions[name] = session
	}
	return sessions
}

// Queue runs each item at once, as the last of a batch of Copies of it.
type Queue[In, Out any] struct {
	Runner   models.Runner[In, Out]
	Sessions models.Sessions
	Copies   int // 0 is 1
}

// Direct opens a model and makes the queue that runs a runner's items at once.
func Direct[In, Out any, R models.Runner[In, Out]](t testing.TB, m *models.Model, newRunner func(*models.Model) (R, error)) Queue[In, Out] {
	t.Helper()
	runner, err := newRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	return Queue[In, Out]{Runner: runner, Sessions: Open(t, m)}
}

// Task makes a model's task with the queue that runs its items at once.
func Task[In, Out any, R models.Runner[In, Out], T any](t testing.TB, m *models.Model, newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) (T, Queue[In, Out]) {
	t.Helper()
	q := Direct[In, Out](t, m, newRunner)
	task, err := newTask(m, q)
	if err != nil {
		t.Fatal(err)
	}
	return task, q
}

// Do runs one item.
func (q Queue[In, Out]) Do(ctx context.Context, item In) (models.Answer[Out], error) {
	batch := make([]In, max(1, q.Copies))
	for i := range batch {
		batch[i] = item
	}
	out, err := q.Runner.Run(ctx, q.Sessions, batch)
	if err != nil {
		return models.Answer[Out]{}, err
	}
	return models.Answer[Out]{Value: out[len(out)-1], Device: "cpu", Batch: len(batch)}, nil
}

// Tape is a finished tape of 16 kHz samples.
func Tape(t testing.TB, samples []float32) *audio.Tape {
	t.Helper()
	tape, err := audio.NewTape(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tape.Close() })
	if err := tape.Write(samples); err != nil {
		t.Fatal(err)
	}
	tape.Finish(nil)
	return tape
}

// Clip plays one of a package's clips, testdata/NAME.pcm16: those that
// models/train/common/fixtures.py makes are of voices, texts and instruments
// that no training saw.
func Clip(t testing.TB, name string) *audio.Tape {
	t.Helper()
	return Tape(t, PCM16(t, filepath.Join("testdata", name+".pcm16")))
}

// PCM16 reads a file of little-endian 16-bit samples.
func PCM16(t testing.TB, file string) []float32 {
	t.Helper()
	raw := read(t, file)
	samples := make([]float32, len(raw)/2)
	for i := range samples {
		samples[i] = float32(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}
	return samples
}

// Float32s reads a file of little-endian floats, as numpy's tofile writes them.
func Float32s(t testing.TB, file string) []float32 {
	t.Helper()
	raw := read(t, file)
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// Near fails the test when two arrays differ in length, or anywhere by more
// than a tolerance; it says where they differ most.
func Near(t testing.TB, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, the reference has %d", what, len(got), len(want))
	}
	worst, at := 0.0, 0
	for i := range got {
		// A NaN is no distance: it fails the comparison below in its own words.
		if d := math.Abs(float64(got[i]) - float64(want[i])); d > worst || math.IsNaN(d) {
			worst, at = d, i
			if math.IsNaN(d) {
				break
			}
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: [%d] is %g, the reference has %g: %.3g apart, more than %g", what, at, got[at], want[at], worst, tolerance)
	}
}
