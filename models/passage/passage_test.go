package passage

import (
	"bufio"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/models/modelstest"
	"github.com/earshot-fm/earshot/models/words"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, copies int) *Encoder {
	t.Helper()
	m := modelstest.BuiltIn(t, "earshot-passages")
	q := modelstest.Direct[words.Features, []float32](t, m, NewRunner)
	q.Copies = copies
	e, err := New(m, q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// heldOut are the passages, by subject, that nothing was trained on.
func heldOut(t *testing.T) (subjects [][]string) {
	t.Helper()
	file, err := os.Open("../train/topic/test.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "[-]":
			return subjects
		case strings.HasPrefix(line, "["):
			subjects = append(subjects, nil)
		case line != "" && !strings.HasPrefix(line, "#"):
			subjects[len(subjects)-1] = append(subjects[len(subjects)-1], line)
		}
	}
	return subjects
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// The card's figure, lower: chance is 0.03.
func TestAPassageIsNearestToOneOfItsSubject(t *testing.T) {
	var texts []string
	var subject []int
	for i, lines := range heldOut(t) {
		for _, line := range lines {
			texts, subject = append(texts, line), append(subject, i)
		}
	}
	vectors, usage, err := open(t, 1).Encode(t.Context(), texts)
	if err != nil || usage.Items != len(texts) || usage.Model != "earshot-passages@2" {
		t.Fatal(usage, err)
	}
	right := 0
	for i, v := range vectors {
		if d := dot(v, v); math.Abs(d-1) > 1e-4 {
			t.Fatalf("%q has length %v", texts[i], math.Sqrt(d))
		}
		nearest, most := -1, -2.0
		for j, w := range vectors {
			if d := dot(v, w); j != i && d > most {
				nearest, most = j, d
			}
		}
		if subject[nearest] == subject[i] {
			right++
		}
	}
	if share := float64(right) / float64(len(texts)); len(texts) < 150 || share < 0.4 {
		t.Errorf("of %d passages %.3f are nearest to one of their subject, want 0.4", len(texts), share)
	}
}

func TestEncodeIsTheSameInEveryBatch(t *testing.T) {
	texts := []string{"the goalkeeper saved a penalty", strings.Repeat("flour and water ", 40), "", "zzgx"}
	alone, _, err := open(t, 1).Encode(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	many, _, err := open(t, 7).Encode(t.Context(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range texts {
		if !slices.Equal(alone[i], many[i]) {
			t.Errorf("%q: another vector in a batch", texts[i])
		}
	}
	if dot(alone[2], alone[2]) != 0 {
		t.Errorf("no text has vector %v", alone[2])
	}
}
