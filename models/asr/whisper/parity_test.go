package whisper

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

var parityModels = []string{"tiny-whisper", "tiny-whisper-en", "tiny-whisper-128"}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s: %v, the reference has %v", what, got, want)
	}
}

func frontOf(t *testing.T, m *models.Model) *feature.FrontEnd {
	t.Helper()
	front, err := feature.New(feature.Config(*m.Manifest.Frontend))
	if err != nil {
		t.Fatal(err)
	}
	return front
}

// The log-mel, the encoder's output and the logits of a prompt and of cached
// steps are the reference's.
func TestNumbersAreTheReferences(t *testing.T) {
	for _, name := range parityModels {
		t.Run(name, func(t *testing.T) {
			g, o := goldenOf(t, name), open(t, name)
			it := window(frontOf(t, o.model), g.Clips[0].play())
			var mel []float32
			for m := range o.runner.mels {
				mel = append(mel, it.Mel[m*windowFrames:][:512]...)
			}
			modelstest.Near(t, "log-mel", mel, floats(t, name+".mel"), 1e-4)

			l := loop{Runner: o.runner, ctx: t.Context(), sessions: o.sessions}
			heard, err := l.encode(it.Mel)
			if err != nil {
				t.Fatal(err)
			}
			d := int(heard.shape[2])
			var encoded []float32
			for i := 0; i < int(heard.shape[1]); i += 10 {
				encoded = append(encoded, heard.data[i*d:(i+1)*d]...)
			}
			modelstest.Near(t, "encoder", encoded, floats(t, name+".encoder"), 1e-3)

			prompt, err := o.runner.words.start("en", taskTranscribe)
			if err != nil {
				t.Fatal(err)
			}
			ids := make([]int64, len(prompt))
			for i, p := range prompt {
				ids[i] = int64(p)
			}
			first, err := l.decoder.open(t.Context(), o.sessions, [][]int64{ids}, heard)
			if err != nil {
				t.Fatal(err)
			}
			var logits []float32
			thin := func(row []float32) {
				for i := 0; i < len(row); i += 3 {
					logits = append(logits, row[i])
				}
			}
			for row := range slices.Chunk(first.logits.data, o.runner.words.size) {
				thin(row)
			}
			a := &attempt{prompt: prompt}
			c := &first.cohort
			c.attempts = []*attempt{a}
			for _, token := range g.LogitsTokens[len(prompt):] {
				a.said = append(a.said, token)
				b, err := l.decoder.step(t.Context(), o.sessions, c)
				if err != nil {
					t.Fatal(err)
				}
				thin(b.row(0))
			}
			modelstest.Near(t, "logits", logits, floats(t, name+".logits"), 1e-3)
			if !slices.Equal(o.runner.words.suppress, g.Special.Suppress) {
				t.Errorf("suppressed tokens %v, the reference has %v", o.runner.words.suppress, g.Special.Suppress)
			}
		})
	}
}

// Each window's tokens and what is measured on them are the reference's: with
// and without a prompt, timestamps and draws; and the same in one batch of all.
func TestTokensAreTheReferences(t *testing.T) {
	for _, name := range parityModels {
		t.Run(name, func(t *testing.T) {
			g, o := goldenOf(t, name), open(t, name)
			front := frontOf(t, o.model)
			for _, temperature := range []float64{0, 0.4, 1} {
				o.runner.params.Temperatures = []float64{temperature}
				var items []Item
				var check []func(Heard)
				for i, clip := range g.Clips {
					for j, want := range clip.Decoded {
						if want.Temperature != temperature {
							continue
						}
						it := window(front, clip.play())
						it.Language, it.Previous, it.Unstamped = "en", want.Prompt, !want.Timestamps
						items = append(items, it)
						check = append(check, func(h Heard) {
							what := fmt.Sprintf("clip %d, decoding %d", i, j)
							if !slices.Equal(h.Tokens, want.Tokens) {
								t.Errorf("%s: tokens %v\nthe reference has %v", what, h.Tokens, want.Tokens)
								return
							}
							if h.Text != want.Text {
								t.Errorf("%s: text %q, the reference has %q", what, h.Text, want.Text)
							}
							near(t, what+": mean log-probability", h.LogP, want.LogP, 1e-3)
							near(t, what+": no-speech probability", h.NoSpeech, want.NoSpeech, 1e-4)
							near(t, what+": compression ratio", h.Compression, want.Compression, 1e-9)
						})
					}
				}
				heard, err := o.runner.Run(t.Context(), o.sessions, items)
				if err != nil {
					t.Fatal(err)
				}
				for i, h := range heard {
					check[i](h)
				}
			}
		})
	}
}

// The language token is the reference's, with its probability.
func TestLanguagesAreTheReferences(t *testing.T) {
	for _, name := range []string{"tiny-whisper", "tiny-whisper-128"} {
		g, o := goldenOf(t, name), open(t, name)
		for i, clip := range g.Clips {
			it := window(frontOf(t, o.model), clip.play())
			it.Identify = true
			heard, err := o.runner.Run(t.Context(), o.sessions, []Item{it})
			if err != nil {
				t.Fatal(err)
			}
			if got := heard[0].Languages[0].Language; got != clip.Language {
				t.Errorf("%s clip %d: %s, the reference says %s", name, i, got, clip.Language)
			}
			for _, l := range heard[0].Languages {
				if want, ok := clip.Languages[l.Language]; ok {
					near(t, l.Language, l.Probability, want, 1e-4)
				}
			}
		}
	}
}

// Words' times by cross-attention are the reference's.
func TestWordTimesAreTheReferences(t *testing.T) {
	for _, name := range parityModels {
		g, o := goldenOf(t, name), open(t, name)
		o.runner.params.Temperatures = []float64{0}
		for i, clip := range g.Clips {
			it := window(frontOf(t, o.model), clip.play())
			it.Language = "en"
			if it.Frames != clip.AlignmentFrames {
				t.Errorf("%s clip %d: %d frames of audio, the reference was given %d", name, i, it.Frames, clip.AlignmentFrames)
			}
			heard, err := o.runner.Run(t.Context(), o.sessions, []Item{it})
			if err != nil {
				t.Fatal(err)
			}
			if len(heard[0].Words) != len(clip.Alignment) {
				t.Errorf("%s clip %d: %d words, the reference has %d", name, i, len(heard[0].Words), len(clip.Alignment))
				continue
			}
			for j, w := range heard[0].Words {
				want := clip.Alignment[j]
				if w.text != want.Word || !slices.Equal(w.tokens, want.Tokens) {
					t.Errorf("%s clip %d word %d: %q, the reference has %q", name, i, j, w.text, want.Word)
				}
				near(t, fmt.Sprintf("%s clip %d word %d %q: start", name, i, j, w.text), w.start, want.Start, 1e-6)
				near(t, fmt.Sprintf("%s clip %d word %d %q: end", name, i, j, w.text), w.end, want.End, 1e-6)
				near(t, fmt.Sprintf("%s clip %d word %d %q: probability", name, i, j, w.text), w.probability, want.Probability, 1e-4)
			}
		}
	}
}

// A whole file by sequential seeking gives the reference's segments: their
// times, tokens, text, and words.
func TestAWholeFileIsTheReferences(t *testing.T) {
	const name = "tiny-whisper"
	g := goldenOf(t, name)
	for i, file := range g.Files {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			o := open(t, name)
			p := &o.runner.params
			p.WordTimes = file.Options.WordTimestamps
			if file.Options.NoSpeech != nil {
				p.MaxNoSpeech = *file.Options.NoSpeech
			}
			if file.Options.LogP != nil {
				p.MinLogP = *file.Options.LogP
			}
			r, err := New(o.model, modelstest.Queue[Item, Heard]{Runner: o.runner, Sessions: o.sessions})
			if err != nil {
				t.Fatal(err)
			}
			r.params = *p
			r.params.Guard = false
			if file.Options.Previous != nil {
				r.params.PreviousText = *file.Options.Previous
			}
			if file.Options.InitialPrompt != "" {
				if r.prompt, err = encodePrompt(o.model, file.Options.InitialPrompt); err != nil {
					t.Fatal(err)
				}
			}
			tape := modelstest.Tape(t, file.play())
			var usage models.Usage
			lang, got, err := r.sequence(t.Context(), tape, []episode.Span{{Start: 0, End: 1e6}}, &usage, &doubts{})
			if err != nil {
				t.Fatal(err)
			}
			if lang != file.Language {
				t.Fatalf("language %q, the reference says %q", lang, file.Language)
			}
			if len(got) != len(file.Segments) {
				t.Errorf("%d segments, the reference has %d", len(got), len(file.Segments))
			}
			for j := range min(len(got), len(file.Segments)) {
				s, want := got[j], file.Segments[j]
				what := fmt.Sprintf("segment %d", j)
				if !slices.Equal(s.tokens, want.Tokens) || s.text != want.Text {
					t.Fatalf("%s: %q %v\nthe reference has %q %v", what, s.text, s.tokens, want.Text, want.Tokens)
				}
				near(t, what+": start", s.start, want.Start, 1e-6)
				near(t, what+": end", s.end, want.End, 1e-6)
				near(t, what+": mean log-probability", s.logP, want.LogP, 1e-3)
				if len(s.words) != len(want.Words) {
					t.Errorf("%s: %d words, the reference has %d", what, len(s.words), len(want.Words))
					continue
				}
				for k, w := range s.words {
					if w.text != want.Words[k].Word {
						t.Errorf("%s: word %d is %q, the reference has %q", what, k, w.text, want.Words[k].Word)
					}
					near(t, what+": word "+w.text+": start", w.start, want.Words[k].Start, 1e-6)
					near(t, what+": word "+w.text+": end", w.end, want.Words[k].End, 1e-6)
				}
			}
		})
	}
}
