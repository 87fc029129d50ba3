package clips

import (
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestManifestsMistakesAreNamed(t *testing.T) {
	set := func(name string, value any) func(*models.Model) {
		return func(m *models.Model) { m.Manifest.Params["clip"].(map[string]any)[name] = value }
	}
	for _, c := range []struct {
		model, want string
		change      func(*models.Model)
	}{
		{"tiny-ced", `want "clip-classifier" or "patch-waveform"`, func(m *models.Model) { m.Manifest.Family = "ctc" }},
		{"tiny-ced", "labels", func(m *models.Model) { m.Manifest.Labels = nil }},
		{"tiny-ced", "clip.rate: 8000 Hz, and the front end has 16000", set("rate", 8000)},
		{"tiny-ced", "clip.window: want more than 0", set("window", 0)},
		{"tiny-ced", "clip.hop: 1e-05 s are", set("hop", 1e-5)},
		{"tiny-ced", "clip.hop: 5 s would leave", set("hop", 5)},
		{"tiny-ced", "clip.patches: is for patch-waveform", set("patches", 3)},
		{"tiny-ced", "inputs[0].shape: an item has shape [64 401]", func(m *models.Model) { m.Manifest.Inputs[0].Shape[2] = "1012" }},
		{"tiny-ced", "mels", func(m *models.Model) { m.Manifest.Frontend.Mels = 0 }},
		{"tiny-ced", `label "Cow"`, func(m *models.Model) {
			m.Manifest.Params["labels"] = map[string]any{"Cow": map[string]any{"offset": 1}}
		}},
		{"tiny-cnn14", "has 3 axes, want 2", func(m *models.Model) { m.Manifest.Inputs[0].Shape = []string{"batch", "1", "samples"} }},
		{"tiny-cnn14", "clip.output: the graph has 2 outputs", set("output", "")},
		{"tiny-yamnet", "clip.patches: want 1 to 1000", set("patches", -1)},
		{"tiny-yamnet", "frontend: a patch-waveform model takes waveforms", func(m *models.Model) {
			m.Manifest.Frontend = &models.Frontend{Kind: "ced", Mels: 64}
		}},
		{"tiny-yamnet", "unknown field", set("rates", 1)},
	} {
		m := model(t, c.model)
		c.change(m)
		_, err := New(m, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.model) {
			t.Errorf("%s: error %v", c.want, err)
		}
	}
}

func TestAGraphThatAnswersOtherwiseIsAnError(t *testing.T) {
	for _, c := range []struct {
		model, want string
		change      func(*models.Model)
	}{
		{"tiny-yamnet", "window and hop", func(m *models.Model) {
			m.Manifest.Params["clip"].(map[string]any)["hop"] = 0.6
		}},
		{"tiny-yamnet", `no output "scored"`, func(m *models.Model) {
			m.Manifest.Params["clip"].(map[string]any)["output"] = "scored"
		}},
		{"tiny-cnn14", "there are 4 labels", func(m *models.Model) { m.Manifest.Labels = m.Manifest.Labels[:4] }},
	} {
		m := model(t, c.model)
		c.change(m)
		q := modelstest.Direct[Clip, Scores](t, m, NewRunner)
		l := q.Runner.(*Runner).layout
		if _, err := q.Do(t.Context(), Clip{Values: make([]float32, l.samples())}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", c.want, err)
		}
	}
	q := modelstest.Direct[Clip, Scores](t, model(t, "tiny-yamnet"), NewRunner)
	if _, err := q.Do(t.Context(), Clip{Values: make([]float32, 7)}); err == nil || !strings.Contains(err.Error(), "7 samples") {
		t.Errorf("an item of another length: error %v", err)
	}
}
