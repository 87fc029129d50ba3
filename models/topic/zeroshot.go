package topic

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/text"
)

// zeroShot are the parameters of family zero-shot.
type zeroShot struct {
	Text   text.Params `yaml:"text"`
	Report `yaml:"report"`
	// Temperature divides the similarities before the softmax over labels: the
	// smaller, the surer.
	Temperature float64 `yaml:"temperature"`
	// Nothing is the similarity that stands for "none of the labels" in the
	// softmax: a window that is like no description more than that has none.
	Nothing float64 `yaml:"nothing"`
	// Descriptions say in some sentences what a label is about, by its name. A
	// label without stands for its name.
	Descriptions map[string][]string `yaml:"descriptions"`
}

func readZeroShot(m *models.Model) (zeroShot, error) {
	var p zeroShot
	if err := models.DecodeParams(m, &p); err != nil {
		return p, err
	}
	if err := p.check(m, "zero-shot"); err != nil {
		return p, err
	}
	if p.Temperature <= 0 || p.Text.Pooling == text.None || p.Text.Raw {
		return p, fmt.Errorf("topic: %s: parameters: want a temperature above 0, and in text pooling mean or first, not raw", m.Manifest.Ref())
	}
	for name, d := range p.Descriptions {
		if !slices.ContainsFunc(m.Manifest.Labels, func(l models.Label) bool { return l.Name == name }) {
			return p, fmt.Errorf("topic: %s: parameters.descriptions: %q is no label", m.Manifest.Ref(), name)
		}
		if len(d) == 0 {
			return p, fmt.Errorf("topic: %s: parameters.descriptions.%s: it is empty", m.Manifest.Ref(), name)
		}
	}
	return p, nil
}

// NewZeroShotRunner makes a runner for a model of family zero-shot: a text
// encoder.
func NewZeroShotRunner(m *models.Model) (*text.Runner, error) {
	p, err := readZeroShot(m)
	if err != nil {
		return nil, err
	}
	return text.OpenRunner(m, p.Text)
}

// ZeroShot gives topics by how like a passage's embedding is to those of what
// is said about the labels, without any training on them. It is safe for
// concurrent use.
type ZeroShot struct {
	model  *models.Model
	queue  models.Queue[text.Item, []float32]
	params zeroShot
	reader *text.Reader

	making chan struct{} // holds one while labels are read or made
	labels [][]float32   // a unit vector each; nil until the first text
}

// NewZeroShot makes a classifier for a model of family zero-shot and the queue
// that runs it.
func NewZeroShot(m *models.Model, q models.Queue[text.Item, []float32]) (*ZeroShot, error) {
	p, err := readZeroShot(m)
	if err != nil {
		return nil, err
	}
	r, err := text.NewReader(m, p.Text)
	if err != nil {
		return nil, err
	}
	return &ZeroShot{model: m, queue: q, params: p, reader: r, making: make(chan struct{}, 1)}, nil
}

// Classify returns the topics at or above their threshold, best first; none
// for a text that speaks of nothing in particular. Errors are the queue's.
func (z *ZeroShot) Classify(ctx context.Context, t Text) ([]episode.Topic, models.Usage, error) {
	labels, err := z.described(ctx)
	if err != nil {
		return nil, models.Usage{Model: z.model.Manifest.Ref()}, err
	}
	vectors, usage, err := run(ctx, z.model, z.queue, z.params.items(z.reader, t))
	if err != nil {
		return nil, usage, err
	}
	windows := make([][]float64, len(vectors))
	for i, v := range vectors {
		like := make([]float64, len(labels), len(labels)+1)
		for k, l := range labels {
			like[k] = dot(v, l)
		}
		windows[i] = softmax(append(like, z.params.Nothing), z.params.Temperature)
	}
	return z.params.topics(z.model.Manifest.Labels, windows), usage, nil
}

// described are the labels' vectors: the mean of their descriptions', of unit
// length. They are made with the first text, and again if that failed.
func (z *ZeroShot) described(ctx context.Context) ([][]float32, error) {
	select {
	case z.making <- struct{}{}:
		defer func() { <-z.making }()
	case <-ctx.Done():
		return nil, fmt.Errorf("topic: %s: what the labels mean: %w", z.model.Manifest.Ref(), ctx.Err())
	}
	if z.labels != nil {
		return z.labels, nil
	}
	var items []text.Item
	var owner []int
	for i, l := range z.model.Manifest.Labels {
		said := z.params.Descriptions[l.Name]
		if said == nil {
			said = []string{l.Name}
		}
		for _, s := range said {
			items, owner = append(items, z.reader.Item(s)), append(owner, i)
		}
	}
	vectors, _, err := run(ctx, z.model, z.queue, items)
	if err != nil {
		return nil, fmt.Errorf("topic: %s: what the labels mean: %w", z.model.Manifest.Ref(), err)
	}
	labels := make([][]float32, len(z.model.Manifest.Labels))
	for i, v := range vectors {
		if labels[owner[i]] == nil {
			labels[owner[i]] = make([]float32, len(v))
		}
		for j, x := range v {
			labels[owner[i]][j] += x
		}
	}
	for _, l := range labels {
		if length := float32(math.Sqrt(dot(l, l))); length > 0 {
			for j := range l {
				l[j] /= length
			}
		}
	}
	z.labels = labels
	return labels, nil
}

func dot(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
