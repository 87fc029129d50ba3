package langid

import (
	"testing"

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
