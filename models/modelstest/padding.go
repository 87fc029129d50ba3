package modelstest

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/models"
)

// Episode is one of the sample feed, as the mix that padding is measured on: its
// speech as the built-in model finds it, and its text as it is spoken.
type Episode struct {
	Name, Language     string
	Duration           float64      // seconds
	Speech             [][2]float64 // seconds
	Title, Description string
	Segments           []Segment // sentences
}

// Segment is a sentence of an Episode and when it is said, in seconds.
type Segment struct {
	Start, End float64
	Text       string
}

// passageWords is the least of a passage that the pipeline embeds.
const passageWords = 20

// Passages are the texts of an episode that the pipeline embeds: what is said
// about it, then its sentences, some in a row.
func (e Episode) Passages() []string {
	texts, passage := []string{e.Title + "\n" + e.Description}, ""
	for _, s := range e.Segments {
		if passage += " " + s.Text; len(strings.Fields(passage)) >= passageWords {
			texts, passage = append(texts, passage), ""
		}
	}
	return texts
}

// medianEpisode is how long half of the podcasts in the wild are at most, 36:34,
// in seconds.
const medianEpisode = 36*60 + 34

// Long are the episode's sentences, again and again until it is as long as the
// median podcast: where what pads is an episode's beginning and end, the
// sample's two minutes are no measure.
func (e Episode) Long() (all []Segment) {
	for at := 0.0; at < medianEpisode; at += e.Duration {
		for _, s := range e.Segments {
			all = append(all, Segment{at + s.Start, at + s.End, s.Text})
		}
	}
	return all
}

//go:embed testdata/speech.json
var speech []byte

// SampleFeed gives the episodes of the folder sample.
func SampleFeed(t testing.TB) []Episode {
	t.Helper()
	var heard struct{ Speech map[string][][2]float64 }
	if err := json.Unmarshal(speech, &heard); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root(t), "sample", "truth", "*.json"))
	if err != nil || len(files) != len(heard.Speech) {
		t.Fatalf("%d episodes in sample/truth (%v), and the speech of %d", len(files), err, len(heard.Speech))
	}
	var all []Episode
	for _, file := range files {
		e := Episode{Name: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err := json.Unmarshal(read(t, file), &e); err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(read(t, strings.TrimSuffix(file, ".json")+".txt")), "\n", 3)
		e.Title, e.Description, e.Speech = lines[0], lines[1], heard.Speech[e.Name]
		all = append(all, e)
	}
	return all
}

// root is the repository's, above the package that is tested.
func root(t testing.TB) string {
	t.Helper()
	at, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if up := filepath.Dir(at); up != at {
			at = up
			continue
		}
		break
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}

// Kept is a queue that keeps the items that a task gives it, and answers each
// without a model.
type Kept[In, Out any] struct {
	Answer func(In) Out

	mu    sync.Mutex
	items []In
}

// Do keeps an item.
func (q *Kept[In, Out]) Do(_ context.Context, item In) (models.Answer[Out], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	return models.Answer[Out]{Value: q.Answer(item)}, nil
}

// Items are those that were kept.
func (q *Kept[In, Out]) Items() []In {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.items
}

// The bounds of Padding.
const (
	mostPadding = 0.10 // of the cost
	feeds       = 8    // that wait at once: 64 episodes
	leastBatch  = 8    // items on average, or half of what the model takes: beyond, batches gain little
)

// Padding fails the test when less than nine tenths of what some items cost are
// their own, or when their buckets are so many that batches stay small while
// eight times these items wait. items are those of the SampleFeed.
func Padding[In, Out any](t testing.TB, m *models.Model, r models.Runner[In, Out], items []In) {
	t.Helper()
	p, ok := r.(models.Padder[In])
	if !ok {
		t.Fatalf("%T does not tell an item's own length", r)
	}
	var own, cost float64
	lanes := map[int]int{}
	for i, item := range items {
		length, padded := p.Length(item), r.Cost(item)
		if !(length >= 0) || !(length <= padded*(1+1e-9)) {
			t.Errorf("item %d has length %v and costs %v", i, length, padded)
		}
		own, cost = own+length, cost+padded
		lanes[r.Bucket(item)]++
	}
	batches, most := 0, m.Manifest.Batch.MaxItems
	for _, n := range lanes {
		batches += (feeds*n + most - 1) / most
	}
	share, batch := 1-own/cost, float64(feeds*len(items))/float64(batches)
	t.Logf("%s: %d items of mean cost %.1f in %d buckets: %.1f %% padding, batches of %.1f", m.Manifest.Ref(), len(items), cost/float64(len(items)), len(lanes), 100*share, batch)
	if !(share < mostPadding) || !(batch >= min(leastBatch, float64(most)/2)) {
		t.Errorf("%s: %.3f padding of %d items, want less than %v; batches of %.1f, want %v of %d", m.Manifest.Ref(), share, len(items), mostPadding, batch, leastBatch, most)
	}
}
