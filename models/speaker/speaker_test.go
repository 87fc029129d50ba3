package speaker

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clip = "../vad/silero/testdata/clip.pcm16"

// tiny is the model that models/train/parity/ecapa.py writes, of SpeechBrain's
// classes.
func tiny(t testing.TB) *models.Model { return modelstest.Folder(t, "../parity/tiny-speaker") }

func TestEmbeddingsAreSpeechBrains(t *testing.T) {
	m := tiny(t)
	runner, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	samples := modelstest.PCM16(t, clip)
	var items []Window
	for at := 0; at < len(samples)-windowSamples; at += audio.TapeRate {
		items = append(items, Window{samples[at : at+windowSamples]})
	}
	sessions := modelstest.Open(t, m)
	got, err := runner.Run(t.Context(), sessions, items)
	if err != nil {
		t.Fatal(err)
	}
	var all []float32
	for i, e := range got {
		all = append(all, e...)
		alone, err := runner.Run(t.Context(), sessions, items[i:i+1])
		if err != nil || !slices.Equal(alone[0], e) {
			t.Errorf("window %d: another embedding alone than among %d, error %v", i, len(items), err)
		}
	}
	modelstest.Near(t, "embeddings", all, modelstest.Float32s(t, "testdata/embedding.f32"), 1e-3)
}

func TestLinkageIsScipys(t *testing.T) {
	var golden []struct {
		X      []Embedding
		Cut    float64
		Labels []int
	}
	b, err := os.ReadFile("testdata/linkage.json")
	if err == nil {
		err = json.Unmarshal(b, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range golden {
		if got, _ := cluster(g.X, g.Cut); !slices.Equal(got, g.Labels) {
			t.Errorf("%d: %d points cut at %g: %v, scipy has %v", i, len(g.X), g.Cut, got, g.Labels)
		}
	}
}

// voices draws embeddings of so many speakers, in turns of n windows.
func voices(random *rand.Rand, speakers, windows, n int) (embeddings []Embedding, who []int) {
	centres := make([]Embedding, speakers)
	for i := range centres {
		centres[i] = make(Embedding, 24)
		for k := range centres[i] {
			centres[i][k] = float32(random.NormFloat64())
		}
	}
	for i := range windows {
		s := i / n % speakers
		e := make(Embedding, 24)
		for k := range e {
			e[k] = centres[s][k] + float32(random.NormFloat64()*0.3)
		}
		embeddings, who = append(embeddings, e), append(who, s)
	}
	return embeddings, who
}

func TestLongEpisodesAreClusteredByStretches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, windows := range []int{1, 2, 2*stretchWindows + 1, 12345} {
		embeddings, who := voices(random, 3, windows, 37)
		labels, n := cluster(embeddings, 0.5)
		if !slices.Equal(labels, who) || n != min(3, 1+(windows-1)/37) {
			t.Errorf("%d windows of three speakers: %d clusters", windows, n)
		}
	}
	if labels, n := cluster(nil, 0.5); len(labels) != 0 || n != 0 {
		t.Errorf("nothing: %v, %d clusters", labels, n)
	}
}

func TestClustersAreBoundedWhereNoTwoAreAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	embeddings, _ := voices(random, 300, 300, 1)
	points := make([]point, 300)
	for i := range points {
		points[i] = point{unit(embeddings[i]), 1}
	}
	if _, n := cut(len(points), dendrogram(points), 1e-9, 7); n != 7 {
		t.Errorf("%d clusters, 7 allowed", n)
	}
}

// byPitch is a model for tests: it tells voices by how often they cross zero.
type byPitch struct{}

func (byPitch) Do(_ context.Context, w Window) (models.Answer[Embedding], error) {
	crossings := 0
	for i := 1; i < len(w.Values); i++ {
		if (w.Values[i] >= 0) != (w.Values[i-1] >= 0) {
			crossings++
		}
	}
	turn := float64(crossings) / 300
	return models.Answer[Embedding]{Value: Embedding{float32(math.Cos(turn)), float32(math.Sin(turn))}, Device: "cpu", Batch: 1}, nil
}

// dialogue is speech of voices (Hz), so many seconds each, with pauses between.
func dialogue(t testing.TB, lines ...[2]float64) (*audio.Tape, []episode.Span) {
	t.Helper()
	var samples []float32
	var speech []episode.Span
	for _, line := range lines {
		samples = append(samples, make([]float32, audio.TapeRate/2)...)
		start := episode.Seconds(len(samples)) / audio.TapeRate
		for i := range int(line[1] * audio.TapeRate) {
			samples = append(samples, float32(math.Sin(2*math.Pi*line[0]*float64(i)/audio.TapeRate)))
		}
		speech = append(speech, episode.Span{Start: start, End: episode.Seconds(len(samples)) / audio.TapeRate})
	}
	return modelstest.Tape(t, samples), speech
}

func TestTurnsAreTheSpeakers(t *testing.T) {
	f, err := New(tiny(t), byPitch{})
	if err != nil {
		t.Fatal(err)
	}
	// The short line is of the voice before it, the last is shorter than a
	// window, and the second voice goes on after a pause.
	tape, speech := dialogue(t, [2]float64{100, 5}, [2]float64{400, 3}, [2]float64{400, 4.1}, [2]float64{400, 0.3}, [2]float64{100, 1})
	got, usage, err := f.Find(t.Context(), tape, speech)
	if err != nil {
		t.Fatal(err)
	}
	want := []episode.Turn{
		{Speaker: "S1", Span: speech[0]},
		{Speaker: "S2", Span: episode.Span{Start: speech[1].Start, End: speech[3].End}},
		{Speaker: "S1", Span: speech[4]},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v of %v, want %v", got, speech, want)
	}
	if usage.Model != "tiny-speaker@2" || usage.Items == 0 || usage.Device != "cpu" {
		t.Errorf("usage %+v", usage)
	}
	if got, _, err := f.Find(t.Context(), tape, nil); err != nil || got == nil || len(got) > 0 {
		t.Errorf("no speech: %v, error %v", got, err)
	}
	f.params.MinSpeaker = 7 // of 6 and 7.1 s: the first is taken for the second
	if got, _, err := f.Find(t.Context(), tape, speech); err != nil || len(got) != 1 {
		t.Errorf("with speakers of 7 s at least: %v, error %v", got, err)
	}
}

func TestARealGraphFindsTurns(t *testing.T) {
	m := tiny(t)
	f, err := New(m, modelstest.Direct[Window, Embedding](t, m, NewRunner))
	if err != nil {
		t.Fatal(err)
	}
	tape := modelstest.Tape(t, modelstest.PCM16(t, clip))
	got, _, err := f.Find(t.Context(), tape, []episode.Span{{Start: 0.6, End: 2.6}, {Start: 7.3, End: 9.2}, {Start: 10, End: 12.3}})
	if err != nil || len(got) == 0 || got[0].Start != 0.6 || got[len(got)-1].End != 12.3 {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestTurnsCoverTheSpeech(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var speech []episode.Span
		at := episode.Seconds(0)
		for range rapid.IntRange(0, 20).Draw(t, "regions") {
			at += episode.Seconds(rapid.Float64Range(0.05, 3).Draw(t, "pause"))
			s := episode.Span{Start: at, End: at + episode.Seconds(rapid.Float64Range(0.05, 9).Draw(t, "length"))}
			at, speech = s.End, append(speech, s)
		}
		places := cover(speech)
		labels := make([]int, len(places))
		for i, p := range places {
			labels[i] = rapid.IntRange(0, 2).Draw(t, "speaker")
			if p.heard.Len() > window+1e-9 || p.answers.Start < p.heard.Start-1e-9 || p.answers.End > p.heard.End+1e-9 || p.answers.Len() <= 0 {
				t.Fatalf("window %+v", p)
			}
		}
		said := turns(speech, places, labels)
		last := episode.Seconds(0)
		for i, turn := range said {
			if turn.Len() <= 0 || turn.Start < last-1e-9 || i > 0 && turn.Speaker == said[i-1].Speaker && turn.Start-last <= breath {
				t.Fatalf("turn %d of %v", i, said)
			}
			last = turn.End
		}
		for _, s := range speech {
			covered := episode.Seconds(0)
			for _, turn := range said {
				covered += turn.Overlap(s)
			}
			if len(places) > 0 && covered < s.Len()-1e-6 {
				t.Fatalf("%v of %v is in no turn: %v", s.Len()-covered, s, said)
			}
		}
	})
}

func TestFailuresArriveWithTheirCause(t *testing.T) {
	f, err := New(tiny(t), byPitch{})
	if err != nil {
		t.Fatal(err)
	}
	whole, speech := dialogue(t, [2]float64{100, 5})
	modelstest.Failures(t, whole, func(ctx context.Context, tape audio.Reader) error {
		_, _, err := f.Find(ctx, tape, speech)
		return err
	})
}

func TestManifestsMistakesAreNamed(t *testing.T) {
	modelstest.Mistakes(t, tiny, modelstest.Uses(NewRunner, New), map[string]func(*models.Model){
		"family":  func(m *models.Model) { m.Manifest.Family = "ctc" },
		"without": func(m *models.Model) { m.Manifest.Family = familyLogMel },
		"8000 Hz": func(m *models.Model) {
			front := models.Frontend(feature.Default())
			front.SampleRate, front.MaxHz = 8000, 4000
			m.Manifest.Family, m.Manifest.Frontend = familyLogMel, &front
		},
		"one session": func(m *models.Model) { m.Manifest.Outputs = nil },
		"threshold":   func(m *models.Model) { m.Manifest.Params["threshold"] = 0 },
		"min_speaker": func(m *models.Model) { m.Manifest.Params["min_speaker"] = -1 },
		"no_such":     func(m *models.Model) { m.Manifest.Params["no_such"] = 1 },
	})
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	modelstest.NaN(t, modelstest.Direct[Window, Embedding](t, tiny(t), NewRunner), Window{make([]float32, windowSamples)})
}
