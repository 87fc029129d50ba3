package asr

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
)

// CTCFamily is the kind of model that CTCRunner runs: any network with CTC
// outputs over a vocabulary, fed with a waveform (wav2vec 2.0 and its kin) or
// with mel channels (NeMo's).
const CTCFamily = "ctc"

// CTCParams are a CTC model's parameters in its manifest. All but those of the
// language model may be left out.
type CTCParams struct {
	Blank       string  `yaml:"blank"`          // see LoadVocabulary
	Lowercase   bool    `yaml:"lowercase"`      // of a vocabulary in capitals
	Normalise   *bool   `yaml:"normalise"`      // a waveform to zero mean and unit variance, as Wav2Vec2FeatureExtractor; absent: yes
	ConvKernel  []int   `yaml:"conv_kernel"`    // a waveform network's convolutions, in samples; absent: wav2vec 2.0's
	ConvStride  []int   `yaml:"conv_stride"`    //
	Subsampling int     `yaml:"subsampling"`    // a mel network's: frames to a step
	Grammar     string  `yaml:"grammar"`        // file of the n-gram model (ARPA, or compiled); absent: the likeliest token of each step
	GrammarOf   string  `yaml:"grammar_of"`     // "words" (if absent) or "tokens": what the grammar's words are
	Lexicon     string  `yaml:"lexicon"`        // file of "word token token …" lines; absent: the grammar's words, spelled
	Merge       string  `yaml:"merge"`          // "max" (if absent): the likeliest alignment counts; "sum": all do
	Beam        int     `yaml:"beam"`           // hypotheses kept at each step
	BeamTokens  int     `yaml:"beam_tokens"`    // likeliest tokens looked at in each step; 0: all
	Threshold   float32 `yaml:"beam_threshold"` // how far below the best one a hypothesis may be
	LMWeight    float32 `yaml:"lm_weight"`      // of the grammar's natural log-probabilities
	WordScore   float32 `yaml:"word_score"`     // added for each word
	Silence     float32 `yaml:"silence_score"`  // added for each step of the token between words

	PieceSeconds  float64 `yaml:"piece_seconds"`  // see Pieces
	JoinSeconds   float64 `yaml:"join_seconds"`   //
	MarginSeconds float64 `yaml:"margin_seconds"` //
	GapSeconds    float64 `yaml:"gap_seconds"`    //
}

// wav2vec 2.0's convolutions (Baevski et al. 2020), which HuBERT, WavLM and
// data2vec share.
var (
	convKernel = []int{10, 3, 3, 3, 3, 2, 2}
	convStride = []int{5, 2, 2, 2, 2, 2, 2}
)

func (p *CTCParams) fill() error {
	if p.ConvKernel == nil && p.ConvStride == nil {
		p.ConvKernel, p.ConvStride = convKernel, convStride
	}
	if p.Subsampling == 0 {
		p.Subsampling = 8
	}
	if p.Beam == 0 {
		p.Beam = 100
	}
	if p.Threshold == 0 {
		p.Threshold = 25
	}
	if p.Merge == "" {
		p.Merge = "max"
	}
	if p.GrammarOf == "" {
		p.GrammarOf = "words"
	}
	positive := func(n int) bool { return n > 0 }
	switch {
	case len(p.ConvKernel) != len(p.ConvStride) || !all(p.ConvKernel, positive) || !all(p.ConvStride, positive):
		return fmt.Errorf("parameters.conv_kernel, conv_stride: %v and %v are not the positive sizes of as many layers", p.ConvKernel, p.ConvStride)
	case p.Subsampling < 1:
		return fmt.Errorf("parameters.subsampling: %d must be at least 1", p.Subsampling)
	case p.Beam < 1 || p.BeamTokens < 0:
		return fmt.Errorf("parameters.beam, beam_tokens: %d and %d must be positive", p.Beam, p.BeamTokens)
	case !(p.Threshold > 0):
		return fmt.Errorf("parameters.beam_threshold: %v must be positive", p.Threshold)
	case !(p.LMWeight >= 0):
		return fmt.Errorf("parameters.lm_weight: %v must not be negative", p.LMWeight)
	case p.Merge != "max" && p.Merge != "sum":
		return fmt.Errorf("parameters.merge: want max or sum, got %q", p.Merge)
	case p.GrammarOf != "words" && p.GrammarOf != "tokens":
		return fmt.Errorf("parameters.grammar_of: want words or tokens, got %q", p.GrammarOf)
	case p.Grammar == "" && (p.Lexicon != "" || p.LMWeight > 0):
		return fmt.Errorf("parameters.grammar: missing, but a lexicon or lm_weight is given")
	}
	return p.pieces().Check()
}

func (p *CTCParams) pieces() Pieces {
	return Pieces{PieceSeconds: p.PieceSeconds, JoinSeconds: p.JoinSeconds, MarginSeconds: p.MarginSeconds, GapSeconds: p.GapSeconds}.Or(DefaultPieces)
}

func all(list []int, f func(int) bool) bool {
	return !slices.ContainsFunc(list, func(n int) bool { return !f(n) })
}

// CTCRunner takes batches of pieces through a CTC network.
type CTCRunner struct {
	session string
	input   models.Port
	side    string // the second input: which samples or frames are the piece's own; "": there is none
	mask    bool   // side is a mask over samples, not a length
	output  string
	front   *feature.FrontEnd // nil: the network takes the waveform
	byMel   bool
	params  CTCParams
	classes int
	least   int // rows of a run
}

var _ models.Runner[Piece, Posteriors] = (*CTCRunner)(nil)

// NewCTCRunner makes the runner of a model of family "ctc". The manifest's
// inputs say what the graph takes: one float32 input [batch, samples], with an
// int64 attention mask [batch, samples] if the network was trained with one; or,
// with a frontend, [batch, mels, frames] or [batch, frames, mels] and their
// int64 lengths [batch]. Its first output is [batch, steps, classes]: logits or
// log-probabilities.
func NewCTCRunner(m *models.Model) (*CTCRunner, error) {
	f := &m.Manifest
	r := &CTCRunner{least: f.Batch.Least()}
	fail := func(format string, args ...any) (*CTCRunner, error) {
		return nil, fmt.Errorf("asr: model %s: %w", f.Ref(), fmt.Errorf(format, args...))
	}
	if f.Family != CTCFamily {
		return fail("family: %q is not known (have %q)", f.Family, CTCFamily)
	}
	if err := models.DecodeParams(m, &r.params); err != nil {
		return fail("%w", err)
	}
	if err := r.params.fill(); err != nil {
		return fail("%w", err)
	}
	if len(f.Sessions) != 1 || len(f.Inputs) < 1 || len(f.Inputs) > 2 || len(f.Outputs) < 1 {
		return fail("a model of family %q has one session with one or two inputs and an output", CTCFamily)
	}
	vocabulary, err := LoadVocabulary(m, r.params.Blank)
	if err != nil {
		return fail("%w", err)
	}
	r.session, r.input, r.output, r.classes = f.Sessions[0], f.Inputs[0], f.Outputs[0].Name, vocabulary.Classes()
	if len(f.Inputs) == 2 {
		r.side = f.Inputs[1].Name
		r.mask = len(f.Inputs[1].Shape) == 2
		if f.Inputs[1].Type != "int64" {
			return fail("inputs[1]: %s is of type %s, want int64 (a mask or lengths)", r.side, f.Inputs[1].Type)
		}
	}
	if f.Frontend == nil {
		if r.input.Type != "float32" || len(r.input.Shape) != 2 {
			return fail("inputs[0]: %s is %s%v, want float32 [batch, samples]: a network of mel channels needs a frontend", r.input.Name, r.input.Type, r.input.Shape)
		}
		return r, nil
	}
	if r.front, err = feature.NewForTape(feature.Config(*f.Frontend)); err != nil {
		return fail("%w", err)
	}
	mels := fmt.Sprint(r.front.Config().Mels)
	switch {
	case r.input.Type != "float32" || len(r.input.Shape) != 3 || r.input.Shape[1] != mels && r.input.Shape[2] != mels:
		return fail("inputs[0]: %s is %s%v, want float32 [batch, %s, frames] or [batch, frames, %s]", r.input.Name, r.input.Type, r.input.Shape, mels, mels)
	case r.mask:
		return fail("inputs[1]: %s has two axes, want the lengths [batch]", r.side)
	}
	r.byMel = r.input.Shape[1] == mels
	return r, nil
}

// samples is how long a piece is for the network: at least what one step needs.
func (r *CTCRunner) samples(p Piece) int {
	if r.front != nil {
		return max(len(p.Samples), r.front.Config().Window)
	}
	need := 1
	for i := len(r.params.ConvKernel) - 1; i >= 0; i-- {
		need = (need-1)*r.params.ConvStride[i] + r.params.ConvKernel[i]
	}
	return max(len(p.Samples), need)
}

// The lengths that pieces are padded to: coarse, so that pieces of like length
// share a batch.
const (
	bucketSamples = audio.TapeRate / 2
	bucketFrames  = 64
)

// padded is a piece's length in the batch, samples or frames. Without a mask a
// waveform's padding would be heard, so a piece keeps its own length and only
// shares a batch with pieces that are as long.
func (r *CTCRunner) padded(p Piece) int {
	n := r.samples(p)
	switch {
	case r.front != nil:
		return (r.front.Frames(n) + bucketFrames - 1) / bucketFrames * bucketFrames
	case r.side != "":
		return (n + bucketSamples - 1) / bucketSamples * bucketSamples
	}
	return n
}

// Cost is the piece's padded length in seconds.
func (r *CTCRunner) Cost(p Piece) float64 {
	if r.front != nil {
		return r.front.Config().Seconds(r.padded(p))
	}
	return float64(r.padded(p)) / audio.TapeRate
}

// Length is the piece's own length in seconds.
func (r *CTCRunner) Length(p Piece) float64 {
	if r.front != nil {
		return r.front.Config().Seconds(r.front.Frames(r.samples(p)))
	}
	return float64(r.samples(p)) / audio.TapeRate
}

// Bucket is the piece's padded length, in frames or samples.
func (r *CTCRunner) Bucket(p Piece) int { return r.padded(p) }

// stepSamples is how far apart the network's steps are.
func (r *CTCRunner) stepSamples() int {
	if r.front != nil {
		return r.front.Config().Hop * r.params.Subsampling
	}
	step := 1
	for _, s := range r.params.ConvStride {
		step *= s
	}
	return step
}

// steps is how many steps of the output are a piece's own.
func (r *CTCRunner) steps(p Piece) int {
	n := r.samples(p)
	if r.front != nil {
		return (r.front.Frames(n) + r.params.Subsampling - 1) / r.params.Subsampling
	}
	for i, kernel := range r.params.ConvKernel {
		n = (n-kernel)/r.params.ConvStride[i] + 1
	}
	return n
}

// Run gives each piece's log-probabilities, a step each stepSamples of audio.
func (r *CTCRunner) Run(ctx context.Context, sessions models.Sessions, batch []Piece) ([]Posteriors, error) {
	session, ok := sessions[r.session]
	if !ok {
		return nil, fmt.Errorf("asr: no session %q is open", r.session)
	}
	heard := make([]Posteriors, len(batch))
	// Pieces that are padded to different lengths would hear one another's.
	byLength := map[int][]int{}
	for i, p := range batch {
		byLength[r.padded(p)] = append(byLength[r.padded(p)], i)
	}
	for length, items := range byLength {
		if err := r.run(ctx, session, batch, items, length, heard); err != nil {
			return nil, fmt.Errorf("asr: recognise %d pieces of up to %.1f s: %w", len(items), r.Cost(batch[items[0]]), err)
		}
	}
	return heard, nil
}

func (r *CTCRunner) run(ctx context.Context, session models.Session, batch []Piece, items []int, length int, heard []Posteriors) error {
	inputs := r.inputs(batch, items, length)
	outputs, err := session.Run(ctx, inputs)
	if err != nil {
		return err
	}
	output, ok := outputs[r.output]
	if !ok {
		return fmt.Errorf("the graph has no output %q", r.output)
	}
	shape, rows := output.Shape(), max(r.least, len(items))
	if len(shape) != 3 || int(shape[0]) != rows || int(shape[2]) != r.classes {
		return fmt.Errorf("output %s has shape %v, want [%d, steps, %d]: the vocabulary has %d classes with the blank", r.output, shape, rows, r.classes, r.classes)
	}
	logits, err := models.Elements[float32](output)
	if err != nil {
		return fmt.Errorf("output %s: %w", r.output, err)
	}
	steps := int(shape[1])
	for row, i := range items {
		own := r.steps(batch[i])
		if own > steps {
			return fmt.Errorf("output %s has %d steps, want at least %d for %d samples: see parameters subsampling, conv_kernel and conv_stride", r.output, steps, own, len(batch[i].Samples))
		}
		logp := slices.Clone(logits[row*steps*r.classes:][:own*r.classes])
		for s := range own {
			if !logSoftmax(logp[s*r.classes:][:r.classes]) {
				return fmt.Errorf("output %s has values that are not finite: at step %d of the piece at %.2f s", r.output, s, float64(batch[i].Start))
			}
		}
		heard[i] = Posteriors{Classes: r.classes, LogP: logp}
	}
	return nil
}

func (r *CTCRunner) inputs(batch []Piece, items []int, length int) map[string]models.Tensor {
	rows := items
	if len(items) < r.least {
		rows = []int{items[0], items[0]}
	}
	n := int64(len(rows))
	size := length
	if r.front != nil {
		size *= r.front.Config().Mels
	}
	input := make([]float32, len(rows)*size)
	lengths := make([]int64, len(rows))
	for row, i := range rows {
		own := input[row*size:][:size]
		lengths[row] = int64(r.fill(own, batch[i], length))
	}
	inputs := map[string]models.Tensor{}
	switch {
	case r.front == nil:
		inputs[r.input.Name] = models.NewTensor(input, n, int64(length))
	case r.byMel:
		inputs[r.input.Name] = models.NewTensor(input, n, int64(r.front.Config().Mels), int64(length))
	default:
		inputs[r.input.Name] = models.NewTensor(input, n, int64(length), int64(r.front.Config().Mels))
	}
	switch {
	case r.mask:
		mask := make([]int64, len(rows)*length)
		for row, own := range lengths {
			for at := range own {
				mask[row*length+int(at)] = 1
			}
		}
		inputs[r.side] = models.NewTensor(mask, n, int64(length))
	case r.side != "":
		inputs[r.side] = models.NewTensor(lengths, n)
	}
	return inputs
}

// fill writes a piece into its row and tells how much of it is its own: samples
// or frames. What is behind stays zero.
func (r *CTCRunner) fill(row []float32, p Piece, length int) int {
	samples := p.Samples
	if n := r.samples(p); n > len(samples) {
		samples = append(slices.Clone(samples), make([]float32, n-len(samples))...)
	}
	if r.front == nil {
		copy(row, samples)
		if r.params.Normalise == nil || *r.params.Normalise {
			standardise(row[:len(samples)])
		}
		return len(samples)
	}
	if r.byMel {
		return FillByMel(row, r.front, samples, length)
	}
	copy(row, r.front.Item(samples))
	return r.front.Frames(len(samples))
}

// FillByMel writes the mel channels of an item into a row of a batch, [mels,
// length], and tells how many frames are its own. What is behind them stays
// zero.
func FillByMel(row []float32, front *feature.FrontEnd, samples []float32, length int) int {
	frames := front.Frames(len(samples))
	logmel := front.ItemByMel(samples)
	for m := range front.Config().Mels {
		copy(row[m*length:], logmel[m*frames:][:frames])
	}
	return frames
}

// standardise gives x zero mean and unit variance, as transformers'
// Wav2Vec2FeatureExtractor does: (x - mean) / sqrt(variance + 1e-7).
func standardise(x []float32) {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	for _, v := range x {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	scale := 1 / math.Sqrt(squares/float64(len(x))+1e-7)
	for i, v := range x {
		x[i] = float32((float64(v) - mean) * scale)
	}
}

// logSoftmax turns logits into log-probabilities, in place; log-probabilities
// stay what they are, and -Inf among them too. It is false for logits that give
// none.
func logSoftmax(row []float32) bool {
	top := slices.Max(row)
	var sum float64
	for _, v := range row {
		sum += math.Exp(float64(v - top))
	}
	shift := top + float32(math.Log(sum))
	for i := range row {
		row[i] -= shift
	}
	return shift-shift == 0
}
