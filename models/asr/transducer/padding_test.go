package transducer

import (
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestPadding(t *testing.T) {
	m := modelstest.Folder(t, "../../parity/tiny-tdt")
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	p := r.params.pieces()
	cut := asr.Cut{Longest: episode.Seconds(p.PieceSeconds), Join: episode.Seconds(p.JoinSeconds), Margin: episode.Seconds(p.MarginSeconds)}
	var pieces []asr.Piece
	for _, e := range modelstest.SampleFeed(t) {
		var speech []episode.Span
		for _, s := range e.Speech {
			speech = append(speech, episode.Span{Start: episode.Seconds(s[0]), End: episode.Seconds(s[1])})
		}
		tape := modelstest.Tape(t, make([]float32, int(e.Duration*audio.TapeRate)))
		if err := cut.Split(t.Context(), tape, speech, func(p asr.Piece) bool { pieces = append(pieces, p); return true }); err != nil {
			t.Fatal(err)
		}
	}
	modelstest.Padding[asr.Piece, Heard](t, m, r, pieces)
}
