package sound

import (
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/frames"
	"github.com/earshot-fm/earshot/models/modelstest"
	"pgregory.net/rapid"
)

// The clip: 4 s of music, 3 s of applause, 2 s of silence, 4 s of French.
func TestSoundsAreFoundWhereTheyAre(t *testing.T) {
	for _, m := range builtIn(t).All() {
		t.Run(m.Manifest.Precision, func(t *testing.T) { soundsAreFoundWhereTheyAre(t, m) })
	}
}

func soundsAreFoundWhereTheyAre(t *testing.T, m *models.Model) {
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	events, usage, err := d.Detect(t.Context(), modelstest.Clip(t, "scene"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		label, id  string
		start, end episode.Seconds
	}{
		{"Music", "/m/04rlf", 0, 4},
		{"Applause", "/m/028ght", 4, 7},
		{"Silence", "/m/028v0c", 7, 9},
		{"Speech", "/m/09x0r", 9, 13},
	} {
		span := episode.Span{Start: want.start, End: want.end}
		var found, elsewhere episode.Seconds
		for _, e := range events {
			if e.Label == want.label {
				if e.ID != want.id || e.Confidence <= 0 || e.Confidence > 1 {
					t.Errorf("%+v", e)
				}
				found += e.Overlap(span)
				elsewhere += e.Len() - e.Overlap(span)
			}
		}
		if found < 0.7*span.Len() || elsewhere > 1.5 {
			t.Errorf("%s: %.2f of %.0f s found, %.2f s elsewhere: %+v", want.label, found, span.Len(), elsewhere, events)
		}
	}
	if usage.Model != m.Manifest.Ref() || usage.Items != 2 {
		t.Errorf("usage %+v", usage)
	}
}

func TestBatchDoesNotShow(t *testing.T) {
	for _, m := range builtIn(t).All() {
		t.Run(m.Manifest.Precision, func(t *testing.T) { batchDoesNotShow(t, m) })
	}
}

func batchDoesNotShow(t *testing.T, m *models.Model) {
	q := open(t, m)
	var reference frames.Track
	for _, copies := range []int{1, 2, 5} {
		q.Copies = copies
		d, err := New(m, q)
		if err != nil {
			t.Fatal(err)
		}
		track, _, err := d.Track(t.Context(), modelstest.Clip(t, "scene"))
		if err != nil {
			t.Fatal(err)
		}
		if copies == 1 {
			reference = track
		}
		for c := range track.Labels {
			if len(track.Probability[c]) != 163 {
				t.Fatalf("%d steps for 13 s", len(track.Probability[c]))
			}
			for i, p := range track.Probability[c] {
				if p != reference.Probability[c][i] {
					t.Fatalf("%s at step %d: %g alone, %g among %d", track.Labels[c].Name, i, reference.Probability[c][i], p, copies)
				}
			}
		}
	}
}

func TestEmptyTapeHasNoEvents(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	events, _, err := d.Detect(t.Context(), modelstest.Tape(t, nil))
	if err != nil || events == nil || len(events) > 0 {
		t.Errorf("%v, error %v", events, err)
	}
}

func TestManifestsMistakesAreNamed(t *testing.T) {
	for want, change := range map[string]func(*models.Model){
		"family":       func(m *models.Model) { m.Manifest.Family = "ctc" },
		"label Speech": func(m *models.Model) { m.Manifest.Labels = []models.Label{{Name: "Speech"}} },
		`label "Cow"`: func(m *models.Model) {
			m.Manifest.Params["labels"] = map[string]any{"Cow": map[string]any{"offset": 1}}
		},
		"offset: 0 is":   func(m *models.Model) { m.Manifest.Params["events"] = map[string]any{"offset": 0} },
		"parameters.low": func(m *models.Model) { m.Manifest.Params["low"] = 1 },
	} {
		m := builtIn(t)
		change(m)
		_, err := NewRunner(m)
		if err == nil {
			m.Manifest.Labels = m.Manifest.Labels[:1]
			if want != `label "Cow"` && want != "parameters.low" {
				delete(m.Manifest.Params, "labels")
			}
			_, err = New(m, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestEventsAreOrderedApartAndLongEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(name string) episode.Seconds {
			return episode.Seconds(rapid.Float64Range(0, 1).Draw(t, name))
		}
		e := Events{
			Onset: rapid.Float64Range(0.05, 1).Draw(t, "onset"), Offset: rapid.Float64Range(0.1, 1).Draw(t, "offset"),
			Smooth: seconds("smooth"), MinLength: seconds("min length"), MaxGap: seconds("max gap"),
		}
		p := rapid.SliceOfN(rapid.Float32Range(0, 1), 0, 120).Draw(t, "track")
		const step = 0.08
		duration := episode.Seconds(len(p)) * step
		last := -2 * e.MaxGap
		for i, event := range e.Find(p, step, duration) {
			if event.Len() <= 0 || event.Len() < e.MinLength-1e-9 || event.Start < 0 || event.End > duration {
				t.Fatalf("event %+v of %g s", event, float64(duration))
			}
			if i > 0 && event.Start-last <= e.MaxGap-1e-9 {
				t.Fatalf("event %+v is %g s after the one before", event, float64(event.Start-last))
			}
			if event.Confidence < 0 || event.Confidence > 1 {
				t.Fatalf("confidence %g", float64(event.Confidence))
			}
			last = event.End
		}
	})
}

func TestASteadySoundIsOneEvent(t *testing.T) {
	e := Events{Onset: 0.5, Offset: 0.6, Smooth: 0.4, MinLength: 0.5, MaxGap: 0.3}
	p := make([]float32, 100)
	for i := 20; i < 60; i++ {
		p[i] = 0.9
	}
	p[40] = 0.1 // one step's doubt
	found := e.Find(p, 0.08, 8)
	if len(found) != 1 || found[0].Start < 1.4 || found[0].Start > 1.8 || found[0].End < 4.6 || found[0].End > 5 {
		t.Errorf("%+v", found)
	}
}
