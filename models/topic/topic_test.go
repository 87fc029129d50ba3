package topic

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type queue = modelstest.Queue[Window, Probabilities]

func openClassifier(t *testing.T) (*Classifier, queue) {
	t.Helper()
	return modelstest.Task(t, modelstest.BuiltIn(t, "earshot-topics"), NewRunner, New)
}

func names(topics []episode.Topic) []string {
	out := make([]string, len(topics))
	for i, t := range topics {
		out[i] = t.Name
	}
	return out
}

var (
	match = "their striker scored twice before the break and the goalkeeper had no chance the fans sang all the way through the second half of the match"
	loaf  = "knead the dough until it is smooth let the yeast do its work and bake the bread in a very hot oven then eat it warm with salted butter"
	chat  = "well here we are again how are you fine thanks and you yes me too shall we start right then let us start"
)

func TestClassify(t *testing.T) {
	c, _ := openClassifier(t)
	for _, test := range []struct {
		text Text
		want string // "": none
	}{
		{Text{Transcript: []string{match}}, "Sports"},
		{Text{Transcript: []string{loaf}}, "Food & Drink"},
		{Text{Title: "Kneading dough", Description: "Flour, yeast, salt and a hot oven: bread at home", Transcript: []string{chat}}, "Food & Drink"},
		{Text{Transcript: []string{chat}}, ""},
		{Text{}, ""},
	} {
		topics, usage, err := c.Classify(t.Context(), test.text)
		if err != nil {
			t.Fatal(err)
		}
		if usage.Model != "earshot-topics@2" {
			t.Errorf("usage %+v", usage)
		}
		if test.want == "" && len(topics) > 0 || test.want != "" && (len(topics) == 0 || topics[0].Name != test.want) {
			t.Errorf("%+v is about %q, want %q first", test.text, names(topics), test.want)
		}
		for i, topic := range topics {
			if topic.Taxonomy != "iab-3.1" || topic.ID == "" || i > 0 && topic.Score > topics[i-1].Score {
				t.Errorf("topics %+v", topics)
			}
		}
	}
}

// Two halves on two subjects give both topics.
func TestClassifyMixed(t *testing.T) {
	c, _ := openClassifier(t)
	long := Text{Transcript: []string{strings.Repeat(match+" ", 12), strings.Repeat(loaf+" ", 12)}}
	topics, usage, err := c.Classify(t.Context(), long)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(topics); !slices.Contains(got, "Sports") || !slices.Contains(got, "Food & Drink") {
		t.Errorf("topics %q", got)
	}
	if usage.Items != 5 {
		t.Errorf("%d windows, want 5", usage.Items)
	}
}

// Whatever else is in its batch, a window gets the same bits.
func TestBatchIsInvisible(t *testing.T) {
	c, q := openClassifier(t)
	windows := c.windows(Text{Title: match, Transcript: []string{loaf}})
	together, err := q.Runner.Run(t.Context(), q.Sessions, append(windows, windows...))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range windows {
		single, err := q.Do(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(single.Value, together[i]) {
			t.Errorf("window %d: %v alone, %v in a batch", i, single.Value, together[i])
		}
	}
}

func TestWrongModel(t *testing.T) {
	m, err := models.Load(os.DirFS("../pack/earshot-ads"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewRunner(m); err == nil || !strings.Contains(err.Error(), "earshot-ads@4") {
		t.Errorf("an ad model as topics: %v", err)
	}
}

func TestStrongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 1), 0, 40).Draw(t, "values")
		mean, most := 0.0, 0.0
		for _, v := range values {
			mean += v / float64(len(values))
			most = max(most, v)
		}
		got := strongest(values)
		if got < mean-1e-9 || got > most+1e-9 || math.IsNaN(got) {
			t.Fatalf("strongest of %v is %v", values, got)
		}
	})
}

func TestAModelThatGivesNoNumbersIsAnError(t *testing.T) {
	_, q := openClassifier(t)
	modelstest.NaN(t, q, Window{Rows: []int64{1}, Weights: []float32{1}})
}

// A model of more labels than the manifest has would give every window another
// one's probabilities.
func TestAModelOfOtherLabelsIsAnError(t *testing.T) {
	m := modelstest.BuiltIn(t, "earshot-topics")
	m.Manifest.Labels = m.Manifest.Labels[1:]
	q := modelstest.Direct[Window, Probabilities](t, m, NewRunner)
	if _, err := q.Do(t.Context(), Window{Rows: []int64{1}, Weights: []float32{1}}); err == nil || !strings.Contains(err.Error(), "has shape") {
		t.Errorf("got %v", err)
	}
}
