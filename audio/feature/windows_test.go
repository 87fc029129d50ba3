package feature_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape gives samples as a finished tape.
func tape(t interface{ Fatal(...any) }, samples []float32, end error) *audio.Tape {
	out, err := audio.NewTape("")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(samples); err != nil {
		t.Fatal(err)
	}
	out.Finish(end)
	return out
}

func TestWindowsCoverTheTapeOnce(t *testing.T) {
	f := frontEnd(t, nil)
	noise := slices.Concat(pcm(t), pcm(t), pcm(t), pcm(t))
	rapid.Check(t, func(rt *rapid.T) {
		frames := rapid.IntRange(1, 60).Draw(rt, "frames")
		margin := rapid.IntRange(0, (frames-1)/2).Draw(rt, "margin")
		samples := noise[:rapid.IntRange(0, 30000).Draw(rt, "samples")]
		r := tape(rt, samples, nil)
		defer r.Close()
		padded := slices.Concat(samples, make([]float32, 400+160*frames))
		whole, at := f.Item(padded), 0
		n, err := feature.Windows{Front: f, Frames: frames, Margin: margin}.Each(t.Context(), r, func(w feature.Window) bool {
			if w.From != at || w.To <= w.From || w.From < w.First || w.To > w.First+frames {
				rt.Fatalf("after frame %d: window %d+%d keeps [%d, %d)", at, w.First, frames, w.From, w.To)
			}
			if !slices.Equal(w.LogMel, whole[w.First*64:(w.First+frames)*64]) {
				rt.Fatalf("window at frame %d has not the tape's frames", w.First)
			}
			at = w.To
			return true
		})
		if err != nil || n != int64(len(samples)) || at != (len(samples)+159)/160 {
			rt.Fatalf("%d samples: heard %d, frames to %d, error %v", len(samples), n, at, err)
		}
	})
}

func TestWindowsStopWithTheirReader(t *testing.T) {
	f := frontEnd(t, nil)
	w := feature.Windows{Front: f, Frames: 20, Margin: 4}
	broken := errors.New("the file ends here")
	r := tape(t, pcm(t), broken)
	defer r.Close()
	if _, err := w.Each(t.Context(), r, func(feature.Window) bool { return true }); !errors.Is(err, broken) {
		t.Errorf("a failed decode gives error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	growing, err := audio.NewTape("")
	if err != nil {
		t.Fatal(err)
	}
	defer growing.Close()
	if _, err := w.Each(ctx, growing, func(feature.Window) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reader gives error %v", err)
	}
	seen := 0
	if _, err := w.Each(t.Context(), r, func(feature.Window) bool { seen++; return false }); err != nil || seen != 1 {
		t.Errorf("%d windows after yield said no, error %v", seen, err)
	}
}
