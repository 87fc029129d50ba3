package text

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/models"
)

// Item is one text as the model reads it.
type Item struct {
	IDs   []int64
	Types []int64 // of each token: 0, or 1 in the second of two texts
}

// Runner runs items through a graph: input_ids, attention_mask,
// token_type_ids i64[batch, tokens] (those that the graph has) ->
// f32[batch, tokens, width], pooled to a vector an item, or f32[batch, width]
// where pooling is none.
type Runner struct {
	params  Params
	session string
	inputs  []string
	ref     string
	least   int // rows of a run where a row is all there is of an item
}

var _ models.Runner[Item, []float32] = (*Runner)(nil)

// OpenRunner makes a runner of a model that reads text as p says.
func OpenRunner(m *models.Model, p Params) (*Runner, error) {
	if err := p.check(m); err != nil {
		return nil, err
	}
	r := &Runner{params: p, session: m.Manifest.Sessions[0], ref: m.Manifest.Ref(), least: m.Manifest.Batch.Least()}
	for _, in := range m.Manifest.Inputs {
		r.inputs = append(r.inputs, in.Name)
	}
	return r, nil
}

// step is what lengths are padded to a multiple of.
const step = 8

// Bucket is the item's padded length, which depends on the item alone: items of
// one length share a batch.
func (r *Runner) Bucket(it Item) int {
	return min((max(len(it.IDs), 1)+step-1)/step*step, max(r.params.MaxTokens, len(it.IDs)))
}

// Cost is the same length.
func (r *Runner) Cost(it Item) float64 { return float64(r.Bucket(it)) }

// Length is the item's own number of tokens.
func (r *Runner) Length(it Item) float64 { return float64(len(it.IDs)) }

// Run gives each item's vector: pooled and of unit length, or the graph's row.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Item) ([][]float32, error) {
	if len(batch) == 0 {
		return nil, errNoItems
	}
	length := 0
	for _, it := range batch {
		length = max(length, r.Bucket(it))
	}
	// A row is all there is of an item at the end of a graph without pooling:
	// what batch.alone says counts. Elsewhere its tokens are many rows already.
	rows := len(batch)
	if r.params.Pooling == None {
		rows = max(r.least, rows)
	}
	ids, mask, types := make([]int64, rows*length), make([]int64, rows*length), make([]int64, rows*length)
	for i := range rows {
		it := batch[min(i, len(batch)-1)]
		copy(ids[i*length:], it.IDs)
		copy(types[i*length:], it.Types)
		for k := range it.IDs {
			mask[i*length+k] = 1
		}
	}
	in := map[string]models.Tensor{}
	for _, name := range r.inputs {
		values := map[string][]int64{"input_ids": ids, "attention_mask": mask, "token_type_ids": types}[name]
		in[name] = models.NewTensor(values, int64(rows), int64(length))
	}
	out, err := sessions[r.session].Run(ctx, in)
	if err != nil {
		return nil, err
	}
	values, shape, err := models.Floats(out, r.params.Output)
	if err != nil {
		return nil, fmt.Errorf("text: %s: %w", r.ref, err)
	}
	want := []int64{int64(rows)}
	if r.params.Pooling != None {
		want = append(want, int64(length))
	}
	if len(shape) != len(want)+1 || !slices.Equal(shape[:len(want)], want) {
		return nil, fmt.Errorf("text: %s: output %s has shape %v for %d items of %d tokens with pooling %s", r.ref, r.params.Output, shape, rows, length, r.params.Pooling)
	}
	size := len(values) / rows
	found := make([][]float32, len(batch))
	for i, it := range batch {
		found[i] = r.pool(values[i*size:(i+1)*size], int(shape[len(shape)-1]), len(it.IDs))
	}
	return found, nil
}

// pool makes one vector of an item's rows, of which the first tokens count.
func (r *Runner) pool(rows []float32, width, tokens int) []float32 {
	v := make([]float32, width)
	switch r.params.Pooling {
	case Mean:
		for k := range tokens {
			for j, x := range rows[k*width : (k+1)*width] {
				v[j] += x
			}
		}
		for j := range v {
			v[j] /= float32(max(tokens, 1))
		}
	default:
		copy(v, rows)
	}
	if r.params.Pooling != None && !r.params.Raw {
		unit(v)
	}
	return v
}

// unit scales a vector to length 1; the zero vector stays.
func unit(v []float32) {
	square := 0.0
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	if square == 0 {
		return
	}
	by := float32(1 / math.Sqrt(square))
	for i := range v {
		v[i] *= by
	}
}
