// Package asr recognises speech: it cuts the speech of a tape into pieces,
// has a network say which phones each may hold, and finds the words by a beam
// search over a pronunciation lexicon and a word 3-gram. The words come with
// their times and with how sure the network was of them.
package asr

import (
	"context"
	"fmt"
	"sync"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
)

// Family is the kind of model that this package runs: log-mel in, CTC
// log-probabilities of phones out, with a lexicon and a 3-gram beside it.
const Family = "ctc-phones"

// The files beside the graph.
const (
	lexiconFile = "lexicon.bin"
	grammarFile = "lm.bin"
)

// inFlight is how many pieces of one episode may be under way: enough to fill
// batches, few enough to bound the memory of a long episode.
const inFlight = 32

// Params are the model's parameters in its manifest.
type Params struct {
	Beam          int     `yaml:"beam"`           // hypotheses kept at each step
	BeamThreshold float32 `yaml:"beam_threshold"` // how far below the best one a hypothesis may be
	LMWeight      float32 `yaml:"lm_weight"`      // of the 3-gram's log-probabilities
	WordScore     float32 `yaml:"word_score"`     // added for each word
	PauseSteps    int     `yaml:"pause_steps"`    // steps of silence that may end a sentence; 0: none do
	PieceSeconds  float64 `yaml:"piece_seconds"`  // the longest piece
	JoinSeconds   float64 `yaml:"join_seconds"`   // pauses that stay within a piece
	MarginSeconds float64 `yaml:"margin_seconds"` // of audio around speech
	GapSeconds    float64 `yaml:"gap_seconds"`    // a pause between words that ends a segment
	Confidence    *Trust  `yaml:"confidence"`     // without it, a word's confidence is its phones' geometric mean
}

func (p *Params) check() error {
	switch {
	case p.Beam < 1:
		return fmt.Errorf("parameters.beam: %d must be at least 1", p.Beam)
	case !(p.BeamThreshold > 0):
		return fmt.Errorf("parameters.beam_threshold: %v must be positive", p.BeamThreshold)
	case !(p.LMWeight >= 0):
		return fmt.Errorf("parameters.lm_weight: %v must not be negative", p.LMWeight)
	}
	if p.Confidence != nil {
		if err := p.Confidence.check(); err != nil {
			return err
		}
	}
	return p.pieces().Check()
}

func (p *Params) pieces() Pieces {
	return Pieces{PieceSeconds: p.PieceSeconds, JoinSeconds: p.JoinSeconds, MarginSeconds: p.MarginSeconds, GapSeconds: p.GapSeconds}
}

// Recognizer writes down what is said. It is safe for concurrent use.
type Recognizer struct {
	model    *models.Model
	queue    models.Queue[Piece, Posteriors]
	params   Params
	lexicon  *lexicon
	phones   []uint8 // in the shortest pronunciation of each word
	search   search
	step     episode.Seconds
	decoders sync.Pool // *decoder
}

// New makes the recogniser of a model of family "ctc-phones" over the queue of
// its Runner. It reads the model's lexicon and 3-gram into memory; a file that
// does not fit the manifest is an error.
func New(m *models.Model, q models.Queue[Piece, Posteriors]) (*Recognizer, error) {
	r := &Recognizer{model: m, queue: q}
	fail := func(err error) (*Recognizer, error) {
		return nil, fmt.Errorf("asr: model %s: %w", m.Manifest.Ref(), err)
	}
	if err := models.DecodeParams(m, &r.params); err != nil {
		return fail(err)
	}
	if err := r.params.check(); err != nil {
		return fail(err)
	}
	if m.Manifest.Frontend == nil {
		return fail(fmt.Errorf("frontend: missing"))
	}
	f := m.Manifest.Frontend
	r.step = episode.Seconds(float64(stride*f.Hop) / float64(f.SampleRate))
	b, err := m.Read(lexiconFile)
	if err != nil {
		return fail(err)
	}
	if r.lexicon, err = readLexicon(b, len(m.Manifest.Labels)); err != nil {
		return fail(err)
	}
	if b, err = m.Read(grammarFile); err != nil {
		return fail(err)
	}
	grammar, err := readNgram(b)
	if err != nil {
		return fail(err)
	}
	if r.search, err = newSearch(r.lexicon, grammar, r.params); err != nil {
		return fail(err)
	}
	r.phones = make([]uint8, len(r.lexicon.words))
	for _, p := range r.lexicon.pronunciations {
		if n := uint8(len(p.phones)); r.phones[p.word] == 0 || n < r.phones[p.word] {
			r.phones[p.word] = n
		}
	}
	r.decoders.New = func() any { return newDecoder() }
	return r, nil
}

func newSearch(l *lexicon, g *ngram, p Params) (search, error) {
	if l.check != g.check || len(l.words)+firstWord != g.words {
		return search{}, fmt.Errorf("%s and %s were not made together: %d words against %d", lexiconFile, grammarFile, len(l.words), g.words-firstWord)
	}
	return search{
		tree:    newTree(l, g.p1, nil),
		grammar: g,
		options: searchOptions{beam: p.Beam, threshold: p.BeamThreshold, lmWeight: p.LMWeight, wordScore: p.WordScore, pauseSteps: p.PauseSteps, silence: noLabel},
	}, nil
}

// Languages are the BCP 47 tags of what the model understands.
func (r *Recognizer) Languages() []string { return r.model.Manifest.Languages }

// Plain tells whether its texts are bare words, as those of the built-in
// lexicon are: no capitals, no punctuation.
func (r *Recognizer) Plain() bool { return plain(r.lexicon.words, false) }

// Transcribe writes down the speech of a tape as segments between pauses.
// speech: in order, without overlap. The tape may still be growing.
func (r *Recognizer) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error) {
	return Transcribe(ctx, r.model, r.queue, r.params.pieces(), tape, speech, r.Words)
}

// Words finds the words of one piece that starts at a time of the episode.
func (r *Recognizer) Words(start episode.Seconds, p Posteriors) []episode.Word {
	d := r.decoders.Get().(*decoder)
	defer r.decoders.Put(d)
	found := d.decode(&r.search, p.LogP, p.Classes)
	words := make([]episode.Word, len(found))
	var all []Evidence
	if r.params.Confidence != nil {
		all = r.evidence(found, p.LogP, p.Classes)
	}
	for i, w := range found {
		confidence := min(1, w.confidence)
		if all != nil {
			confidence = r.params.Confidence.confidence(all[i])
		}
		// CTC marks where a phone is surest, not how long it lasts: the last
		// phone gets up to two steps more, if the next word leaves them.
		end := w.end + 2
		if i+1 < len(found) {
			end = min(end, max(w.end, found[i+1].start))
		}
		words[i] = episode.Word{
			Span:       episode.Span{Start: start + episode.Seconds(w.start)*r.step, End: start + episode.Seconds(end)*r.step},
			Text:       r.lexicon.words[w.word],
			Confidence: episode.Score(confidence),
		}
	}
	return words
}

// segments groups words: a pause of at least gap starts another segment. A
// segment's confidence is its words' mean, weighted by their lengths.
func segments(words []episode.Word, gap episode.Seconds) []episode.Segment {
	var out []episode.Segment
	for first := 0; first < len(words); {
		last := first
		for last+1 < len(words) && words[last+1].Start-words[last].End < gap {
			last++
		}
		s := episode.Segment{Span: episode.Span{Start: words[first].Start, End: words[last].End}, Words: words[first : last+1 : last+1]}
		var sum, weight float64
		for i, w := range s.Words {
			if i > 0 {
				s.Text += " "
			}
			s.Text += w.Text
			sum += float64(w.Confidence) * float64(w.Len())
			weight += float64(w.Len())
		}
		s.Confidence = episode.Score(sum / max(weight, 1e-9))
		out = append(out, s)
		first = last + 1
	}
	return out
}
