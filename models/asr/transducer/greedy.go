package transducer

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/asr"
)

// utterance is a piece on its way through the steps.
type utterance struct {
	item    int
	encoded []float32 // [size, stride], of which steps are its own
	size    int
	stride  int
	steps   int

	at      int         // the step under way
	emitted int         // tokens at this step so far
	last    int64       // the last token, at first the blank
	states  [][]float32 // after last: each [layers, size]
	tokens  []asr.Token
}

// decode takes all utterances to their ends, a token or a blank each in every
// run. An utterance that is over leaves the batch.
func (r *Runner) decode(ctx context.Context, session models.Session, under []*utterance) error {
	for {
		under = slices.DeleteFunc(slices.Clone(under), func(u *utterance) bool { return u.at >= u.steps })
		if len(under) == 0 {
			return nil
		}
		rows := under
		if len(rows) < r.least {
			rows = []*utterance{under[0], under[0]}
		}
		outputs, err := session.Run(ctx, r.inputs(rows))
		if err != nil {
			return err
		}
		logits, err := models.Elements[float32](outputs[portLogits])
		if err != nil {
			return fmt.Errorf("output %s: %w", portLogits, err)
		}
		width := r.vocabulary.Classes() + len(r.params.Durations)
		if len(logits) != len(rows)*width {
			return fmt.Errorf("output %s has shape %v, want %d classes and %d durations for each of %d pieces: see the vocabulary and parameters.durations", portLogits, outputs[portLogits].Shape(), r.vocabulary.Classes(), len(r.params.Durations), len(rows))
		}
		after := make([][]float32, len(r.states))
		for i, s := range r.states {
			if after[i], err = models.Elements[float32](outputs[s.output]); err != nil {
				return fmt.Errorf("output %s: %w", s.output, err)
			}
			if len(after[i]) != s.layers*len(rows)*s.size {
				return fmt.Errorf("output %s has shape %v, want [%d, %d, %d]", s.output, outputs[s.output].Shape(), s.layers, len(rows), s.size)
			}
		}
		for row, u := range under {
			if top := slices.Max(logits[row*width:][:width]); top-top != 0 {
				return fmt.Errorf("output %s has values that are not finite: at step %d of %d", portLogits, u.at, u.steps)
			}
			if u.hear(logits[row*width:][:width], r) {
				for i, s := range r.states {
					for layer := range s.layers {
						copy(u.states[i][layer*s.size:][:s.size], after[i][(layer*len(rows)+row)*s.size:])
					}
				}
			}
		}
	}
}

func (r *Runner) inputs(rows []*utterance) map[string]models.Tensor {
	n, size := int64(len(rows)), rows[0].size
	encoded := make([]float32, len(rows)*size)
	targets, lengths := make([]int64, len(rows)), make([]int64, len(rows))
	for row, u := range rows {
		for i := range size {
			encoded[row*size+i] = u.encoded[i*u.stride+u.at]
		}
		targets[row], lengths[row] = u.last, 1
	}
	inputs := map[string]models.Tensor{
		portEncoded: models.NewTensor(encoded, n, int64(size), 1),
		portTargets: whole(targets, r.targets.Type, n, 1),
	}
	if r.hasLength {
		inputs[portLength] = whole(lengths, r.lengthType, n)
	}
	for i, s := range r.states {
		packed := make([]float32, s.layers*len(rows)*s.size)
		for layer := range s.layers {
			for row, u := range rows {
				copy(packed[(layer*len(rows)+row)*s.size:], u.states[i][layer*s.size:][:s.size])
			}
		}
		inputs[s.input] = models.NewTensor(packed, int64(s.layers), n, int64(s.size))
	}
	return inputs
}

// whole makes a tensor of whole numbers of the type that a graph asks for.
func whole(list []int64, kind string, shape ...int64) models.Tensor {
	if kind == "int64" {
		return models.NewTensor(list, shape...)
	}
	short := make([]int32, len(list))
	for i, v := range list {
		short[i] = int32(v)
	}
	return models.NewTensor(short, shape...)
}

// hear takes the likeliest token and duration (NeMo's greedy search for RNNT
// and TDT): a blank goes on by its duration, at least one step; a token by its
// own, which may be none until max_symbols are at one step. It tells whether
// there is a new token.
func (u *utterance) hear(logits []float32, r *Runner) bool {
	classes, blank := r.vocabulary.Classes(), r.vocabulary.Blank()
	class := largest(logits[:classes])
	skip := 0
	if len(r.params.Durations) > 0 {
		skip = r.params.Durations[largest(logits[classes:])]
	}
	if class != blank {
		u.tokens = append(u.tokens, asr.Token{
			Class: class, Start: u.at, End: min(u.steps, u.at+max(1, skip)), LogP: logProbability(logits[:classes], class),
		})
		u.last = int64(class)
		u.emitted++
	}
	switch {
	case skip > 0:
		u.at += skip
		u.emitted = 0
	case class == blank || u.emitted >= r.params.MaxSymbols:
		u.at++
		u.emitted = 0
	}
	return class != blank
}

func largest(list []float32) int {
	best := 0
	for i, v := range list {
		if v > list[best] {
			best = i
		}
	}
	return best
}

func logProbability(logits []float32, class int) float64 {
	top := slices.Max(logits)
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return float64(logits[class]-top) - math.Log(sum)
}
