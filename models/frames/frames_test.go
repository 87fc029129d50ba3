package frames_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the labels' tracks are worth is tested where they are used: models/vad
// and models/sound.
func TestAWindowOfAnotherSizeIsRefused(t *testing.T) {
	q := modelstest.Direct[frames.Window, frames.Scores](t, modelstest.BuiltIn(t, "earshot-vad"), frames.NewRunner)
	if _, err := q.Do(t.Context(), frames.Window{LogMel: make([]float32, 7)}); err == nil || !strings.Contains(err.Error(), "7 values") {
		t.Errorf("a window of the wrong size gives %v", err)
	}
}

func TestALabelThatTheGraphDoesNotGiveIsAnError(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-vad")
	m.Manifest.Labels = append(m.Manifest.Labels, m.Manifest.Labels[0])
	q := modelstest.Direct[frames.Window, frames.Scores](t, m, frames.NewRunner)
	size := frames.WindowFrames * m.Manifest.Frontend.Mels
	if _, err := q.Do(t.Context(), frames.Window{LogMel: make([]float32, size)}); err == nil || !strings.Contains(err.Error(), "has shape") {
		t.Errorf("two labels for one output give %v", err)
	}
}

// coarse gives each window so many steps of one label.
type coarse struct{ steps int64 }

func (c coarse) Run(_ context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	rows := in["logmel"].Shape()[0]
	return map[string]models.Tensor{"probability": models.NewTensor(make([]float32, rows*c.steps), rows, c.steps, 1)}, nil
}

func (coarse) Close() error { return nil }

func TestATrackIsAsLongAsItsTape(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-vad")
	m.Manifest.Inputs[0].Name, m.Manifest.Outputs[0].Name = "logmel", "probability"
	runner, err := frames.NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	tape := modelstest.Tape(t, make([]float32, 61*audio.TapeRate))
	for steps := int64(1); steps <= frames.WindowFrames; steps *= 2 {
		tracker, err := frames.NewTracker(m, modelstest.Queue[frames.Window, frames.Scores]{
			Runner: runner, Sessions: models.Sessions{m.Manifest.Sessions[0]: coarse{steps}},
		})
		if err != nil {
			t.Fatal(err)
		}
		track, _, err := tracker.Track(t.Context(), tape)
		if steps < 32 {
			if err == nil || !strings.Contains(err.Error(), "at least 32 steps") {
				t.Errorf("%d steps a window, which would not meet where windows do: error %v", steps, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if end := float64(len(track.Probability[0])) * float64(track.Step); math.Abs(end-61) > float64(track.Step) {
			t.Errorf("%d steps a window: the track ends at %g s of 61 s", steps, end)
		}
	}
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-vad")
	q := modelstest.Direct[frames.Window, frames.Scores](t, m, frames.NewRunner)
	modelstest.NaN(t, q, frames.Window{LogMel: make([]float32, frames.WindowFrames*m.Manifest.Frontend.Mels)})
}
