package vad

import (
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func builtIn(t testing.TB) *models.Model { return modelstest.BuiltIn(t, "earshot-vad") }

func open(t testing.TB, m *models.Model) modelstest.Queue[frames.Window, frames.Scores] {
	t.Helper()
	return modelstest.Direct[frames.Window, frames.Scores](t, m, NewRunner)
}
