package asr

import (
	"context"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
)

// recording is a tape that is all there.
type recording []float32

func (r recording) ReadAt(ctx context.Context, dst []float32, offset int64) (int, error) {
	if offset >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(dst, r[offset:])
	if n < len(dst) {
		return n, io.EOF
	}
	return n, nil
}

func (r recording) Len(context.Context) (int64, error) { return int64(len(r)), nil }

func TestSplitCoversSpeechOnce(t *testing.T) {
	tape := make(recording, 60*audio.TapeRate)
	for i := range tape {
		tape[i] = float32(i)
	}
	rapid.Check(t, func(t *rapid.T) {
		cut := Cut{
			Longest: episode.Seconds(rapid.Float64Range(1, 15).Draw(t, "longest")),
			Join:    episode.Seconds(rapid.Float64Range(0, 1).Draw(t, "join")),
			Margin:  episode.Seconds(rapid.Float64Range(0, .3).Draw(t, "margin")),
		}
		var speech []episode.Span
		at := 0.0
		for range rapid.IntRange(0, 8).Draw(t, "spans") {
			start := at + rapid.Float64Range(.01, 4).Draw(t, "pause")
			at = start + rapid.Float64Range(.1, 20).Draw(t, "speech")
			speech = append(speech, episode.Span{Start: episode.Seconds(start), End: episode.Seconds(at)})
		}
		var pieces []Piece
		if err := cut.Split(t.Context(), tape, speech, func(p Piece) bool {
			pieces = append(pieces, p)
			return true
		}); err != nil {
			t.Fatal(err)
		}
		heard := make([]bool, len(tape))
		last := float32(-1)
		for _, p := range pieces {
			if len(p.Samples) == 0 || len(p.Samples) > int(samplesAt(cut.Longest)) {
				t.Fatalf("a piece of %d samples, at most %d may be", len(p.Samples), samplesAt(cut.Longest))
			}
			if p.Samples[0] <= last {
				t.Fatalf("the piece at %v overlaps the one before", p.Start)
			}
			if p.Samples[0] != float32(samplesAt(p.Start)) {
				t.Fatalf("the piece at %v starts with sample %v", p.Start, p.Samples[0])
			}
			for i := range p.Samples {
				heard[int(p.Samples[0])+i] = true
			}
			last = p.Samples[len(p.Samples)-1]
		}
		for _, s := range speech {
			for i := samplesAt(s.Start); i < min(samplesAt(s.End), int64(len(tape))); i++ {
				if !heard[i] {
					t.Fatalf("sample %d of %v is in no piece", i, s)
				}
			}
		}
	})
}

func TestLongSpeechIsCutInItsPause(t *testing.T) {
	tape := make(recording, 20*audio.TapeRate)
	for i := range tape {
		tape[i] = float32(i%2) - .5
	}
	clear(tape[int(8.9*audio.TapeRate):int(9.3*audio.TapeRate)])
	var starts []episode.Seconds
	err := Cut{Longest: 12}.Split(t.Context(), tape, []episode.Span{{Start: 1, End: 20}}, func(p Piece) bool {
		starts = append(starts, p.Start)
		return true
	})
	if err != nil || len(starts) != 2 || starts[1] < 8.95 || starts[1] > 9.25 {
		t.Errorf("pieces start at %v, error %v; the pause is at 8.9 to 9.3 s", starts, err)
	}
}

func TestSegmentsEndAtPauses(t *testing.T) {
	word := func(text string, start, end episode.Seconds, c episode.Score) episode.Word {
		return episode.Word{Span: episode.Span{Start: start, End: end}, Text: text, Confidence: c}
	}
	got := segments([]episode.Word{word("hello", 1, 1.5, .9), word("there", 1.6, 2, .5), word("again", 2.6, 3, .7)}, .5)
	texts := []string{}
	for _, s := range got {
		texts = append(texts, s.Text)
	}
	if !slices.Equal(texts, []string{"hello there", "again"}) || got[0].End != 2 || got[1].Start != 2.6 {
		t.Errorf("segments %+v", got)
	}
	if c := float64(got[0].Confidence); c < .72 || c > .73 {
		t.Errorf("confidence %v, want the mean by length", c)
	}
}
