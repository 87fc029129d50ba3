package topic

import (
	"testing"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"github.com/earshot-fm/earshot/models/text"
)

// sampleTexts are the English episodes of the sample feed.
func sampleTexts(t testing.TB) (all []Text) {
	for _, e := range modelstest.SampleFeed(t) {
		if e.Language != "en" {
			continue
		}
		in := Text{Title: e.Title, Description: e.Description}
		for _, s := range e.Segments {
			in.Transcript = append(in.Transcript, s.Text)
		}
		all = append(all, in)
	}
	return all
}

func TestPadding(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-topics")
	q := &modelstest.Kept[Window, Probabilities]{Answer: func(Window) Probabilities { return make(Probabilities, len(m.Manifest.Labels)) }}
	c, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range sampleTexts(t) {
		if _, _, err := c.Classify(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	r, err := NewRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	modelstest.Padding[Window, Probabilities](t, m, r, q.Items())
}

func TestPaddingOfTokens(t *testing.T) {
	m := modelstest.Public(t, "../public/minilm-topics", "minilm.onnx", "minilm-tokenizer.json")
	r, err := NewZeroShotRunner(m)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readZeroShot(m)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := text.NewReader(m, p.Text)
	if err != nil {
		t.Fatal(err)
	}
	var items []text.Item
	for _, in := range sampleTexts(t) {
		items = append(items, p.items(reader, in)...)
	}
	modelstest.Padding[text.Item, []float32](t, m, models.Runner[text.Item, []float32](r), items)
}
