package frames_test

import (
	"strings"
	"testing"

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
