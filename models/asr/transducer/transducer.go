// Package transducer recognises speech with transducers (Graves 2012): an
// encoder hears a piece at once, then a small network of prediction and joint
// says token after token what was heard, step by step, and for the
// token-and-duration kind (Xu et al. 2023) how far each goes. It runs the
// graphs that NeMo exports (Parakeet RNNT and TDT), greedily, all pieces of a
// batch side by side.
package transducer

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr"
)

// Family is the kind of model that this package runs.
const Family = "transducer"

// Params are a transducer's parameters in its manifest. All may be left out.
type Params struct {
	Blank      string `yaml:"blank"`       // see asr.LoadVocabulary
	Lowercase  bool   `yaml:"lowercase"`   // of a vocabulary in capitals
	MaxSymbols int    `yaml:"max_symbols"` // tokens at one step at most; absent: 10
	Durations  []int  `yaml:"durations"`   // of a token-and-duration network's last outputs, in steps; absent: it has none
	Sampling   int    `yaml:"subsampling"` // frames to a step; absent: 8

	PieceSeconds  float64 `yaml:"piece_seconds"`  // see asr.Pieces
	JoinSeconds   float64 `yaml:"join_seconds"`   //
	MarginSeconds float64 `yaml:"margin_seconds"` //
	GapSeconds    float64 `yaml:"gap_seconds"`    //
}

func (p *Params) fill() error {
	if p.MaxSymbols == 0 {
		p.MaxSymbols = 10
	}
	if p.Sampling == 0 {
		p.Sampling = 8
	}
	if p.MaxSymbols < 1 || p.Sampling < 1 {
		return fmt.Errorf("parameters.max_symbols, subsampling: %d and %d must be at least 1", p.MaxSymbols, p.Sampling)
	}
	for i, d := range p.Durations {
		if d < 0 {
			return fmt.Errorf("parameters.durations[%d]: %d must not be negative", i, d)
		}
	}
	return p.pieces().Check()
}

func (p *Params) pieces() asr.Pieces {
	return asr.Pieces{PieceSeconds: p.PieceSeconds, JoinSeconds: p.JoinSeconds, MarginSeconds: p.MarginSeconds, GapSeconds: p.GapSeconds}.Or(asr.DefaultPieces)
}

// Recognizer writes down what is said. It is safe for concurrent use.
type Recognizer struct {
	model      *models.Model
	queue      models.Queue[asr.Piece, Heard]
	params     Params
	vocabulary *asr.Vocabulary
	step       episode.Seconds
}

// New makes the recogniser of a model of family "transducer" over the queue of
// its Runner.
func New(m *models.Model, q models.Queue[asr.Piece, Heard]) (*Recognizer, error) {
	r, err := NewRunner(m)
	if err != nil {
		return nil, err
	}
	return &Recognizer{
		model: m, queue: q, params: r.params, vocabulary: r.vocabulary,
		step: episode.Seconds(float64(r.params.Sampling*r.front.Config().Hop) / audio.TapeRate),
	}, nil
}

// Languages are the BCP 47 tags of what the model understands.
func (r *Recognizer) Languages() []string { return r.model.Manifest.Languages }

// Plain tells whether its texts are bare words: no capitals, no punctuation.
func (r *Recognizer) Plain() bool { return r.vocabulary.Plain(r.params.Lowercase) }

// Transcribe writes down the speech of a tape as segments between pauses.
// speech: in order, without overlap. The tape may still be growing.
func (r *Recognizer) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error) {
	return asr.Transcribe(ctx, r.model, r.queue, r.params.pieces(), tape, speech, r.Words)
}

// Words finds the words of one piece that starts at a time of the episode.
func (r *Recognizer) Words(start episode.Seconds, h Heard) []episode.Word {
	return asr.AtTimes(r.vocabulary.Words(h.Tokens), start, r.step, r.params.Lowercase)
}
