package langid

import (
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestManifestsMistakesAreNamed(t *testing.T) {
	logMel := map[string]func(*models.Model){
		"family":                    func(m *models.Model) { m.Manifest.Family = "ctc" },
		"windows ≥ 1":               func(m *models.Model) { m.Manifest.Params["windows"] = 0 },
		"parameters.window:":        func(m *models.Model) { m.Manifest.Params["window"] = 1 },
		"parameters.window_seconds": func(m *models.Model) { m.Manifest.Params["window_seconds"] = 3 },
		"8000 Hz": func(m *models.Model) {
			m.Manifest.Frontend.SampleRate, m.Manifest.Frontend.MaxHz = 8000, 4000
		},
		"labels[1]": func(m *models.Model) { m.Manifest.Labels[1] = models.Label{Name: "English"} },
	}
	waveform := map[string]func(*models.Model){
		"without":                        func(m *models.Model) { m.Manifest.Frontend = builtIn(t).Manifest.Frontend },
		"window_seconds: want 0.5 to 60": func(m *models.Model) { m.Manifest.Params["window_seconds"] = 0 },
		"want labels":                    func(m *models.Model) { m.Manifest.Labels = nil },
	}
	use := modelstest.Uses(NewRunner, New)
	modelstest.Mistakes(t, builtIn, use, logMel)
	modelstest.Mistakes(t, ecapa, use, waveform)
}

func TestTagsAreOfToday(t *testing.T) {
	for _, l := range []struct {
		label models.Label
		want  string
	}{
		{models.Label{Name: "iw: Hebrew"}, "he"},
		{models.Label{Name: "jw: Javanese"}, "jv"},
		{models.Label{Name: "ceb: Cebuano"}, "ceb"},
		{models.Label{Name: "Portuguese", ID: "pt-BR"}, "pt-BR"},
		{models.Label{Name: "other", ID: "und"}, "und"},
	} {
		if got, ok := tag(l.label); !ok || got != l.want {
			t.Errorf("%+v is %q, %v", l.label, got, ok)
		}
	}
	for _, name := range []string{"English", "", "12: twelve", "EN: English"} {
		if got, ok := tag(models.Label{Name: name}); ok {
			t.Errorf("%q is taken for the language %q", name, got)
		}
	}
}
