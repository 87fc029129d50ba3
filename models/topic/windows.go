package topic

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/text"
)

// Report is the part of a manifest's parameters, shared by the families that
// read through a tokenizer, that says what of the scores is reported.
type Report struct {
	Taxonomy     string `yaml:"taxonomy"`
	WindowTokens int    `yaml:"window_tokens"` // of a transcript, in one item
	MaxTopics    int    `yaml:"max_topics"`    // of an episode
}

func (r *Report) check(m *models.Model, family string) error {
	f := &m.Manifest
	if f.Task != "topics" || f.Family != family {
		return fmt.Errorf("topic: %s: task %q, family %q: want topics, %s", f.Ref(), f.Task, f.Family, family)
	}
	if r.Taxonomy == "" || r.WindowTokens < 8 || r.MaxTopics < 1 || len(f.Labels) == 0 {
		return fmt.Errorf("topic: %s: want parameters report.taxonomy, report.window_tokens of 8 or more, report.max_topics > 0, and labels", f.Ref())
	}
	for _, l := range f.Labels {
		if l.Threshold <= 0 || l.Threshold > 1 {
			return fmt.Errorf("topic: %s: labels: %s: threshold %g: want more than 0, at most 1", f.Ref(), l.Name, l.Threshold)
		}
	}
	return nil
}

// items cuts a text: title and description are one window, the transcript's
// segments come in windows.
func (r *Report) items(reader *text.Reader, t Text) []text.Item {
	var found []text.Item
	// A description may hold a whole transcript or pages of links: its start
	// counts.
	if about := reader.Windows([]string{t.Title + ". " + t.Description}, r.WindowTokens); t.Title+t.Description != "" && len(about) > 0 {
		found = about[:1]
	}
	return append(found, reader.Windows(t.Transcript, r.WindowTokens)...)
}

// topics are those at or above their threshold, best first, of each window's
// scores by label.
func (r *Report) topics(labels []models.Label, windows [][]float64) []episode.Topic {
	found := []episode.Topic{}
	for i, l := range labels {
		column := make([]float64, len(windows))
		for j, w := range windows {
			column[j] = w[i]
		}
		if s := strongest(column); s >= l.Threshold {
			found = append(found, episode.Topic{Taxonomy: r.Taxonomy, ID: l.ID, Name: l.Name, Score: episode.Score(s)})
		}
	}
	slices.SortStableFunc(found, func(a, b episode.Topic) int { return cmp.Compare(b.Score, a.Score) })
	return found[:min(len(found), r.MaxTopics)]
}

// softmax of values over a temperature.
func softmax(values []float64, temperature float64) []float64 {
	most := slices.Max(values)
	p, sum := make([]float64, len(values)), 0.0
	for i, v := range values {
		p[i] = math.Exp((v - most) / temperature)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func run(ctx context.Context, m *models.Model, q models.Queue[text.Item, []float32], items []text.Item) ([][]float32, models.Usage, error) {
	out, usage, err := models.Map(ctx, q, inFlight, items)
	usage.Model = m.Manifest.Ref()
	if err != nil {
		return nil, usage, fmt.Errorf("topic: %s: %w", usage.Model, err)
	}
	return out, usage, nil
}
