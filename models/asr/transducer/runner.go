package transducer

import (
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/audio/feature"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr"
)

// Heard is what the networks heard in a piece.
type Heard struct {
	Tokens []asr.Token // each from its step to where its duration ends, or one step long
}

// The names that NeMo's export gives the second graph's ports.
const (
	portEncoded   = "encoder_outputs"
	portTargets   = "targets"
	portLength    = "target_length"
	portStates    = "input_states_"
	portNewStates = "output_states_"
	portLogits    = "outputs"
)

// bucket is what a padded piece's length is a multiple of, in frames: coarse,
// so that pieces of like length share a batch.
const bucket = 64

// Runner takes batches of pieces through the encoder, and then step by step
// through prediction and joint until every piece is over.
type Runner struct {
	params     Params
	front      *feature.FrontEnd
	vocabulary *asr.Vocabulary
	encoder    string
	decoder    string
	input      string
	length     string
	encoded    string
	lengths    string
	states     []state
	targets    models.Port // int32 or int64
	hasLength  bool
	lengthType string
	least      int // rows of a run
}

// state is one of the prediction network's states, [layers, batch, size].
type state struct {
	input, output string
	layers, size  int
}

var _ models.Runner[asr.Piece, Heard] = (*Runner)(nil)

// NewRunner makes the runner of a model of family "transducer": a NeMo front
// end and two sessions, the encoder first. The encoder takes float32 [batch,
// mels, frames] and int64 lengths [batch] and gives float32 [batch, size,
// steps] and int64 lengths; the second graph has the names of NeMo's export.
func NewRunner(m *models.Model) (*Runner, error) {
	f := &m.Manifest
	r := &Runner{least: m.Manifest.Batch.Least()}
	fail := func(format string, args ...any) (*Runner, error) {
		return nil, fmt.Errorf("transducer: model %s: %w", f.Ref(), fmt.Errorf(format, args...))
	}
	if f.Family != Family {
		return fail("family: %q is not known (have %q)", f.Family, Family)
	}
	if err := models.DecodeParams(m, &r.params); err != nil {
		return fail("%w", err)
	}
	if err := r.params.fill(); err != nil {
		return fail("%w", err)
	}
	if f.Frontend == nil || len(f.Sessions) != 2 || len(f.Inputs) != 2 || len(f.Outputs) != 2 {
		return fail("a model of family %q has a frontend and two sessions, the encoder first, with two inputs and two outputs", Family)
	}
	var err error
	if r.front, err = feature.NewForTape(feature.Config(*f.Frontend)); err != nil {
		return fail("%w", err)
	}
	if r.vocabulary, err = asr.LoadVocabulary(m, r.params.Blank); err != nil {
		return fail("%w", err)
	}
	r.encoder, r.decoder = f.Sessions[0], f.Sessions[1]
	r.input, r.length = f.Inputs[0].Name, f.Inputs[1].Name
	r.encoded, r.lengths = f.Outputs[0].Name, f.Outputs[1].Name
	if err := r.readDecoder(m); err != nil {
		return fail("files.%s: %w", r.decoder, err)
	}
	return r, nil
}

// readDecoder finds the second graph's states and what else it takes.
func (r *Runner) readDecoder(m *models.Model) error {
	b, err := m.Read(r.decoder)
	if err != nil {
		return err
	}
	g, err := models.ReadGraph(b)
	if err != nil {
		return err
	}
	port := func(list []models.Port, name string) *models.Port {
		if i := slices.IndexFunc(list, func(p models.Port) bool { return p.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	targets := port(g.Inputs, portTargets)
	if targets == nil || port(g.Inputs, portEncoded) == nil || port(g.Outputs, portLogits) == nil {
		return fmt.Errorf("want inputs %s and %s and an output %s, as NeMo exports them", portEncoded, portTargets, portLogits)
	}
	r.targets = *targets
	if length := port(g.Inputs, portLength); length != nil {
		r.hasLength, r.lengthType = true, length.Type
	}
	for n := 1; ; n++ {
		in, out := port(g.Inputs, fmt.Sprint(portStates, n)), port(g.Outputs, fmt.Sprint(portNewStates, n))
		if in == nil || out == nil {
			break
		}
		s := state{input: in.Name, output: out.Name}
		if len(in.Shape) == 3 {
			fmt.Sscan(in.Shape[0], &s.layers)
			fmt.Sscan(in.Shape[2], &s.size)
		}
		if s.layers < 1 || s.size < 1 {
			return fmt.Errorf("input %s has shape %v, want [layers, batch, size] with numbers for layers and size", in.Name, in.Shape)
		}
		r.states = append(r.states, s)
	}
	if len(r.states) == 0 {
		return fmt.Errorf("it has no %s1 and %s1", portStates, portNewStates)
	}
	return nil
}

func (r *Runner) samples(p asr.Piece) int { return max(len(p.Samples), r.front.Config().Window) }

func (r *Runner) padded(p asr.Piece) int {
	return (r.front.Frames(r.samples(p)) + bucket - 1) / bucket * bucket
}

// Cost is the piece's padded length in seconds.
func (r *Runner) Cost(p asr.Piece) float64 { return r.front.Config().Seconds(r.padded(p)) }

// Length is the piece's own length in seconds.
func (r *Runner) Length(p asr.Piece) float64 {
	return r.front.Config().Seconds(r.front.Frames(r.samples(p)))
}

// Bucket is the piece's padded length in frames.
func (r *Runner) Bucket(p asr.Piece) int { return r.padded(p) }

// Run gives each piece's tokens.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []asr.Piece) ([]Heard, error) {
	encoder, decoder := sessions[r.encoder], sessions[r.decoder]
	if encoder == nil || decoder == nil {
		return nil, fmt.Errorf("transducer: the sessions %q and %q are not open", r.encoder, r.decoder)
	}
	heard := make([]Heard, len(batch))
	// Pieces that are padded to different lengths run apart: what an encoder
	// makes of padding is its own affair.
	byLength := map[int][]int{}
	for i, p := range batch {
		byLength[r.padded(p)] = append(byLength[r.padded(p)], i)
	}
	var under []*utterance
	for length, items := range byLength {
		found, err := r.encode(ctx, encoder, batch, items, length)
		if err != nil {
			return nil, fmt.Errorf("transducer: encode %d pieces of %.1f s: %w", len(items), r.Cost(batch[items[0]]), err)
		}
		under = append(under, found...)
	}
	if err := r.decode(ctx, decoder, under); err != nil {
		return nil, fmt.Errorf("transducer: decode %d pieces: %w", len(batch), err)
	}
	for _, u := range under {
		heard[u.item].Tokens = u.tokens
	}
	return heard, nil
}

func (r *Runner) encode(ctx context.Context, encoder models.Session, batch []asr.Piece, items []int, length int) ([]*utterance, error) {
	rows := items
	if len(items) < r.least {
		rows = []int{items[0], items[0]}
	}
	mels := r.front.Config().Mels
	input, lengths := make([]float32, len(rows)*mels*length), make([]int64, len(rows))
	for row, i := range rows {
		samples := batch[i].Samples
		if n := r.samples(batch[i]); n > len(samples) {
			samples = append(slices.Clone(samples), make([]float32, n-len(samples))...)
		}
		lengths[row] = int64(asr.FillByMel(input[row*mels*length:][:mels*length], r.front, samples, length))
	}
	n := int64(len(rows))
	outputs, err := encoder.Run(ctx, map[string]models.Tensor{
		r.input:  models.NewTensor(input, n, int64(mels), int64(length)),
		r.length: models.NewTensor(lengths, n),
	})
	if err != nil {
		return nil, err
	}
	encoded, err := models.Elements[float32](outputs[r.encoded])
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", r.encoded, err)
	}
	shape := outputs[r.encoded].Shape()
	own, err := models.Elements[int64](outputs[r.lengths])
	if err != nil {
		return nil, fmt.Errorf("output %s: %w", r.lengths, err)
	}
	if len(shape) != 3 || shape[0] != n || len(own) != len(rows) {
		return nil, fmt.Errorf("output %s has shape %v and there are %d lengths, want [%d, size, steps] and %d", r.encoded, shape, len(own), n, n)
	}
	size, steps := int(shape[1]), int(shape[2])
	found := make([]*utterance, len(items))
	for row, i := range items {
		if own[row] < 0 || int(own[row]) > steps {
			return nil, fmt.Errorf("output %s says %d steps of %d", r.lengths, own[row], steps)
		}
		u := &utterance{item: i, steps: int(own[row]), stride: steps, size: size, last: int64(r.vocabulary.Blank())}
		u.encoded = encoded[row*size*steps:][:size*steps]
		for _, s := range r.states {
			u.states = append(u.states, make([]float32, s.layers*s.size))
		}
		found[row] = u
	}
	return found, nil
}
