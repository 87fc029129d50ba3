package whisper

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// Sequences are what onnxruntime gives in Python (with one beam: the
// reference's greedy ones), and an item's do not depend on its batch.
func TestBeamSearch(t *testing.T) {
	var g struct {
		Clips []struct {
			melody
			Sequences map[string][]int
			Text      string
		}
	}
	if err := json.Unmarshal(unzip(t, "tiny-whisper-beam.json.gz"), &g); err != nil {
		t.Fatal(err)
	}
	m := modelstest.Folder(t, parity+"tiny-whisper-beam")
	r, err := NewBeamRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	sessions := modelstest.Open(t, m)
	var items []Item
	for _, c := range g.Clips {
		items = append(items, window(frontOf(t, m), c.play()))
	}
	for beams, name := range map[int]string{1: "1", 3: "3"} {
		r.params.Beams = beams
		heard, err := r.Run(t.Context(), sessions, items)
		if err != nil {
			t.Fatal(err)
		}
		for i, h := range heard {
			if want := g.Clips[i].Sequences[name]; !slices.Equal(h.Tokens, want) {
				t.Errorf("%d beams, clip %d: %v, the reference has %v", beams, i, h.Tokens, want)
			}
			if beams == 3 && h.Text != g.Clips[i].Text {
				t.Errorf("clip %d: %q, the reference has %q", i, h.Text, g.Clips[i].Text)
			}
			alone, err := r.Run(t.Context(), sessions, items[i:i+1])
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(alone[0], h) {
				t.Errorf("%d beams, clip %d: alone %v", beams, i, alone[0])
			}
		}
	}
	rec, err := NewBeam(m, modelstest.Queue[Item, Heard]{Runner: r, Sessions: sessions})
	if err != nil {
		t.Fatal(err)
	}
	rec.params.MaxCompression = 1e9
	tr, _, err := rec.Transcribe(t.Context(), modelstest.Tape(t, g.Clips[0].play()), []episode.Span{{Start: 0, End: 20}})
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Segments) != 1 || tr.WordTimes != timesInterpolated {
		t.Errorf("transcript %+v", tr)
	}
}

// What the operator has no place for is refused, not left out in silence.
func TestABeamSearchTakesNoPromptAndNoSeeking(t *testing.T) {
	for name, value := range map[string]string{"initial_prompt": "Ann Lee", "long_form": longSequential} {
		m := modelstest.Folder(t, parity+"tiny-whisper-beam")
		m.Manifest.Params[name] = value
		if _, err := NewBeam(m, nil); err == nil || !strings.Contains(err.Error(), "parameters."+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
