package whisper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// trickle is a feed that has one more item each time it is asked, as a queue
// that others fill while a batch runs.
type trickle struct {
	items []Item
	given int
	heard map[int]Heard
}

func (f *trickle) Take(n int) []Item {
	if n < 1 || f.given == len(f.items) {
		return nil
	}
	f.given++
	return f.items[f.given-1 : f.given]
}

func (f *trickle) Deliver(i int, h Heard) { f.heard[i] = h }

// What is heard in a window is the same to the bit alone, in a batch, in any
// order and in places that others have left; fallbacks, draws, word times and
// prompts of all lengths included.
func TestAnItemDoesNotDependOnItsBatch(t *testing.T) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	o.runner.places = 3
	front := frontOf(t, o.model)
	var items []Item
	for i, clip := range g.Clips {
		it := window(front, clip.play())
		it.Language = []string{"en", "de", "fr"}[i%3]
		it.Previous = []int{300, 301, 302, 303, 304}[:i%5]
		items = append(items, it)
	}
	items[5].Identify = true
	alone := make([]Heard, len(items))
	for i, it := range items {
		h, err := o.runner.Run(t.Context(), o.sessions, []Item{it})
		if err != nil {
			t.Fatal(err)
		}
		alone[i] = h[0]
	}
	same := func(what string, i int, got Heard) {
		t.Helper()
		if !reflect.DeepEqual(got, alone[i]) {
			t.Errorf("%s: item %d gave\n%+v\nalone it gives\n%+v", what, i, got, alone[i])
		}
	}
	together, err := o.runner.Run(t.Context(), o.sessions, items)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range together {
		same("together", i, h)
	}
	backwards := slices.Clone(items)
	slices.Reverse(backwards)
	f := &trickle{items: backwards, heard: map[int]Heard{}}
	if err := o.runner.Refill(t.Context(), o.sessions, f); err != nil {
		t.Fatal(err)
	}
	for i := range items {
		same("one by one, backwards", len(items)-1-i, f.heard[i])
	}
}

// steps counts the decoder's runs and the rows in them.
type steps struct {
	models.Session
	runs, rows int
}

func (s *steps) Run(ctx context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	s.runs++
	s.rows += int(in["input_ids"].Shape()[0])
	return s.Session.Run(ctx, in)
}

// Windows of unequal lengths cost what their tokens cost: rows that are done
// are not decoded on.
func TestFinishedRowsLeaveTheBatch(t *testing.T) {
	for _, least := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d rows at least", least), func(t *testing.T) { finishedRowsLeave(t, least) })
	}
}

func finishedRowsLeave(t *testing.T, least int) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	o.runner.params.Temperatures, o.runner.params.WordTimes = []float64{0}, false
	o.runner.least = least
	front := frontOf(t, o.model)
	var items []Item
	for i := range 8 {
		it := window(front, g.Clips[i%len(g.Clips)].play())
		it.Language = "en"
		items = append(items, it)
	}
	counted := &steps{Session: o.sessions[o.runner.decoder.file]}
	sessions := models.Sessions{o.runner.encoder: o.sessions[o.runner.encoder], o.runner.decoder.file: counted}
	heard, err := o.runner.Run(t.Context(), sessions, items)
	if err != nil {
		t.Fatal(err)
	}
	tokens, longest := 0, 0
	for _, h := range heard {
		tokens += len(h.Tokens) + 1
		longest = max(longest, len(h.Tokens)+1)
	}
	// The first token of each comes from its own first run; with two rows at least, a lone one has an idle one beside it.
	if most := len(items) + longest - 1; counted.runs > most {
		t.Errorf("%d runs of the decoder, want at most %d", counted.runs, most)
	}
	if most := tokens + (least-1)*longest; counted.rows > most {
		t.Errorf("%d rows decoded for %d tokens", counted.rows, tokens)
	}
}

// lost gives logits that are no numbers from its third run on.
type lost struct {
	models.Session
	runs int
}

func (s *lost) Run(ctx context.Context, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	out, err := s.Session.Run(ctx, in)
	if s.runs++; err == nil && s.runs > 2 {
		logits := out["logits"]
		out["logits"] = models.NewTensor(slices.Repeat([]float32{float32(math.NaN())}, len(logits.Elements().([]float32))), logits.Shape()...)
	}
	return out, err
}

// Logits that are no numbers are an error, not a text of the vocabulary's
// first token.
func TestLogitsThatAreNoNumbersAreAnError(t *testing.T) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	it := window(frontOf(t, o.model), g.Clips[0].play())
	it.Language = "en"
	decoder := o.runner.decoder.file
	sessions := models.Sessions{o.runner.encoder: o.sessions[o.runner.encoder], decoder: &lost{Session: o.sessions[decoder]}}
	if _, err := o.runner.Run(t.Context(), sessions, []Item{it}); err == nil || !strings.Contains(err.Error(), decoder+": the logits of token 5 are not finite") {
		t.Errorf("got %v", err)
	}
}

func TestALanguageThatIsNoNumberIsAnError(t *testing.T) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	it := window(frontOf(t, o.model), g.Clips[0].play())
	it.Identify = true
	modelstest.NaN(t, modelstest.Queue[Item, Heard]{Runner: o.runner, Sessions: o.sessions}, it)
}

// A cancelled run ends with the context's error.
func TestACancelledRunEnds(t *testing.T) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	it := window(frontOf(t, o.model), g.Clips[0].play())
	it.Language = "en"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.runner.Run(ctx, o.sessions, []Item{it}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The first pass over a tape of hours ends when its episode does.
func TestACancelledTapeIsNotReadThrough(t *testing.T) {
	o := open(t, "tiny-whisper")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newSpectrum(ctx, frontOf(t, o.model), modelstest.Tape(t, make([]float32, sampleRate))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// onTape transcribes a melody's tape with some parameters changed.
func onTape(t *testing.T, name string, m melody, speech []episode.Span, change func(*Params)) episode.Transcript {
	t.Helper()
	o := open(t, name)
	change(&o.runner.params)
	r, err := New(o.model, modelstest.Queue[Item, Heard]{Runner: o.runner, Sessions: o.sessions})
	if err != nil {
		t.Fatal(err)
	}
	r.params = o.runner.params
	tr, usage, err := r.Transcribe(t.Context(), modelstest.Tape(t, m.play()), speech)
	if err != nil {
		t.Fatal(err)
	}
	if usage.Model != o.model.Manifest.Ref() || len(speech) > 0 && usage.Items == 0 {
		t.Errorf("usage %+v", usage)
	}
	return tr
}

// Transcripts are in order, within the speech's pieces, and say where their
// words' times come from; nothing is written where nobody speaks.
func TestTranscriptsOfPieces(t *testing.T) {
	g := goldenOf(t, "tiny-whisper")
	speech := []episode.Span{{Start: 1, End: 9}, {Start: 14, End: 22}, {Start: 40, End: 55}, {Start: 110, End: 149}}
	for _, c := range []struct {
		long, want string
		words      bool
	}{{longPieces, timesAttention, true}, {longPieces, "", false}, {longSequential, timesAttention, true}} {
		t.Run(fmt.Sprint(c.long, c.words), func(t *testing.T) {
			tr := onTape(t, "tiny-whisper", g.Files[0].melody, speech, func(p *Params) {
				p.LongForm, p.WordTimes, p.Language, p.MaxCompression = c.long, c.words, "en", 1e9
				p.Temperatures = []float64{0}
			})
			if tr.Language != "en" || tr.WordTimes != c.want || len(tr.Segments) == 0 {
				t.Fatalf("language %q, word times %q, %d segments", tr.Language, tr.WordTimes, len(tr.Segments))
			}
			for i, s := range tr.Segments {
				if !speaks(speech, s.Span) {
					t.Errorf("segment %d at %v to %v, where nobody speaks", i, s.Start, s.End)
				}
				if s.Text == "" || s.End <= s.Start || (len(s.Words) > 0) != c.words {
					t.Errorf("segment %d: %+v", i, s)
				}
				if i > 0 && s.Start < tr.Segments[i-1].Start {
					t.Errorf("segment %d starts at %v, before the one before it", i, s.Start)
				}
			}
		})
	}
	if tr := onTape(t, "tiny-whisper", g.Files[0].melody, nil, func(*Params) {}); len(tr.Segments) != 0 {
		t.Errorf("%d segments without speech", len(tr.Segments))
	}
}

// What the guards leave out, and what no low temperature gave, is said.
func TestTheTranscriptSaysWhatIsDoubted(t *testing.T) {
	g := goldenOf(t, "tiny-whisper")
	speech := []episode.Span{{Start: 1, End: 9}, {Start: 40, End: 48}, {Start: 110, End: 118}}
	for name, c := range map[string]struct {
		change   func(*Params)
		segments bool
		warnings []string
	}{
		"nothing": {func(p *Params) { p.MaxCompression, p.MinLogP, p.MaxNoSpeech, p.Guard = 1e9, -1e9, 1, false }, true, nil},
		"what repeats itself": {
			func(p *Params) {
				p.Temperatures, p.MaxCompression, p.MinLogP, p.MaxNoSpeech = []float64{0}, 0.01, -1e9, 1
			}, false,
			[]string{codeLeftOut + ": text is left out, the first at 0.80 s; windows that only repeat themselves: 3", codeTemperature + ": windows decoded at a temperature above 0: 0 of 3, up to 0; that passed the thresholds at none: 3"},
		},
		"what the model hears as silence": {
			func(p *Params) { p.Temperatures, p.MaxCompression, p.MinLogP, p.MaxNoSpeech = []float64{0}, 1e9, 0, 0 }, false,
			[]string{codeLeftOut + ": text is left out, the first at 0.80 s; windows in which the model hears nothing said: 3"},
		},
		"what lies beyond the speech": {
			func(p *Params) {
				p.LongForm, p.Temperatures, p.MaxCompression, p.MinLogP, p.MaxNoSpeech = longSequential, []float64{0}, 1e9, -1e9, 1
			}, true,
			[]string{codeLeftOut + ": text is left out, the first at "},
		},
		"a temperature": {
			func(p *Params) {
				p.Temperatures, p.MaxCompression, p.MinLogP, p.MaxNoSpeech, p.Guard = []float64{0, 0.5}, 1e9, 0, 1, false
			}, true,
			[]string{codeTemperature + ": windows decoded at a temperature above 0: 3 of 3, up to 0.5; that passed the thresholds at none: 3"},
		},
	} {
		tr := onTape(t, "tiny-whisper", g.Files[0].melody, speech, func(p *Params) { p.Language, p.LongForm = "en", longPieces; c.change(p) })
		if len(tr.Segments) > 0 != c.segments || len(tr.Warnings) != len(c.warnings) {
			t.Errorf("%s: %d segments, warnings %q", name, len(tr.Segments), tr.Warnings)
			continue
		}
		for i, w := range tr.Warnings {
			if got := w.Code + ": " + w.Detail; !strings.HasPrefix(got, c.warnings[i]) {
				t.Errorf("%s: warning %q, want %q", name, got, c.warnings[i])
			}
		}
	}
}

// Words without cross-attention lie side by side over their segment.
func TestInterpolatedWords(t *testing.T) {
	o := open(t, "tiny-whisper")
	text, err := encodePrompt(o.model, "so you can do it, all of it.")
	if err != nil {
		t.Fatal(err)
	}
	s := segment{start: 10, end: 12, tokens: text, text: o.runner.words.text(text), logP: -1}
	interpolate(o.runner.words, "en", &s)
	var words []string
	at := 10.0
	for _, w := range s.words {
		words = append(words, w.text)
		near(t, w.text, w.start, at, 1e-9)
		near(t, w.text, w.probability, math.Exp(-1), 1e-9)
		at = w.end
	}
	near(t, "the last word's end", at, 12, 1e-9)
	if want := []string{" so", " you", " can", " do", " it,", " all", " of", " it."}; !slices.Equal(words, want) {
		t.Errorf("words %q, want %q", words, want)
	}
}

// The language over windows all over a tape, with the candidates.
func TestIdentify(t *testing.T) {
	g, o := goldenOf(t, "tiny-whisper"), open(t, "tiny-whisper")
	d, err := NewIdentifier(o.model, modelstest.Queue[Item, Heard]{Runner: o.runner, Sessions: o.sessions})
	if err != nil {
		t.Fatal(err)
	}
	tape := modelstest.Tape(t, g.Clips[0].play())
	l, _, err := d.Identify(t.Context(), tape, []episode.Span{{Start: 0, End: 30}})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Candidates) != 5 || l.Candidates[0].Code != g.Clips[0].Language {
		t.Errorf("candidates %+v, the reference says %s", l.Candidates, g.Clips[0].Language)
	}
	near(t, "probability", float64(l.Confidence), g.Clips[0].Languages[g.Clips[0].Language], 1e-4)
	l, usage, err := d.Identify(t.Context(), tape, nil)
	if err != nil || l.Code != episode.Undetermined || l.Confidence != 0 || usage.Items != 0 {
		t.Errorf("without speech: %+v, %+v, %v", l, usage, err)
	}
	en := open(t, "tiny-whisper-en")
	if _, err := NewIdentifier(en.model, modelstest.Queue[Item, Heard]{Runner: en.runner, Sessions: en.sessions}); err == nil {
		t.Error("an English-only model tells languages apart")
	}
}
