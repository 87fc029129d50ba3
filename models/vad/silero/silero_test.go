package silero

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exports are the real model's files, by the folder of their ready manifest.
var exports = map[string]string{
	"silero-vad":          "silero_vad.onnx",
	"silero-vad-sequence": "silero_vad_16k_sequence.onnx",
}

func load(t testing.TB, folder string) *models.Model {
	t.Helper()
	return modelstest.Public(t, "../../public/"+folder, exports[folder])
}

func open(t testing.TB, m *models.Model) modelstest.Queue[Stretch, Speech] {
	t.Helper()
	return modelstest.Direct[Stretch, Speech](t, m, NewRunner)
}

func detector(t testing.TB, m *models.Model, q models.Queue[Stretch, Speech]) *Detector {
	t.Helper()
	d, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// golden is what models/train/parity/silero.py writes: the package's own
// answers.
type golden struct {
	Clip  [][2]int64
	Drawn []struct {
		Track   []int
		Samples int64
		Options map[string]any
		Found   [][2]int64
	}
}

func readGolden(t testing.TB) (g golden) {
	t.Helper()
	b, err := os.ReadFile("testdata/timestamps.json")
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func extents(found [][2]int64) []extent {
	var out []extent
	for _, f := range found {
		out = append(out, extent{f[0], f[1]})
	}
	return out
}

func TestTheRealModelHearsWhatItsPackageHears(t *testing.T) {
	want, regions := modelstest.Float32s(t, "testdata/clip.f32"), extents(readGolden(t).Clip)
	for folder := range exports {
		t.Run(folder, func(t *testing.T) {
			m := load(t, folder)
			d := detector(t, m, open(t, m))
			got, samples, usage, err := d.Track(t.Context(), modelstest.Clip(t, "clip"))
			if err != nil {
				t.Fatal(err)
			}
			modelstest.Near(t, "probability of speech", got, want, 1e-4)
			if usage.Model != m.Manifest.Ref() || usage.Items != 4 || usage.Device != "cpu" {
				t.Errorf("usage %+v", usage)
			}
			if found := d.regions.find(got, samples); !slices.Equal(found, regions) {
				t.Errorf("regions %v, the package's are %v", found, regions)
			}
			found, _, err := d.Detect(t.Context(), modelstest.Clip(t, "clip"))
			if err != nil || !slices.Equal(found, spans(regions)) {
				t.Errorf("regions %v, error %v, the package's are %v", found, err, spans(regions))
			}
		})
	}
}

func TestTimestampsAreTheReferences(t *testing.T) {
	m := load(t, "silero-vad")
	for i, g := range readGolden(t).Drawn {
		m.Manifest.Params = map[string]any{}
		m.Manifest.Labels[0].Threshold = 0
		for name, v := range g.Options {
			if name == "threshold" {
				m.Manifest.Labels[0].Threshold = v.(float64)
				continue
			}
			m.Manifest.Params[name] = v
		}
		d := detector(t, m, nil)
		p := make([]float32, len(g.Track))
		for i, v := range g.Track {
			p[i] = float32(float64(v) / 100)
		}
		// The reference compares doubles; what a float32 of a hundredth rounds to
		// must not decide.
		d.regions.Threshold -= 1e-6
		d.regions.NegThreshold -= 1e-6
		if found := d.regions.find(p, g.Samples); !slices.Equal(found, extents(g.Found)) {
			t.Errorf("%d: %v of %v: %v, the reference has %v", i, g.Options, g.Track, found, g.Found)
		}
	}
}

func TestRegionsAreOrderedApartAndWithinTheTape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Regions{
			Threshold:  rapid.Float64Range(0.05, 1).Draw(t, "threshold"),
			MinSpeech:  rapid.Float64Range(0, 500).Draw(t, "min speech"),
			MinSilence: rapid.Float64Range(0, 500).Draw(t, "min silence"),
			Pad:        rapid.Float64Range(0, 300).Draw(t, "pad"),
		}
		r.fill()
		p := rapid.SliceOfN(rapid.Float32Range(0, 1), 0, 200).Draw(t, "track")
		length := max(0, int64(len(p))*stepSamples-rapid.Int64Range(0, stepSamples-1).Draw(t, "short"))
		last := int64(0)
		for _, e := range r.find(p, length) {
			if e.start < last || e.end <= e.start || e.end > length {
				t.Fatalf("region %+v after %d of %d", e, last, length)
			}
			last = e.end
		}
	})
}

// together is a queue that waits for a number of items and runs them as one
// batch, as the scheduler does for so many tapes.
type together struct {
	modelstest.Queue[Stretch, Speech]
	want int

	mu      sync.Mutex
	waiting []Stretch
	answers []chan outcome
}

type outcome struct {
	speech Speech
	err    error
}

func (q *together) Do(ctx context.Context, item Stretch) (models.Answer[Speech], error) {
	answer := make(chan outcome, 1)
	q.mu.Lock()
	q.waiting, q.answers = append(q.waiting, item), append(q.answers, answer)
	if len(q.waiting) == q.want {
		out, err := q.Runner.Run(ctx, q.Sessions, q.waiting)
		for i, to := range q.answers {
			if err != nil {
				to <- outcome{err: err}
				continue
			}
			to <- outcome{speech: out[i]}
		}
		q.waiting, q.answers = nil, nil
	}
	q.mu.Unlock()
	select {
	case a := <-answer:
		return models.Answer[Speech]{Value: a.speech, Device: "cpu", Batch: q.want}, a.err
	case <-ctx.Done():
		return models.Answer[Speech]{}, ctx.Err()
	}
}

// Tapes that differ step side by side; each hears what it hears alone, to the
// bit.
func TestTapesStepSideBySide(t *testing.T) {
	samples := modelstest.PCM16(t, "testdata/clip.pcm16")
	for folder := range exports {
		t.Run(folder, func(t *testing.T) {
			m := load(t, folder)
			alone := open(t, m)
			for _, tapes := range []int{2, 3, 5} {
				q := &together{Queue: alone, want: tapes}
				var wg sync.WaitGroup
				got, want := make([][]float32, tapes), make([][]float32, tapes)
				for i := range tapes {
					turned := slices.Concat(samples[i*20000:], samples[:i*20000])
					together, single := modelstest.Tape(t, turned), modelstest.Tape(t, turned)
					wg.Go(func() {
						var err error
						if got[i], _, _, err = detector(t, m, q).Track(t.Context(), together); err != nil {
							t.Error(err)
						}
					})
					var err error
					if want[i], _, _, err = detector(t, m, alone).Track(t.Context(), single); err != nil {
						t.Error(err)
					}
				}
				wg.Wait()
				for i := range tapes {
					if !slices.Equal(got[i], want[i]) {
						t.Errorf("tape %d of %d hears otherwise than alone", i, tapes)
					}
				}
			}
		})
	}
}

func TestShortTapes(t *testing.T) {
	m := load(t, "silero-vad")
	d := detector(t, m, open(t, m))
	for samples, steps := range map[int]int{0: 0, 1: 1, 512: 1, 513: 2, Steps * 512: Steps, Steps*512 + 1: Steps + 1} {
		p, n, _, err := d.Track(t.Context(), modelstest.Tape(t, make([]float32, samples)))
		if err != nil || len(p) != steps || n != int64(samples) {
			t.Errorf("%d samples: %d steps of %d, error %v", samples, len(p), n, err)
		}
		regions, _, err := d.Detect(t.Context(), modelstest.Tape(t, make([]float32, samples)))
		if err != nil || regions == nil || len(regions) > 0 {
			t.Errorf("%d samples of silence: %v, error %v", samples, regions, err)
		}
	}
}

func TestFailuresArriveWithTheirCause(t *testing.T) {
	m := load(t, "silero-vad")
	q := open(t, m)
	d := detector(t, m, q)
	modelstest.Failures(t, modelstest.Clip(t, "clip"), func(ctx context.Context, tape audio.Reader) error {
		_, _, err := d.Detect(ctx, tape)
		return err
	})
	if _, err := q.Do(t.Context(), Stretch{Samples: make([]float32, 7)}); err == nil || !strings.Contains(err.Error(), "7 samples") {
		t.Errorf("a stretch of the wrong size gives %v", err)
	}
}

func TestManifestsMistakesAreNamed(t *testing.T) {
	modelstest.Mistakes(t, func(t testing.TB) *models.Model { return load(t, "silero-vad") }, modelstest.Uses(NewRunner, New), map[string]func(*models.Model){
		"family":                            func(m *models.Model) { m.Manifest.Family = "ctc" },
		"want [input state sr]":             func(m *models.Model) { m.Manifest.Inputs = m.Manifest.Inputs[:2] },
		"8 kHz":                             func(m *models.Model) { m.Manifest.Inputs[0].Shape[1] = "288" },
		"labels":                            func(m *models.Model) { m.Manifest.Labels = nil },
		"labels[0].threshold":               func(m *models.Model) { m.Manifest.Labels[0].Threshold = 2 },
		"parameters.neg_threshold":          func(m *models.Model) { m.Manifest.Params["neg_threshold"] = 0.6 },
		"parameters.min_speech_duration_ms": func(m *models.Model) { m.Manifest.Params["min_speech_duration_ms"] = -1 },
		"sample_rate":                       func(m *models.Model) { m.Manifest.Params["sample_rate"] = 8000 },
	})
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	for folder := range exports {
		modelstest.NaN(t, open(t, load(t, folder)), Stretch{Samples: make([]float32, contextSamples+Steps*stepSamples)})
	}
}
