package keyword

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models/modelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Finder {
	t.Helper()
	m := modelstest.BuiltIn(t, "earshot-keywords")
	f, err := New(m, modelstest.Direct[[]int64, []float32](t, m, NewRunner))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func texts(keywords []episode.Keyword) string {
	var all []string
	for _, k := range keywords {
		all = append(all, k.Text)
	}
	return strings.Join(all, ", ")
}

func TestFindTellsWhatATextIsAbout(t *testing.T) {
	talk := []string{
		"so today we are going to talk about the goalkeeper who saved the penalty",
		"well you know the goalkeeper was young and nobody thought that he would play",
		"the penalty was late in the match and then there was the whistle",
		"a penalty in the last minute i mean who would not be afraid",
	}
	bread := []string{"first you mix flour and water", "the sour dough has to rest and then the sour dough goes into the oven", "flour is cheap"}
	f := open(t)
	found, usage, err := f.Find(t.Context(), [][]string{talk, bread}, 5)
	if err != nil || usage.Model != "earshot-keywords@1" {
		t.Fatal(usage, err)
	}
	if got := texts(found[0]); !strings.Contains(got, "penalty") || !strings.Contains(got, "goalkeeper") {
		t.Errorf("of the match: %s", got)
	}
	if got := texts(found[1]); !strings.Contains(got, "dough") || !strings.Contains(got, "flour") {
		t.Errorf("of the bread: %s", got)
	}
	for _, dull := range []string{"the", "and", "you", "that", "would", "then", "there", "well", "today", "first"} {
		for _, k := range slices.Concat(found...) {
			if slices.Contains(strings.Fields(k.Text), dull) {
				t.Errorf("%q is a keyword", k.Text)
			}
		}
	}
}

func TestFindKeepsItsPromises(t *testing.T) {
	f := open(t)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.String(), 0, 5), 0, 4).Draw(t, "parts")
		n := rapid.IntRange(0, 6).Draw(t, "n")
		found, _, err := f.Find(t.Context(), parts, n)
		if err != nil || len(found) != len(parts) {
			t.Fatalf("%d lists for %d parts, %v", len(found), len(parts), err)
		}
		for i, keywords := range found {
			if len(keywords) > n {
				t.Fatalf("part %d has %d keywords, not %d", i, len(keywords), n)
			}
			for j, k := range keywords {
				if k.Text == "" || k.Score <= 0 || k.Score > 1 || j > 0 && k.Score > keywords[j-1].Score {
					t.Fatalf("keywords %v", keywords)
				}
			}
		}
	})
}
