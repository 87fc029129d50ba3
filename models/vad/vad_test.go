package vad

import (
	"context"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"pgregory.net/rapid"
)

// The clip: 4 s of music, 4 s of English, 2 s of silence, 4 s of Swedish over
// music.
func TestSpeechIsFoundAndMusicIsNot(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	regions, usage, err := d.Detect(t.Context(), modelstest.Clip(t, "scene"))
	if err != nil {
		t.Fatal(err)
	}
	heard := func(from, to episode.Seconds) (sum episode.Seconds) {
		for _, r := range regions {
			sum += r.Overlap(episode.Span{Start: from, End: to})
		}
		return sum
	}
	if s := heard(0, 3.7); s > 0.2 {
		t.Errorf("%.2f s of music taken for speech: %v", s, regions)
	}
	if s := heard(4, 8); s < 3 {
		t.Errorf("%.2f of 4 s of speech found: %v", s, regions)
	}
	if s := heard(8.4, 9.6); s > 0 {
		t.Errorf("%.2f s of silence taken for speech: %v", s, regions)
	}
	if s := heard(10, 14); s < 3 {
		t.Errorf("%.2f of 4 s of speech over music found: %v", s, regions)
	}
	if usage.Model != m.Manifest.Ref() || usage.Items != 2 || usage.Device != "cpu" {
		t.Errorf("usage %+v", usage)
	}
}

func TestBatchDoesNotShow(t *testing.T) {
	m := builtIn(t)
	q := open(t, m)
	var reference Track
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
		if len(track.Probability) != 350 || track.Duration != 14 {
			t.Fatalf("%d steps over %g s", len(track.Probability), float64(track.Duration))
		}
		for i, p := range track.Probability {
			if p != reference.Probability[i] {
				t.Fatalf("step %d: %g alone, %g among %d", i, reference.Probability[i], p, copies)
			}
		}
	}
}

func TestNothingToHear(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 16000} {
		regions, _, err := d.Detect(t.Context(), modelstest.Tape(t, make([]float32, n)))
		if err != nil || len(regions) > 0 {
			t.Errorf("%d samples of silence: %v, error %v", n, regions, err)
		}
	}
}

func TestFailuresArriveWithTheirCause(t *testing.T) {
	m := builtIn(t)
	d, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Failures(t, modelstest.Clip(t, "scene"), func(ctx context.Context, tape audio.Reader) error {
		_, _, err := d.Detect(ctx, tape)
		return err
	})
}

func TestManifestsMistakesAreNamed(t *testing.T) {
	modelstest.Mistakes(t, builtIn, modelstest.Uses(NewRunner, New), map[string]func(*models.Model){
		"family":                func(m *models.Model) { m.Manifest.Family = "ctc" },
		"labels[0].threshold":   func(m *models.Model) { m.Manifest.Labels = []models.Label{{Name: "Speech"}} },
		"parameters.offset":     func(m *models.Model) { m.Manifest.Params["offset"] = 0.99 },
		"parameters.min_speech": func(m *models.Model) { m.Manifest.Params["min_speech"] = -1.0 },
		"no_such":               func(m *models.Model) { m.Manifest.Params["no_such"] = 1 },
	})
}

func TestRegionsAreOrderedApartAndLongEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		onset := rapid.Float64Range(0.1, 1).Draw(t, "onset")
		seconds := func(name string) episode.Seconds {
			return episode.Seconds(rapid.Float64Range(0, 1).Draw(t, name))
		}
		r := Regions{
			Onset: onset, Offset: onset * rapid.Float64Range(0.2, 1).Draw(t, "offset"),
			MinSpeech: seconds("min speech"), MinSilence: seconds("min silence"), Padding: seconds("padding"),
		}
		p := rapid.SliceOfN(rapid.Float32Range(0, 1), 0, 200).Draw(t, "track")
		track := Track{Probability: p, Step: 0.04}
		track.Duration = episode.Seconds(len(p))*track.Step - episode.Seconds(rapid.Float64Range(0, 0.03).Draw(t, "short"))
		if len(p) == 0 {
			track.Duration = 0
		}
		found := r.Find(track)
		last := episode.Seconds(0)
		covered := func(at episode.Seconds) bool {
			for _, s := range found {
				if at >= s.Start-1e-9 && at < s.End+1e-9 {
					return true
				}
			}
			return false
		}
		for _, s := range found {
			if s.Start < last-1e-9 || s.Len() < r.MinSpeech-1e-9 || s.Len() <= 0 || s.End > track.Duration+1e-9 {
				t.Fatalf("region %v after %g s of %g", s, float64(last), float64(track.Duration))
			}
			last = s.End
		}
		if r.MinSpeech == 0 {
			for i, v := range p {
				if float64(v) >= onset && episode.Seconds(i)*track.Step < track.Duration && !covered(episode.Seconds(i)*track.Step) {
					t.Fatalf("step %d of probability %g is in no region of %v", i, v, found)
				}
			}
		}
	})
}
