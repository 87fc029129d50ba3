package langid

import (
	"path/filepath"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func builtIn(t testing.TB) *models.Model { return modelstest.BuiltIn(t, "earshot-langid") }

func open(t testing.TB, m *models.Model) modelstest.Queue[Window, LogP] {
	t.Helper()
	return modelstest.Direct[Window, LogP](t, m, NewRunner)
}

// tape plays one of the clips that models/train/common/fixtures.py makes from
// voices, texts and instruments that no training saw.
func tape(t testing.TB, name string) *audio.Tape {
	t.Helper()
	return modelstest.Tape(t, modelstest.PCM16(t, filepath.Join("testdata", name+".pcm16")))
}
