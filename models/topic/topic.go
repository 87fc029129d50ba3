// Package topic says what an episode is about: entries of a taxonomy (IAB
// Content Taxonomy 3.1, top level, for the built-in model) with scores, from
// the transcript, the title and the description. The transcript is read in
// windows; a topic's score is the mean of its probabilities in the third of
// the windows where it is strongest, so that a topic of one part of the
// episode counts and a word in passing does not.
package topic

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/words"
)

// Text is what is known of an episode in words.
type Text struct {
	Title       string
	Description string
	Transcript  []string // in order, of any length each
}

// inFlight bounds the windows of one episode that wait in the queue.
const inFlight = 32

// Classifier gives topics. It is safe for concurrent use.
type Classifier struct {
	model  *models.Model
	queue  models.Queue[Window, Probabilities]
	params params
}

// New makes a classifier for a model of family hashed-words and the queue that
// runs it.
func New(m *models.Model, q models.Queue[Window, Probabilities]) (*Classifier, error) {
	p, err := readParams(m)
	if err != nil {
		return nil, err
	}
	return &Classifier{model: m, queue: q, params: p}, nil
}

// Classify returns the topics at or above their threshold, best first; none
// for a text that speaks of nothing in particular. Errors are the queue's.
func (c *Classifier) Classify(ctx context.Context, text Text) ([]episode.Topic, models.Usage, error) {
	windows := c.windows(text)
	found, usage, err := models.Map(ctx, c.queue, inFlight, windows)
	usage.Model = c.model.Manifest.Ref()
	if err != nil {
		return nil, usage, fmt.Errorf("topic: %s: %w", usage.Model, err)
	}
	topics := []episode.Topic{}
	for i, l := range c.model.Manifest.Labels {
		column := make([]float64, len(found))
		for j, p := range found {
			column[j] = float64(p[i])
		}
		if s := strongest(column); s >= l.Threshold {
			topics = append(topics, episode.Topic{Taxonomy: c.params.Taxonomy, ID: l.ID, Name: l.Name, Score: episode.Score(s)})
		}
	}
	slices.SortStableFunc(topics, func(a, b episode.Topic) int { return cmp.Compare(b.Score, a.Score) })
	return topics[:min(len(topics), c.params.MaxTopics)], usage, nil
}

// windows cuts a text: title and description are one window, the transcript's
// words come in windows of equal size, near the model's.
func (c *Classifier) windows(text Text) []Window {
	var found []Window
	add := func(stems []string) {
		if len(stems) > 0 {
			found = append(found, words.Hash(stems, c.params.Rows))
		}
	}
	// A description may hold a whole transcript or pages of links.
	about := append(words.Stems(text.Title), words.Stems(text.Description)...)
	add(about[:min(len(about), c.params.WindowWords)])
	var said []string
	for _, s := range text.Transcript {
		said = append(said, words.Stems(s)...)
	}
	parts := (len(said) + c.params.WindowWords - 1) / c.params.WindowWords
	for i := range parts {
		add(said[i*len(said)/parts : (i+1)*len(said)/parts])
	}
	return found
}

// strongest is the mean of the largest third of some values, at least of one;
// 0 for none.
func strongest(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	n := (len(values) + 2) / 3
	sum := 0.0
	for _, v := range values[:n] {
		sum += v
	}
	return sum / float64(n)
}
