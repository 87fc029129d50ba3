package asr

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// CTC writes down what is said with a model of family "ctc": the likeliest
// token of each step, or, with a grammar, the words that a beam search finds.
// It is safe for concurrent use.
type CTC struct {
	model      *models.Model
	queue      models.Queue[Piece, Posteriors]
	params     CTCParams
	vocabulary *Vocabulary
	step       episode.Seconds
	search     *search // nil: greedy
	words      []string
	decoders   sync.Pool // *decoder
}

// NewCTC makes the recogniser of a model of family "ctc" over the queue of its
// CTCRunner. It reads the grammar and the lexicon into memory.
func NewCTC(m *models.Model, q models.Queue[Piece, Posteriors]) (*CTC, error) {
	r, err := NewCTCRunner(m)
	if err != nil {
		return nil, err
	}
	c := &CTC{model: m, queue: q, params: r.params, step: episode.Seconds(float64(r.stepSamples()) / audio.TapeRate)}
	fail := func(err error) (*CTC, error) {
		return nil, fmt.Errorf("asr: model %s: %w", m.Manifest.Ref(), err)
	}
	if c.vocabulary, err = LoadVocabulary(m, c.params.Blank); err != nil {
		return fail(err)
	}
	if c.params.Grammar != "" {
		if err := c.loadSearch(); err != nil {
			return fail(err)
		}
	}
	c.decoders.New = func() any { return newDecoder() }
	return c, nil
}

// Languages are the BCP 47 tags of what the model understands.
func (c *CTC) Languages() []string { return c.model.Manifest.Languages }

// Plain tells whether its texts are bare words: no capitals, no punctuation.
func (c *CTC) Plain() bool {
	return c.vocabulary.Plain(c.params.Lowercase) && plain(c.words, c.params.Lowercase)
}

// Transcribe writes down the speech of a tape as segments between pauses.
// speech: in order, without overlap. The tape may still be growing.
func (c *CTC) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error) {
	return Transcribe(ctx, c.model, c.queue, c.params.pieces(), tape, speech, c.Words)
}

// Words finds the words of one piece that starts at a time of the episode.
func (c *CTC) Words(start episode.Seconds, p Posteriors) []episode.Word {
	return AtTimes(c.spellings(p), start, c.step, c.params.Lowercase)
}

func (c *CTC) spellings(p Posteriors) []Spelling {
	if c.search == nil {
		return c.vocabulary.Words(greedy(p.LogP, p.Classes, c.vocabulary.blank))
	}
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	return c.spelled(d.decode(c.search, p.LogP, p.Classes))
}

// AtTimes gives words their times in an episode: start is the time of step 0,
// step the length of one.
func AtTimes(words []Spelling, start, step episode.Seconds, lowercase bool) []episode.Word {
	out := make([]episode.Word, len(words))
	for i, w := range words {
		if lowercase {
			w.Text = strings.ToLower(w.Text)
		}
		out[i] = episode.Word{
			Span:       episode.Span{Start: start + episode.Seconds(w.Start)*step, End: start + episode.Seconds(w.End)*step},
			Text:       w.Text,
			Confidence: episode.Score(min(1, w.Confidence)),
		}
	}
	return out
}
