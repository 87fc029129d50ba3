package asr

import (
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// samplePieces are the pieces into which the speech of the sample feed is cut.
func samplePieces(t testing.TB, p Pieces) (all []Piece) {
	t.Helper()
	cut := Cut{Longest: episode.Seconds(p.PieceSeconds), Join: episode.Seconds(p.JoinSeconds), Margin: episode.Seconds(p.MarginSeconds)}
	for _, e := range modelstest.SampleFeed(t) {
		var speech []episode.Span
		for _, s := range e.Speech {
			speech = append(speech, episode.Span{Start: episode.Seconds(s[0]), End: episode.Seconds(s[1])})
		}
		tape := recording(make([]float32, samplesAt(episode.Seconds(e.Duration))))
		if err := cut.Split(t.Context(), tape, speech, func(p Piece) bool { all = append(all, p); return true }); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestPadding(t *testing.T) {
	m := builtIn(t)
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	recognizer, err := New(m, open(t, m))
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Piece, Posteriors](t, m, r, samplePieces(t, recognizer.params.pieces()))
}

func TestPaddingOfCTC(t *testing.T) {
	for _, name := range []string{"tiny-nemo-ctc", "tiny-wav2vec2"} {
		m := modelstest.Folder(t, "../parity/"+name)
		r, err := NewCTCRunner(m)
		if err != nil {
			t.Fatal(err)
		}
		modelstest.Padding[Piece, Posteriors](t, m, r, samplePieces(t, r.params.pieces()))
	}
}
