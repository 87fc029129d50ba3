package public

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/earshot-fm/earshot/models"
)

func TestEveryReadyManifestIsGoodButForItsFiles(t *testing.T) {
	if len(Names()) < 15 {
		t.Errorf("%d models: %v", len(Names()), Names())
	}
	for _, name := range Names() {
		m, err := Get(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if m.Source.Repository == "" && m.Source.Package == "" {
			t.Errorf("%s: source.yaml says nowhere", name)
		}
		for file := range m.Source.Files {
			if m.Files[file] == "" {
				t.Errorf("%s: source.yaml names %s, which is not in the manifest", name, file)
			}
		}
		given := map[string]string{}
		for _, f := range m.Missing(nil) {
			given[f] = strings.Repeat("5", 64)
		}
		b, err := m.Manifest(given)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = models.Load(fstest.MapFS{models.ManifestFile: {Data: b}})
		if err == nil {
			t.Errorf("%s: loaded without its files", name)
			continue
		}
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "files.") || !strings.Contains(line, "file does not exist") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestHashesAreNeverMadeUp(t *testing.T) {
	m, err := Get("whisper-tiny")
	if err != nil {
		t.Fatal(err)
	}
	if missing := m.Missing(map[string]string{"tokenizer.json": strings.Repeat("a", 64)}); strings.Join(missing, " ") != "decoder_model_merged.onnx encoder_model.onnx generation_config.json" {
		t.Errorf("missing %v", missing)
	}
	if m.Source.Path("encoder_model.onnx") != "onnx/encoder_model.onnx" || m.Source.Path("tokenizer.json") != "tokenizer.json" {
		t.Errorf("%+v", m.Source)
	}
	b, err := m.Manifest(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.Load(fstest.MapFS{models.ManifestFile: {Data: b}}); err == nil || !strings.Contains(err.Error(), `want a sha256 (64 hexadecimal digits), got "unknown"`) {
		t.Errorf("got %v", err)
	}
	silero, err := Get("silero-vad")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := silero.Manifest(map[string]string{"silero_vad.onnx": strings.Repeat("a", 64)}); err == nil || !strings.Contains(err.Error(), "the ready manifest knows 1a153a22") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Manifest(map[string]string{"other.onnx": strings.Repeat("a", 64)}); err == nil || !strings.Contains(err.Error(), `no file "other.onnx" in the manifest`) {
		t.Errorf("got %v", err)
	}
	if _, err := Get("whisper-gigantic"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "has all-minilm") && !strings.Contains(err.Error(), "has ced-base") {
		t.Errorf("got %v", err)
	}
}
