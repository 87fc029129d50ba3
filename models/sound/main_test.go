package sound

import (
	"context"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ort"
	"github.com/earshot-fm/earshot/models/pack"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct is a queue that runs each item at once, in batches of a fixed number
// of copies of it.
type direct struct {
	runner   *Runner
	sessions models.Sessions
	copies   int
}

func (d direct) Do(ctx context.Context, w Window) (models.Answer[Activity], error) {
	batch := make([]Window, max(1, d.copies))
	for i := range batch {
		batch[i] = w
	}
	out, err := d.runner.Run(ctx, d.sessions, batch)
	if err != nil {
		return models.Answer[Activity]{}, err
	}
	return models.Answer[Activity]{Value: out[len(out)-1], Device: "cpu", Batch: len(batch)}, nil
}

func builtIn(t testing.TB) *models.Model {
	t.Helper()
	files, err := fs.Sub(pack.Files(), "earshot-sound")
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, m *models.Model) direct {
	t.Helper()
	runtime, err := ort.New(ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := m.Read("model.onnx")
	if err != nil {
		t.Fatal(err)
	}
	session, err := runtime.Open(t.Context(), graph, "cpu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	runner, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	return direct{runner: runner, sessions: models.Sessions{"model.onnx": session}}
}

// tape plays one of the clips that models/train/common/fixtures.py makes from
// voices, texts and instruments that no training saw.
func tape(t testing.TB, name string) *audio.Tape {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".pcm16"))
	if err != nil {
		t.Fatal(err)
	}
	samples := make([]float32, len(raw)/2)
	for i := range samples {
		samples[i] = float32(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}
	return tapeOf(t, samples)
}

func tapeOf(t testing.TB, samples []float32) *audio.Tape {
	t.Helper()
	out, err := audio.NewTape(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if err := out.Write(samples); err != nil {
		t.Fatal(err)
	}
	out.Finish(nil)
	return out
}
