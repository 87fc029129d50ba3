package topic

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/modelstest"
	"github.com/earshot-fm/earshot/models/text"
)

func openZeroShot(t *testing.T) *ZeroShot {
	t.Helper()
	m := modelstest.Public(t, "../public/minilm-topics", "minilm.onnx", "minilm-tokenizer.json")
	z, _ := modelstest.Task(t, m, NewZeroShotRunner, NewZeroShot)
	return z
}

// The figures in the head of models/public/minilm-topics/model.yaml: of the
// passages on which nothing was chosen, most have their topic first, and talk
// about nothing has none.
func TestZeroShotFigures(t *testing.T) {
	z := openZeroShot(t)
	z.params.MaxTopics = 3
	for i := range z.model.Manifest.Labels {
		z.model.Manifest.Labels[i].Threshold = 1e-9
	}
	file, err := os.Open("../train/topic/test.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	section, all, first, three := "", 0, 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case section != "-":
			topics, _, err := z.Classify(t.Context(), Text{Transcript: []string{line}})
			if err != nil {
				t.Fatal(err)
			}
			all++
			if at := slices.IndexFunc(topics, func(e episode.Topic) bool { return e.ID == section }); at >= 0 {
				three++
				if at == 0 {
					first++
				}
			}
		}
	}
	t.Logf("first %d, among the first three %d, of %d", first, three, all)
	if all != 168 || float64(first) < 0.80*float64(all) || float64(three) < 0.94*float64(all) {
		t.Errorf("first %d, among the first three %d, of %d: want 0.80 and 0.94 of 168", first, three, all)
	}
}

func TestZeroShot(t *testing.T) {
	z := openZeroShot(t)
	for _, test := range []struct {
		text Text
		want string // "": none
	}{
		{Text{Transcript: []string{match}}, "Sports"},
		{Text{Transcript: []string{loaf}}, "Food & Drink"},
		{Text{Title: "Kneading dough", Description: "Flour, yeast, salt and a hot oven: bread at home"}, "Food & Drink"},
		{Text{Transcript: []string{chat}}, ""},
		{Text{}, ""},
	} {
		topics, usage, err := z.Classify(t.Context(), test.text)
		if err != nil {
			t.Fatal(err)
		}
		if usage.Model != "minilm-topics@1" {
			t.Errorf("usage %+v", usage)
		}
		if test.want == "" && len(topics) > 0 || test.want != "" && (len(topics) == 0 || topics[0].Name != test.want) {
			t.Errorf("%+v is about %q, want %q first", test.text, names(topics), test.want)
		}
	}
	both, usage, err := z.Classify(t.Context(), Text{Transcript: slices.Concat(
		slices.Repeat([]string{match}, 12), slices.Repeat([]string{loaf}, 12))})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(both); !slices.Contains(got, "Sports") || !slices.Contains(got, "Food & Drink") {
		t.Errorf("two halves on two subjects are about %q", got)
	}
	if usage.Items < 3 {
		t.Errorf("%d windows of an hour's talk", usage.Items)
	}
}

// The scores of a classifier are the softmax of the logits that transformers
// gives (models/text's tests compare those), and only those at or above the
// threshold are told.
// stuck is a queue that answers no one until the context ends.
type stuck struct{ asked chan struct{} }

func (q stuck) Do(ctx context.Context, _ text.Item) (models.Answer[[]float32], error) {
	select {
	case q.asked <- struct{}{}:
	default:
	}
	<-ctx.Done()
	return models.Answer[[]float32]{}, ctx.Err()
}

// Who waits for the labels' vectors, which another episode has asked for, can
// still be cancelled.
func TestWaitingForTheLabelsEnds(t *testing.T) {
	m := modelstest.Public(t, "../public/minilm-topics", "minilm.onnx", "minilm-tokenizer.json")
	q := stuck{make(chan struct{}, 1)}
	z, err := NewZeroShot(m, q)
	if err != nil {
		t.Fatal(err)
	}
	first, endFirst := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := z.Classify(first, Text{Title: "bread"})
		done <- err
	}()
	<-q.asked
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := z.Classify(cancelled, Text{Title: "goal"}); !errors.Is(err, context.Canceled) {
		t.Errorf("the second gives %v", err)
	}
	endFirst()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the first gives %v", err)
	}
}

func TestSequence(t *testing.T) {
	m := modelstest.Folder(t, "../parity/tiny-bert-classifier")
	s, q := modelstest.Task(t, m, NewSequenceRunner, NewSequence)
	topics, _, err := s.Classify(t.Context(), Text{Transcript: []string{loaf}})
	if err != nil {
		t.Fatal(err)
	}
	logits, err := q.Do(t.Context(), s.reader.Item(loaf))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range s.scores(logits.Value) {
		l := m.Manifest.Labels[i]
		at := slices.IndexFunc(topics, func(e episode.Topic) bool { return e.ID == l.ID })
		if told := at >= 0; told != (p >= l.Threshold) {
			t.Errorf("%s has %.3f, threshold %.2f, told: %t", l.Name, p, l.Threshold, told)
		} else if told && topics[at].Score != episode.Score(p) {
			t.Errorf("%s has %.3f, told %v", l.Name, p, topics[at].Score)
		}
	}
}

func TestWrongFamilies(t *testing.T) {
	m := modelstest.Folder(t, "../parity/tiny-bert-classifier")
	if _, err := NewZeroShotRunner(m); err == nil || !strings.Contains(err.Error(), "tiny-bert-classifier") {
		t.Errorf("a classifier as zero-shot: %v", err)
	}
	z := modelstest.Folder(t, "../parity/tiny-minilm")
	for _, change := range []struct {
		with func(p map[string]any)
		want string
	}{
		{func(p map[string]any) { p["temperature"] = 0 }, "temperature above 0"},
		{func(p map[string]any) { p["descriptions"] = map[string]any{"Chess": []string{"a"}} }, `"Chess" is no label`},
		{func(p map[string]any) { p["descriptions"] = map[string]any{"Sports": []string{}} }, "descriptions.Sports: it is empty"},
		{func(p map[string]any) { p["report"] = map[string]any{"taxonomy": "x"} }, "report.window_tokens"},
	} {
		copied := *z
		copied.Manifest.Params = map[string]any{}
		for k, v := range z.Manifest.Params {
			copied.Manifest.Params[k] = v
		}
		change.with(copied.Manifest.Params)
		if _, err := NewZeroShot(&copied, models.Queue[text.Item, []float32](nil)); err == nil || !strings.Contains(err.Error(), change.want) {
			t.Errorf("error %v, want one with %q", err, change.want)
		}
	}
}
