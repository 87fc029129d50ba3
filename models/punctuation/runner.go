package punctuation

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/earshot-fm/earshot/models"
)

// Family is the kind of model that this package runs: words as rows of a
// hashed table and the pauses after them in, logits for each word out.
const Family = "hashed-sequence"

// features is how many rows of the table stand for a word.
const features = 5

// Window is some words in a row as the model takes them. Where there are fewer
// than it takes, the rest is zero.
type Window struct {
	Words  int       // that there are
	IDs    []int64   // [words, features]: rows of the table
	Pauses []float32 // [words]: seconds after each
}

// Reading is what the model says of a window's words, as logits.
type Reading struct {
	Marks []float32 // [words, marks]
	Cases []float32 // [words, cases]
}

// params are the manifest's parameters.
type params struct {
	Rows         int     `yaml:"rows"`          // of the model's table
	Words        int     `yaml:"words"`         // of a window
	ContextWords int     `yaml:"context_words"` // of them, on either side of those that are answered for
	LongestPause float32 `yaml:"longest_pause"` // seconds; longer ones are alike
}

func readParams(m *models.Model) (params, error) {
	var p params
	f := &m.Manifest
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	switch {
	case f.Task != "punctuation" || f.Family != Family:
		return p, fmt.Errorf("punctuation: model %s: task %q, family %q: want punctuation, %s", f.Ref(), f.Task, f.Family, Family)
	case len(f.Sessions) != 1 || len(f.Languages) == 0:
		return p, fmt.Errorf("punctuation: model %s: want one session, and the languages that it reads", f.Ref())
	case p.Rows < 2 || p.ContextWords < 0 || p.Words <= 2*p.ContextWords || !(p.LongestPause > 0):
		return p, fmt.Errorf("punctuation: model %s: parameters: want rows > 1, words > 2 × context_words, context_words ≥ 0 and longest_pause > 0", f.Ref())
	}
	for _, port := range f.Inputs {
		if len(port.Shape) < 2 || port.Shape[1] != strconv.Itoa(p.Words) {
			return p, fmt.Errorf("punctuation: model %s: input %q has shape %v, and parameters.words is %d", f.Ref(), port.Name, port.Shape, p.Words)
		}
	}
	return p, nil
}

// Runner runs windows through a hashed-sequence model: ids i64[batch, words, 5]
// and pauses f32[batch, words] to marks f32[batch, words, 4] and cases
// f32[batch, words, 3], logits.
type Runner struct {
	session string
	words   int
	least   int // rows of a run
}

var _ models.Runner[Window, Reading] = (*Runner)(nil)

// NewRunner makes a runner for a model of family hashed-sequence.
func NewRunner(m *models.Model) (*Runner, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return &Runner{m.Manifest.Sessions[0], p.Words, m.Manifest.Batch.Least()}, nil
}

// Cost is the number of words in every window.
func (r *Runner) Cost(Window) float64 { return float64(r.words) }

// Length is how many words the window has.
func (*Runner) Length(w Window) float64 { return float64(w.Words) }

// Bucket is one for all windows.
func (*Runner) Bucket(Window) int { return 0 }

// Run reads each window's words.
func (r *Runner) Run(ctx context.Context, sessions models.Sessions, batch []Window) ([]Reading, error) {
	rows := max(r.least, len(batch))
	var ids []int64
	var pauses []float32
	for i := range rows {
		w := batch[min(i, len(batch)-1)]
		if len(w.IDs) != r.words*features || len(w.Pauses) != r.words {
			return nil, fmt.Errorf("punctuation: a window of %d rows and %d pauses, want %d words", len(w.IDs), len(w.Pauses), r.words)
		}
		ids, pauses = append(ids, w.IDs...), append(pauses, w.Pauses...)
	}
	out, err := sessions[r.session].Run(ctx, map[string]models.Tensor{
		"ids":    models.NewTensor(ids, int64(rows), int64(r.words), features),
		"pauses": models.NewTensor(pauses, int64(rows), int64(r.words)),
	})
	if err != nil {
		return nil, fmt.Errorf("punctuation: %w", err)
	}
	marks, err := r.output(out, "marks", rows, int(marksEnd))
	if err != nil {
		return nil, err
	}
	cases, err := r.output(out, "cases", rows, int(casesEnd))
	if err != nil {
		return nil, err
	}
	readings := make([]Reading, len(batch))
	for i := range readings {
		readings[i] = Reading{marks[i], cases[i]}
	}
	return readings, nil
}

// output gives each row's part of an output of so many classes.
func (r *Runner) output(out map[string]models.Tensor, name string, rows, classes int) ([][]float32, error) {
	values, shape, err := models.Floats(out, name)
	if err != nil {
		return nil, fmt.Errorf("punctuation: %w", err)
	}
	if len(values) != rows*r.words*classes {
		return nil, fmt.Errorf("punctuation: output %q has shape %v, want [%d, %d, %d]", name, shape, rows, r.words, classes)
	}
	return slices.Collect(slices.Chunk(values, r.words*classes)), nil
}
