package highlight

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/models"
)

// inFlight bounds the items between a ranker and the scheduler.
const inFlight = 64

// group is how many candidates make one item: an episode has hundreds, and
// each alone would be less work than handing it over.
const group = 32

// Item is up to 32 candidates of one episode.
type Item struct{ rows [][Count]float32 }

// Scores are an item's scores, one for each candidate, in [0, 1].
type Scores []float32

// Runner takes batches of candidates through the model. Its graph:
// features: float32 [batch, 21] (see Features) to score: float32 [batch, 1].
type Runner struct{ session, input, output string }

var _ models.Runner[Item, Scores] = (*Runner)(nil)

// NewRunner reads a model of family "features". Its error names the field of
// the manifest that does not fit.
func NewRunner(m *models.Model) (*Runner, error) {
	f := &m.Manifest
	switch {
	case f.Task != "highlight" || f.Family != "features":
		return nil, fmt.Errorf("highlight: model %s: task %q, family %q: want highlight, features", f.Ref(), f.Task, f.Family)
	case len(f.Sessions) != 1 || len(f.Inputs) != 1 || len(f.Outputs) != 1:
		return nil, fmt.Errorf("highlight: model %s: want one session with one input and one output", f.Ref())
	case len(f.Inputs[0].Shape) != 2 || f.Inputs[0].Shape[1] != fmt.Sprint(Count):
		return nil, fmt.Errorf("highlight: model %s: inputs[0].shape %v: want [batch, %d]", f.Ref(), f.Inputs[0].Shape, Count)
	}
	return &Runner{f.Sessions[0], f.Inputs[0].Name, f.Outputs[0].Name}, nil
}

// Cost of an item, in candidates.
func (*Runner) Cost(it Item) float64 { return float64(len(it.rows)) }

// Bucket is the same for all items: they are rows of one table.
func (*Runner) Bucket(Item) int { return 0 }

// Run scores a batch.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Item) ([]Scores, error) {
	var table []float32
	for _, it := range batch {
		for _, row := range it.rows {
			table = append(table, row[:]...)
		}
	}
	n := len(table) / Count
	if n == 1 { // a lone row may take another kernel than the same row among others
		table = append(table, table...)
	}
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{
		r.input: models.NewTensor(table, int64(len(table)/Count), Count),
	})
	if err != nil {
		return nil, fmt.Errorf("highlight: %w", err)
	}
	scores, shape, err := models.Floats(out, r.output)
	if err != nil {
		return nil, fmt.Errorf("highlight: %w", err)
	}
	if len(scores) != len(table)/Count {
		return nil, fmt.Errorf("highlight: output %q has shape %v for %d candidates", r.output, shape, n)
	}
	answers := make([]Scores, len(batch))
	for i, it := range batch {
		answers[i] = Scores(scores[:len(it.rows):len(it.rows)])
		scores = scores[len(it.rows):]
	}
	return answers, nil
}

// Ranker scores candidates.
type Ranker struct {
	model string
	queue models.Queue[Item, Scores]
}

// New makes a ranker on a queue of its model.
func New(m *models.Model, q models.Queue[Item, Scores]) (*Ranker, error) {
	return &Ranker{m.Manifest.Ref(), q}, nil
}

// Rank returns one score in [0, 1] for each candidate, in order: higher stands
// better for the episode.
func (r *Ranker) Rank(ctx context.Context, candidates []Features) ([]float64, models.Usage, error) {
	var items []Item
	for at := 0; at < len(candidates); at += group {
		var it Item
		for i := range candidates[at:min(at+group, len(candidates))] {
			it.rows = append(it.rows, candidates[at+i].vector())
		}
		items = append(items, it)
	}
	answers, usage, err := models.Map(ctx, r.queue, inFlight, items)
	usage.Model = r.model
	if err != nil {
		return nil, usage, err
	}
	var out []float64
	for _, a := range answers {
		for _, s := range a {
			out = append(out, float64(s))
		}
	}
	return out, usage, nil
}
