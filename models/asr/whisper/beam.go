package whisper

import (
	"context"
	"fmt"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// BeamRunner decodes windows with onnxruntime's operator WhisperBeamSearch: one
// run from the log-mel to the tokens. The operator has the search, and none of
// Whisper's rules: it gives text without timestamps, probabilities or
// fallbacks.
type BeamRunner struct {
	words  *vocabulary
	params Params
	graph  string
	mels   int
	least  int // rows of a run
}

var _ models.Runner[Item, Heard] = (*BeamRunner)(nil)

// unsaid is the mean log-probability of a text whose runner does not tell how
// sure it is: confidence 0.
const unsaid = -1000

// beamInputs are what the graph has to take.
var beamInputs = []string{"input_features", "max_length", "min_length", "num_beams", "num_return_sequences", "length_penalty", "repetition_penalty", "decoder_input_ids"}

// NewBeamRunner makes the runner of a model of family "whisper-beam-search".
func NewBeamRunner(m *models.Model) (*BeamRunner, error) {
	f := &m.Manifest
	fail := func(format string, args ...any) (*BeamRunner, error) {
		return nil, fmt.Errorf("whisper: model %s: %w", f.Ref(), fmt.Errorf(format, args...))
	}
	words, params, err := read(m, BeamSearchFamily, "one graph")
	if err != nil {
		return nil, err
	}
	if words.multilingual {
		if _, err := words.start(params.Language, params.Task); err != nil {
			return fail("parameters.language: %w: one run cannot tell the language first", err)
		}
	}
	takes := map[string]bool{}
	for _, p := range f.Inputs {
		takes[p.Name] = true
	}
	for _, name := range beamInputs {
		if !takes[name] {
			return fail("inputs: the graph does not take %q: export it with forced decoder ids and without further inputs", name)
		}
	}
	return &BeamRunner{words: words, params: params, graph: f.Sessions[0], mels: f.Frontend.Mels, least: f.Batch.Least()}, nil
}

// Cost is a window's 30 seconds.
func (r *BeamRunner) Cost(Item) float64 { return windowSeconds }

// Length is the window's seconds of audio: the rest of it is silence.
func (r *BeamRunner) Length(it Item) float64 { return float64(it.Frames) * hop / sampleRate }

// Bucket is one for all: every window has one shape.
func (r *BeamRunner) Bucket(Item) int { return 0 }

// Run decodes a batch of windows; a lone one beside a copy of itself unless
// batch.alone says that its batch does not show.
func (r *BeamRunner) Run(ctx context.Context, sessions models.Sessions, batch []Item) ([]Heard, error) {
	s, ok := sessions[r.graph]
	if !ok {
		return nil, fmt.Errorf("whisper: no session %q is open", r.graph)
	}
	start, err := r.words.start(r.params.Language, r.params.Task)
	if err != nil {
		return nil, err
	}
	start = append(start, r.words.noStamps)
	rows, size := max(r.least, len(batch)), r.mels*windowFrames
	mel := make([]float32, 0, rows*size)
	prompt := make([]int32, 0, rows*len(start))
	for i := range rows {
		it := batch[min(i, len(batch)-1)]
		if len(it.Mel) != size {
			return nil, fmt.Errorf("whisper: a log-mel of %d values, want [%d, %d]", len(it.Mel), r.mels, windowFrames)
		}
		mel = append(mel, it.Mel...)
		for _, t := range start {
			prompt = append(prompt, int32(t))
		}
	}
	whole := func(n int) models.Tensor { return models.NewTensor([]int32{int32(n)}, 1) }
	real := func(x float64) models.Tensor { return models.NewTensor([]float32{float32(x)}, 1) }
	out, err := s.Run(ctx, map[string]models.Tensor{
		"input_features":       models.NewTensor(mel, int64(rows), int64(r.mels), windowFrames),
		"max_length":           whole(r.params.MaxTokens),
		"min_length":           whole(0),
		"num_beams":            whole(r.params.Beams),
		"num_return_sequences": whole(1),
		"length_penalty":       real(r.params.LengthPenalty),
		"repetition_penalty":   real(r.params.Repetition),
		"decoder_input_ids":    models.NewTensor(prompt, int64(rows), int64(len(start))),
	})
	if err != nil {
		return nil, fmt.Errorf("whisper: decode %d windows: %w", len(batch), err)
	}
	shape := out["sequences"].Shape()
	sequences, err := models.Elements[int32](out["sequences"])
	if err != nil || len(shape) != 3 || shape[0] != int64(rows) || shape[1] != 1 || shape[2] < int64(len(start)) {
		return nil, fmt.Errorf("whisper: output sequences has shape %v, want [%d, 1, tokens] of int32", shape, rows)
	}
	heard := make([]Heard, len(batch))
	for i := range heard {
		row := sequences[i*int(shape[2]):][:shape[2]]
		h := Heard{Passed: true, LogP: unsaid}
		for _, t := range row[len(start):] {
			if int(t) == r.words.eot {
				break
			}
			h.Tokens = append(h.Tokens, int(t))
		}
		h.Text = strings.TrimSpace(r.words.text(h.Tokens))
		h.Compression = compressionRatio(h.Text)
		heard[i] = h
	}
	return heard, nil
}

// NewBeam makes the recogniser of a model of family "whisper-beam-search" over
// the queue of its BeamRunner.
func NewBeam(m *models.Model, q models.Queue[Item, Heard]) (*Recognizer, error) {
	r, err := New(m, q)
	if err != nil {
		return nil, err
	}
	switch {
	case r.params.LongForm != longPieces:
		return nil, fmt.Errorf("whisper: model %s: parameters.long_form: one run gives no timestamps to seek by: want %q", m.Manifest.Ref(), longPieces)
	case r.params.InitialPrompt != "":
		return nil, fmt.Errorf("whisper: model %s: parameters.initial_prompt: family %q hears without one: leave it out, or take an export of family %q", m.Manifest.Ref(), BeamSearchFamily, Family)
	}
	return r, nil
}
