package clips

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The models and the golden data are written by models/train/parity/sound.py
// with PyTorch.
var tiny = []string{"tiny-yamnet", "tiny-cnn14", "tiny-ced"}

func model(t testing.TB, name string) *models.Model {
	t.Helper()
	return modelstest.Folder(t, filepath.Join("../../parity", name))
}

func detector(t testing.TB, name string) (*Detector, *modelstest.Queue[Clip, Scores]) {
	t.Helper()
	m := model(t, name)
	q := modelstest.Direct[Clip, Scores](t, m, NewRunner)
	d, err := New(m, &q)
	if err != nil {
		t.Fatal(err)
	}
	return d, &q
}

func scene(t testing.TB) []float32 { return modelstest.PCM16(t, "testdata/scene.pcm16") }

// scores reads the windows of a tape and gives the model's answer to each.
func scores(t testing.TB, d *Detector, tape audio.Reader) []float32 {
	t.Helper()
	var out []float32
	_, err := d.each(t.Context(), tape, func(samples []float32, own int) bool {
		a, err := d.queue.Do(t.Context(), d.item(samples, own))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a.Value...)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestScoresAreTheReferences(t *testing.T) {
	for _, name := range tiny {
		d, _ := detector(t, name)
		want := modelstest.Float32s(t, filepath.Join("testdata", name+".scores.f32"))
		got := scores(t, d, modelstest.Tape(t, scene(t)))
		// A patch model's last item is filled up with silence.
		modelstest.Near(t, name, got[:len(want)], want, 1e-3)
		if over := len(got) - len(want); over >= len(d.labels)*d.patches {
			t.Errorf("%s: %d scores more than there are windows", name, over)
		}
	}
}

func TestEventsAreTheReferences(t *testing.T) {
	for _, name := range tiny {
		d, q := detector(t, name)
		raw, err := os.ReadFile(filepath.Join("testdata", name+".events.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want []struct {
			Label, ID              string
			Start, End, Confidence float64
		}
		if err := json.Unmarshal(raw, &want); err != nil || len(want) < 3 {
			t.Fatalf("%s: %d events, error %v", name, len(want), err)
		}
		for _, q.Copies = range []int{1, 3} {
			got, usage, err := d.Detect(t.Context(), modelstest.Tape(t, scene(t)))
			if err != nil {
				t.Fatal(err)
			}
			if usage.Model != name+"@1" || usage.Items == 0 {
				t.Errorf("%s: usage %+v", name, usage)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d events, the reference has %d: %+v", name, len(got), len(want), got)
			}
			for i, w := range want {
				g := got[i]
				if g.Label != w.Label || g.ID != w.ID || math.Abs(float64(g.Start)-w.Start) > 1e-6 ||
					math.Abs(float64(g.End)-w.End) > 1e-6 || math.Abs(float64(g.Confidence)-w.Confidence) > 1e-3 {
					t.Errorf("%s: event %d is %+v, the reference's %+v", name, i, g, w)
				}
			}
		}
	}
}

// However the tape is written, the items are the same bits, and they cover it.
func TestWritingDoesNotShow(t *testing.T) {
	noise := scene(t)
	for _, name := range tiny {
		d, _ := detector(t, name)
		rapid.Check(t, func(rt *rapid.T) {
			samples := noise[:rapid.OneOf(rapid.IntRange(0, 70000), rapid.IntRange(0, len(noise))).Draw(rt, "samples")]
			whole := items(rt, d, samples, func(int) int { return len(samples) })
			parts := items(rt, d, samples, func(int) int { return rapid.IntRange(1, 50000).Draw(rt, "chunk") })
			if !slices.EqualFunc(whole, parts, slices.Equal) {
				rt.Fatalf("%s: %d items written at once, %d in parts, and they differ", name, len(whole), len(parts))
			}
			at := len(samples) * (d.rate / audio.TapeRate)
			windows := 0
			if at > 0 {
				windows = 1 + (max(0, at-d.window)+d.hop-1)/d.hop
			}
			if want := (windows + d.patches - 1) / d.patches; len(whole) != want {
				rt.Fatalf("%s: %d items for %d windows", name, len(whole), windows)
			}
		})
	}
}

func items(rt *rapid.T, d *Detector, samples []float32, chunk func(left int) int) (out [][]float32) {
	tape, err := audio.NewTape("")
	if err != nil {
		rt.Fatal(err)
	}
	defer tape.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, err = d.each(rt.Context(), tape, func(s []float32, own int) bool {
			out = append(out, slices.Clone(s))
			return true
		})
	}()
	for left := samples; len(left) > 0; {
		n := min(len(left), chunk(len(left)))
		if err := tape.Write(left[:n]); err != nil {
			rt.Error(err)
			break
		}
		left = left[n:]
	}
	tape.Finish(nil)
	<-written
	if err != nil {
		rt.Fatal(err)
	}
	return out
}

func TestBrokenTapes(t *testing.T) {
	nan := float32(math.NaN())
	damaged := slices.Clone(scene(t)[:100000])
	repaired := slices.Clone(damaged)
	for i := 5000; i < 6000; i++ {
		damaged[i], repaired[i] = nan, 0
	}
	damaged[7000], repaired[7000] = float32(math.Inf(1)), 0
	for _, name := range tiny {
		d, _ := detector(t, name)
		for what, samples := range map[string][]float32{"one sample": {0.5}, "one NaN": {nan}, "a few": make([]float32, 500)} {
			track, _, err := d.Track(t.Context(), modelstest.Tape(t, samples))
			if err != nil || len(track.Probability) != len(d.labels) {
				t.Fatalf("%s: %s: error %v", name, what, err)
			}
			for _, p := range track.Probability {
				if len(p) != 1 || !(p[0] >= 0 && p[0] <= 1) {
					t.Errorf("%s: %s gives %v", name, what, p)
				}
			}
		}
		events, usage, err := d.Detect(t.Context(), modelstest.Tape(t, nil))
		if err != nil || events == nil || len(events) > 0 || usage.Items != 0 {
			t.Errorf("%s: an empty tape gives %v, %+v, error %v", name, events, usage, err)
		}
		a, b := scores(t, d, modelstest.Tape(t, damaged)), scores(t, d, modelstest.Tape(t, repaired))
		if !slices.Equal(a, b) {
			t.Errorf("%s: samples that are no numbers are not heard as silence", name)
		}
	}
}

// An item's answer is the same bits alone and beside others.
func TestBatchDoesNotShow(t *testing.T) {
	for _, name := range tiny {
		m := model(t, name)
		d, q := detector(t, name)
		var batch []Clip
		if _, err := d.each(t.Context(), modelstest.Tape(t, scene(t)), func(s []float32, own int) bool {
			batch = append(batch, d.item(s, own))
			return true
		}); err != nil {
			t.Fatal(err)
		}
		v, err := models.VerifyRunner[Clip, Scores](t.Context(), m, q.Runner, q.Sessions, batch)
		if err != nil || len(v.Faults) > 0 {
			t.Errorf("%s: %v, error %v", name, v.Faults, err)
		}
	}
}
