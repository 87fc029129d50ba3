// Package silero finds speech with Silero VAD 5 and 6 as they are published: a
// recurrent model that hears 32 ms at a time and carries a state on. A tape is
// cut into stretches, each of which travels with the state that the one before
// left, so that the dependent steps of one tape run in order while those of
// many tapes step side by side.
package silero

import (
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models"
)

// The sizes are those of the published model at 16 kHz (OnnxWrapper in the
// package silero-vad).
const (
	stepSamples    = 512 // new ones in each step
	contextSamples = 64  // of the step before, heard again
	layers, width  = 2, 128
)

// Steps is the length of every stretch, so that all of them share one bucket:
// 4.1 s.
const Steps = 128

// Stretch is one item: Steps steps of a tape and the state they start from.
// It is whole in itself, so stretches of any tapes may share a batch.
type Stretch struct {
	Samples []float32 // contextSamples before the stretch, then Steps*512: mono, 16 kHz, [-1, 1]
	Own     int       // of those the tape's own; behind them is silence, the context not counted
	State   []float32 // [2, 128]; nil at a tape's start: zeros
}

// Speech is a stretch's answer.
type Speech struct {
	Probability []float32 // of speech, one a step
	State       []float32 // for the stretch that follows
}

// Runner takes stretches through the model's one session. It fits
// models.Runner[Stretch, Speech].
type Runner struct {
	ref, file string
	sequence  bool // the export that runs its own loop over steps
	least     int  // rows of a run of the other
}

// ports of the two exports: one step for many streams a run, or many steps of
// one stream.
var (
	stepping = [2][]string{{"input", "state", "sr"}, {"output", "stateN"}}
	sequence = [2][]string{{"input", "h", "c"}, {"speech_probs", "hn", "cn"}}
)

// NewRunner reads from the manifest how the model is fed.
func NewRunner(m *models.Model) (*Runner, error) {
	c := &m.Manifest
	if c.Family != "silero" || len(c.Sessions) != 1 {
		return nil, fmt.Errorf("silero: model %s: family %q: want \"silero\" with one session", c.Ref(), c.Family)
	}
	r := &Runner{ref: c.Ref(), file: c.Sessions[0], least: c.Batch.Least()}
	ports := [2][]string{names(c.Inputs), names(c.Outputs)}
	switch {
	case same(ports, stepping):
	case same(ports, sequence):
		r.sequence = true
	default:
		return nil, fmt.Errorf("silero: model %s: inputs %v and outputs %v: want %v and %v (Silero VAD 5 and 6), or %v and %v (its sequence export)", c.Ref(), ports[0], ports[1], stepping[0], stepping[1], sequence[0], sequence[1])
	}
	for _, p := range c.Inputs {
		if p.Name == "input" && len(p.Shape) == 2 && p.Shape[1] == fmt.Sprint((contextSamples+stepSamples)/2) {
			return nil, fmt.Errorf("silero: model %s: the input's width, %s, is that of an export for 8 kHz, and every tape has %d Hz: use silero_vad.onnx, which hears both rates, or an export for 16 kHz", c.Ref(), p.Shape[1], audio.TapeRate)
		}
	}
	return r, nil
}

func names(ports []models.Port) []string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = p.Name
	}
	return out
}

func same(ports, export [2][]string) bool {
	for i := range ports {
		if !slices.Equal(slices.Sorted(slices.Values(ports[i])), slices.Sorted(slices.Values(export[i]))) {
			return false
		}
	}
	return true
}

// Cost is a stretch's seconds of audio.
func (r *Runner) Cost(Stretch) float64 { return float64(Steps*stepSamples) / audio.TapeRate }

// Length is the seconds of a stretch that are the tape's own.
func (r *Runner) Length(s Stretch) float64 { return float64(s.Own) / audio.TapeRate }

// Bucket is one for all: stretches have one length.
func (r *Runner) Bucket(Stretch) int { return Steps }

// Run takes every stretch of the batch through its steps. The stepping export
// hears one step of all stretches in each run of the graph; the sequence
// export, whose graph has room for one stream, one stretch after another.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Stretch) ([]Speech, error) {
	for _, s := range batch {
		if len(s.Samples) != contextSamples+Steps*stepSamples || s.State != nil && len(s.State) != layers*width {
			return nil, fmt.Errorf("silero: model %s: a stretch of %d samples with a state of %d, want %d and %d", r.ref, len(s.Samples), len(s.State), contextSamples+Steps*stepSamples, layers*width)
		}
	}
	run := r.steps
	if r.sequence {
		run = r.sequences
	}
	out, err := run(ctx, sessions[r.file], batch)
	if err != nil {
		return nil, fmt.Errorf("silero: model %s: %w", r.ref, err)
	}
	return out, nil
}

// steps runs the stretches side by side.
func (r *Runner) steps(ctx context.Context, session models.Session, batch []Stretch) ([]Speech, error) {
	rows := max(r.least, len(batch))
	state := make([]float32, layers*rows*width)
	out := make([]Speech, len(batch))
	for i := range rows {
		s := batch[min(i, len(batch)-1)]
		for l := range layers {
			if s.State != nil {
				copy(state[(l*rows+i)*width:], s.State[l*width:(l+1)*width])
			}
		}
	}
	for i := range out {
		out[i].Probability = make([]float32, Steps)
	}
	const wide = contextSamples + stepSamples
	input := make([]float32, rows*wide)
	inputs := map[string]models.Tensor{
		"input": models.NewTensor(input, int64(rows), wide),
		"sr":    models.NewTensor([]int64{audio.TapeRate}),
	}
	for step := range Steps {
		for i := range rows {
			copy(input[i*wide:(i+1)*wide], batch[min(i, len(batch)-1)].Samples[step*stepSamples:])
		}
		inputs["state"] = models.NewTensor(state, layers, int64(rows), width)
		answers, err := session.Run(ctx, inputs)
		if err != nil {
			return nil, fmt.Errorf("step %d of %d: %w", step+1, Steps, err)
		}
		p, err := values(answers, "output", rows)
		if err != nil {
			return nil, err
		}
		if state, err = values(answers, "stateN", layers*rows*width); err != nil {
			return nil, err
		}
		for i := range out {
			out[i].Probability[step] = p[i]
		}
	}
	for i := range out {
		for l := range layers {
			at := (l*rows + i) * width
			out[i].State = append(out[i].State, state[at:at+width]...)
		}
	}
	return out, nil
}

func (r *Runner) sequences(ctx context.Context, session models.Session, batch []Stretch) ([]Speech, error) {
	out := make([]Speech, len(batch))
	const wide = contextSamples + stepSamples
	for i, s := range batch {
		input := make([]float32, 0, Steps*wide)
		for step := range Steps {
			input = append(input, s.Samples[step*stepSamples:step*stepSamples+wide]...)
		}
		state := s.State
		if state == nil {
			state = make([]float32, layers*width)
		}
		answers, err := session.Run(ctx, map[string]models.Tensor{
			"input": models.NewTensor(input, Steps, wide),
			"h":     models.NewTensor(state[:width], 1, 1, width),
			"c":     models.NewTensor(state[width:], 1, 1, width),
		})
		if err != nil {
			return nil, err
		}
		if out[i].Probability, err = values(answers, "speech_probs", Steps); err != nil {
			return nil, err
		}
		for _, name := range []string{"hn", "cn"} {
			part, err := values(answers, name, width)
			if err != nil {
				return nil, err
			}
			out[i].State = append(out[i].State, part...)
		}
	}
	return out, nil
}

// values are an output's numbers, of which there must be so many.
func values(answers map[string]models.Tensor, name string, want int) ([]float32, error) {
	v, shape, err := models.Floats(answers, name)
	if err == nil && len(v) != want {
		err = fmt.Errorf("output %q has shape %v, want %d values", name, shape, want)
	}
	return v, err
}
