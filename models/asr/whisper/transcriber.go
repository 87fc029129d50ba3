package whisper

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/tokenizer"
)

// inFlight is how many windows of one episode may be under way: enough to fill
// batches, few enough to bound the memory of a long episode (1 MB each).
const inFlight = 16

// Recognizer writes down what is said. It is safe for concurrent use.
type Recognizer struct {
	model  *models.Model
	queue  models.Queue[Item, Heard]
	front  *feature.FrontEnd
	words  *vocabulary
	params Params
	prompt []int // the initial prompt's tokens
}

// New makes the recogniser of a model of family "whisper" over the queue of
// its Runner.
func New(m *models.Model, q models.Queue[Item, Heard]) (*Recognizer, error) {
	r := &Recognizer{model: m, queue: q}
	var err error
	if r.params, err = readParams(m); err != nil {
		return nil, err
	}
	if r.words, err = readVocabulary(m); err != nil {
		return nil, err
	}
	fail := func(err error) (*Recognizer, error) {
		return nil, fmt.Errorf("whisper: model %s: %w", m.Manifest.Ref(), err)
	}
	if r.params.Language != "" && r.words.multilingual {
		if _, err := r.words.start(r.params.Language, r.params.Task); err != nil {
			return fail(fmt.Errorf("parameters.language: %w", err))
		}
	}
	if m.Manifest.Frontend == nil {
		return fail(fmt.Errorf("frontend: missing"))
	}
	if r.front, err = feature.New(feature.Config(*m.Manifest.Frontend)); err != nil {
		return fail(err)
	}
	if r.params.InitialPrompt != "" {
		if r.prompt, err = encodePrompt(m, r.params.InitialPrompt); err != nil {
			return fail(fmt.Errorf("parameters.initial_prompt: %w", err))
		}
	}
	return r, nil
}

// encodePrompt gives a prompt's tokens, as text that goes on from before.
func encodePrompt(m *models.Model, prompt string) ([]int, error) {
	b, err := m.Read(tokenizerFile)
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Read(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	return t.Encode(" "+strings.TrimSpace(prompt), false), nil
}

// Languages are the BCP 47 tags of what the model understands.
func (r *Recognizer) Languages() []string { return r.model.Manifest.Languages }

// What a transcript says of its words' times.
const (
	timesAttention    = "cross-attention"
	timesInterpolated = "interpolated"
)

// Transcribe writes down the speech of a tape. speech: in order, without
// overlap. With long_form "pieces" the tape may still be growing; with
// "sequential" its end is waited for, since the log-mel's range is the whole
// tape's.
func (r *Recognizer) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error) {
	t := episode.Transcript{Source: "recognised", Segments: []episode.Segment{}}
	usage := models.Usage{Model: r.model.Manifest.Ref()}
	if len(speech) == 0 && r.params.Guard {
		t.Language = episode.Undetermined
		return t, usage, nil
	}
	var d doubts
	run := r.pieces
	if r.params.LongForm == longSequential {
		run = r.sequence
	}
	lang, segments, err := run(ctx, tape, speech, &usage, &d)
	if err != nil {
		return t, usage, fmt.Errorf("whisper: transcribe: %w", err)
	}
	if t.Language = lang; r.params.Task == taskTranslate {
		t.Language = "en"
	}
	t.Warnings = d.warnings()
	if r.params.WordTimes {
		t.WordTimes = timeWords(r.words, lang, segments)
	}
	for i := range segments {
		if out, ok := segments[i].record(); ok {
			t.Segments = append(t.Segments, out)
		}
	}
	return t, usage, nil
}

// known is the language to transcribe in where it need not be heard: the
// manifest's, or English for an English-only model; else "".
func (r *Recognizer) known() string {
	if !r.words.multilingual {
		return "en"
	}
	return r.params.Language
}

// do runs one item and adds to the usage.
func (r *Recognizer) do(ctx context.Context, it Item, usage *models.Usage) (Heard, error) {
	a, err := r.queue.Do(ctx, it)
	if err != nil {
		return Heard{}, err
	}
	usage.Add(a.Usage())
	return a.Value, nil
}

// piece is one stretch of speech and where it lies.
type piece struct {
	start  float64 // seconds
	frames int     // of the log-mel
}

// pieces transcribes stretches of speech side by side, in the language that is
// heard where speech begins.
func (r *Recognizer) pieces(ctx context.Context, tape audio.Reader, speech []episode.Span, usage *models.Usage, d *doubts) (string, []segment, error) {
	lang := r.known()
	if lang == "" {
		likeliest, err := r.identify(ctx, tape, firstWindows(speech, r.params.Windows), usage)
		if err != nil {
			return "", nil, err
		}
		if lang = "en"; len(likeliest) > 0 {
			lang = likeliest[0].Language
		}
	}
	cut := asr.Cut{
		Longest: episode.Seconds(r.params.PieceSeconds),
		Join:    episode.Seconds(r.params.JoinSeconds),
		Margin:  episode.Seconds(r.params.MarginSeconds),
	}
	var cuts []piece
	stream := models.NewStream(ctx, listening{r, lang}, inFlight)
	err := cut.Split(ctx, tape, speech, func(p asr.Piece) bool {
		cuts = append(cuts, piece{float64(p.Start), len(p.Samples) / hop})
		return stream.Add(p)
	})
	heard, used, failed := stream.Wait()
	usage.Add(used)
	if failed == nil {
		failed = err
	}
	if failed != nil {
		return "", nil, failed
	}
	var out []segment
	lastSpeech := 0.0
	for i := range heard {
		h := &heard[i]
		d.decoded(h)
		if r.silent(h) {
			d.leave(&d.noSpeech, r.words.text(h.Tokens), cuts[i].start)
			continue
		}
		if r.repeats(h) {
			d.leave(&d.repeated, h.Text, cuts[i].start)
			continue
		}
		segments, _, _ := cutSegments(r.words, h, cuts[i].start, cuts[i].frames, true)
		if h.Words != nil {
			placeWords(segments, h.Words, cuts[i].start, lastSpeech, r.words.eot)
		}
		clearEmpty(segments)
		// What the model puts beyond the piece is cut off at its end.
		for j := range segments {
			segments[j].end = min(segments[j].end, cuts[i].start+seconds(cuts[i].frames))
		}
		out = append(out, r.guard(segments, speech, d)...)
		if n := len(segments); n > 0 {
			lastSpeech = segments[n-1].end
		}
	}
	return lang, out, nil
}

// listening makes each piece's log-mel in the goroutine that waits for it, so
// that no device does.
type listening struct {
	r    *Recognizer
	lang string
}

func (l listening) Do(ctx context.Context, p asr.Piece) (models.Answer[Heard], error) {
	it := window(l.r.front, p.Samples)
	it.Language, it.Previous = l.lang, l.r.prompt
	return l.r.queue.Do(ctx, it)
}

// silent tells whether nothing is said in a window: the model says so, and is
// not sure of what it wrote instead (transcribe.py).
func (r *Recognizer) silent(h *Heard) bool {
	return h.NoSpeech > r.params.MaxNoSpeech && !(h.LogP > r.params.MinLogP)
}

// repeats tells whether a window's text is a loop, even in the last attempt:
// what the model says of music and noise.
func (r *Recognizer) repeats(h *Heard) bool {
	return r.params.Guard && h.Compression > r.params.MaxCompression
}

// guard leaves out segments that lie where nobody speaks: text that the model
// invents over music and silence.
func (r *Recognizer) guard(segments []segment, speech []episode.Span, d *doubts) []segment {
	if !r.params.Guard {
		return segments
	}
	return slices.DeleteFunc(segments, func(s segment) bool {
		if speaks(speech, episode.Span{Start: episode.Seconds(s.start), End: episode.Seconds(s.end)}) {
			return false
		}
		d.leave(&d.unspoken, s.text, s.start)
		return true
	})
}

// speaks tells whether any speech lies within a span.
func speaks(speech []episode.Span, span episode.Span) bool {
	i, _ := slices.BinarySearchFunc(speech, span.Start, func(s episode.Span, at episode.Seconds) int {
		if s.End <= at {
			return -1
		}
		return 1
	})
	return i < len(speech) && speech[i].Start < span.End
}
