package asr

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// Pieces are the parameters of every recogniser that hears speech in pieces.
type Pieces struct {
	PieceSeconds  float64 `yaml:"piece_seconds"`  // the longest piece
	JoinSeconds   float64 `yaml:"join_seconds"`   // pauses that stay within a piece
	MarginSeconds float64 `yaml:"margin_seconds"` // of audio around speech
	GapSeconds    float64 `yaml:"gap_seconds"`    // a pause between words that ends a segment
}

// Or gives the parameters that a manifest leaves out.
func (p Pieces) Or(d Pieces) Pieces {
	for _, f := range []struct{ to, from *float64 }{
		{&p.PieceSeconds, &d.PieceSeconds}, {&p.JoinSeconds, &d.JoinSeconds},
		{&p.MarginSeconds, &d.MarginSeconds}, {&p.GapSeconds, &d.GapSeconds},
	} {
		if *f.to == 0 {
			*f.to = *f.from
		}
	}
	return p
}

// DefaultPieces suits networks that were trained on sentences.
var DefaultPieces = Pieces{PieceSeconds: 20, JoinSeconds: .6, MarginSeconds: .2, GapSeconds: .6}

// Check reports a parameter that makes no sense, by its name in the manifest.
func (p Pieces) Check() error {
	switch {
	case !(p.PieceSeconds >= 1 && p.PieceSeconds <= 600):
		return fmt.Errorf("parameters.piece_seconds: %v must be 1 to 600", p.PieceSeconds)
	case !(p.JoinSeconds >= 0):
		return fmt.Errorf("parameters.join_seconds: %v must not be negative", p.JoinSeconds)
	case !(p.MarginSeconds >= 0 && 2*p.MarginSeconds < p.PieceSeconds):
		return fmt.Errorf("parameters.margin_seconds: %v must be less than half a piece", p.MarginSeconds)
	case !(p.GapSeconds > 0):
		return fmt.Errorf("parameters.gap_seconds: %v must be positive", p.GapSeconds)
	}
	return nil
}

// Transcribe takes the speech of a tape through a queue, piece by piece, and
// groups the words of each piece to segments. words is called for each piece
// as soon as the network has run, from many goroutines. speech: in order,
// without overlap. The tape may still be growing. A model without a language
// gives a transcript without one.
func Transcribe[Out any](ctx context.Context, m *models.Model, q models.Queue[Piece, Out], p Pieces, tape audio.Reader, speech []episode.Span, words func(start episode.Seconds, heard Out) []episode.Word) (episode.Transcript, models.Usage, error) {
	cut := Cut{
		Longest: episode.Seconds(p.PieceSeconds),
		Join:    episode.Seconds(p.JoinSeconds),
		Margin:  episode.Seconds(p.MarginSeconds),
	}
	stream := models.NewStream(ctx, spelling[Out]{q, words}, inFlight)
	err := cut.Split(ctx, tape, speech, stream.Add)
	heard, usage, failed := stream.Wait()
	usage.Model = m.Manifest.Ref()
	if failed == nil {
		failed = err
	}
	t := episode.Transcript{Source: "recognised", Segments: []episode.Segment{}}
	if len(m.Manifest.Languages) == 1 {
		t.Language = m.Manifest.Languages[0]
	}
	if failed != nil {
		return t, usage, fmt.Errorf("asr: transcribe: %w", failed)
	}
	for _, words := range heard {
		t.Segments = append(t.Segments, segments(words, episode.Seconds(p.GapSeconds))...)
	}
	return t, usage, nil
}

// spelling finds the words of each piece in the goroutine that waited for it.
type spelling[Out any] struct {
	q     models.Queue[Piece, Out]
	words func(episode.Seconds, Out) []episode.Word
}

func (s spelling[Out]) Do(ctx context.Context, p Piece) (models.Answer[[]episode.Word], error) {
	a, err := s.q.Do(ctx, p)
	if err != nil {
		return models.Answer[[]episode.Word]{}, err
	}
	return models.Answer[[]episode.Word]{
		Value:  s.words(p.Start, a.Value),
		Device: a.Device, Batch: a.Batch, Waited: a.Waited, Ran: a.Ran,
	}, nil
}
