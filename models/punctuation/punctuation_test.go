package punctuation

import (
	"encoding/json"
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

type queue = modelstest.Queue[Window, Reading]

func open(t testing.TB) (*Punctuator, queue) {
	t.Helper()
	return modelstest.Task(t, modelstest.BuiltIn(t, "earshot-punctuation"), NewRunner, New)
}

// spoken makes segments of words that follow each other at once; "/" is half a
// second of silence, "//" ends a segment after it.
func spoken(text string) []episode.Segment {
	var out []episode.Segment
	var s episode.Segment
	at := episode.Seconds(0)
	end := func() {
		if n := len(s.Words); n > 0 {
			s.Span = episode.Span{Start: s.Words[0].Start, End: s.Words[n-1].End}
			out = append(out, s)
		}
		s = episode.Segment{}
	}
	for _, w := range strings.Fields(text) {
		switch w {
		case "//":
			at += 0.6
			end()
		case "/":
			at += 0.5
		default:
			s.Words = append(s.Words, episode.Word{Span: episode.Span{Start: at, End: at + 0.3}, Text: w})
			at += 0.3
		}
	}
	end()
	return out
}

// The sentences are in no training set.
func TestBareWordsAreWritten(t *testing.T) {
	p, _ := open(t)
	got, usage, err := p.Punctuate(t.Context(), spoken(`hello and welcome to the show / my name is peter // today we are in london
		with a doctor from france / how did you come to england // i came here in january and i never went back`))
	if err != nil || usage.Model != "earshot-punctuation@1" || len(got) != 3 {
		t.Fatalf("%q, %+v, %v", got, usage, err)
	}
	text := strings.ReplaceAll(strings.Join(slices.Concat(got...), " "), ",", "") // where one goes is a matter of taste
	want := `Hello and welcome to the show. My name is Peter. Today we are in London with a doctor from France. How did you come to England? I came here in January and I never went back.`
	if text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// reference is what models/train/punctuation/fixture.py wrote.
type reference struct {
	Words   []string
	Pauses  []float64
	Written []string
	IDs     [][]int64
	Marks   [][]float32
	Cases   [][]float32
}

func TestSameAsInTraining(t *testing.T) {
	b, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var want reference
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	s := episode.Segment{}
	at := episode.Seconds(0)
	for i, w := range want.Words {
		s.Words = append(s.Words, episode.Word{Span: episode.Span{Start: at, End: at + 0.25}, Text: w})
		at += 0.25 + episode.Seconds(want.Pauses[i])
	}
	p, q := open(t)
	said, pauses := p.said([]episode.Segment{s})
	windows := p.windows(said, pauses)
	if len(windows) < 2 {
		t.Fatalf("%d words fit a window", len(said))
	}
	for i, row := range want.IDs {
		if got := p.rows(said[i]); !slices.Equal(got, row) {
			t.Errorf("rows of %q: %v, want %v", said[i], got, row)
		}
	}
	readings, err := q.Runner.Run(t.Context(), q.Sessions, windows)
	if err != nil {
		t.Fatal(err)
	}
	step := p.params.Words - 2*p.params.ContextWords
	for i := range said {
		r, place := readings[i/step], p.params.ContextWords+i%step
		// Half precision's weights, and pauses that add up in other ways.
		modelstest.Near(t, said[i]+": marks", r.Marks[place*int(marksEnd):(place+1)*int(marksEnd)], want.Marks[i], 0.05)
		modelstest.Near(t, said[i]+": cases", r.Cases[place*int(casesEnd):(place+1)*int(casesEnd)], want.Cases[i], 0.05)
	}
	if got := p.write(said, readings); !slices.Equal(got, want.Written) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), strings.Join(want.Written, " "))
	}
}

func TestReadingsDoNotDependOnTheBatch(t *testing.T) {
	p, q := open(t)
	said, pauses := p.said(spoken(strings.Repeat("the sea is cold in may / so we went home to rome and slept / ", 30)))
	windows := p.windows(said, pauses)
	together, err := q.Runner.Run(t.Context(), q.Sessions, windows)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
	for i, w := range windows {
		one, err := q.Runner.Run(t.Context(), q.Sessions, []Window{w})
		if err != nil || !slices.EqualFunc(one[0].Marks, together[i].Marks, same) || !slices.EqualFunc(one[0].Cases, together[i].Cases, same) {
			t.Errorf("window %d differs alone, %v", i, err)
		}
	}
}

// Whatever is said, each word is written once, with letters of its own.
func TestNoWordIsLostOrChanged(t *testing.T) {
	p, _ := open(t)
	rapid.Check(t, func(r *rapid.T) {
		var segments []episode.Segment
		at := episode.Seconds(0)
		for range rapid.IntRange(0, 6).Draw(r, "segments") {
			s := episode.Segment{Span: episode.Span{Start: at}}
			texts := rapid.SliceOfN(rapid.StringMatching(`[a-zéß']{1,9}`), 0, 40).Draw(r, "words")
			for _, w := range texts {
				s.Words = append(s.Words, episode.Word{Span: episode.Span{Start: at, End: at + 0.2}, Text: w})
				at += 0.2 + episode.Seconds(rapid.Float64Range(-0.1, 3).Draw(r, "pause"))
			}
			s.Text = strings.Join(texts, " ")
			if rapid.Bool().Draw(r, "without times") {
				s.Words = nil
			}
			segments = append(segments, s)
		}
		written, _, err := p.Punctuate(t.Context(), segments)
		if err != nil || len(written) != len(segments) {
			r.Fatalf("%d segments written for %d, %v", len(written), len(segments), err)
		}
		for i, s := range segments {
			bare := strings.TrimSpace(strings.ToLower(strings.Join(written[i], " ")))
			bare = strings.NewReplacer(",", "", ".", "", "?", "").Replace(bare)
			if bare != strings.ToLower(strings.ToUpper(s.Text)) && bare != s.Text {
				r.Fatalf("%q is written %q", s.Text, written[i])
			}
		}
	})
}

func TestSpelling(t *testing.T) {
	for _, c := range []struct {
		word string
		as   letters
		want string
	}{
		{"paris", asItIs, "paris"}, {"paris", capitalised, "Paris"}, {"éclair", capitalised, "Éclair"}, {"", capitalised, ""},
		{"\xff", capitalised, "\xff"}, {"bbc", upperCase, "BBC"}, {"bbc's", upperCase, "BBC's"}, {"b", upperCase, "B"},
	} {
		if got := spell(c.word, c.as); got != c.want {
			t.Errorf("spell(%q, %d) = %q, want %q", c.word, c.as, got, c.want)
		}
	}
}

func TestMistakesInAManifestAreNamed(t *testing.T) {
	good := func() models.Manifest { return modelstest.BuiltIn(t, "earshot-punctuation").Manifest }
	for want, change := range map[string]func(*models.Manifest){
		`task "ads"`:           func(m *models.Manifest) { m.Task = "ads" },
		`family "hashed"`:      func(m *models.Manifest) { m.Family = "hashed" },
		"the languages":        func(m *models.Manifest) { m.Languages = nil },
		"words > 2":            func(m *models.Manifest) { m.Params["context_words"] = m.Params["words"] },
		"parameters.words is ": func(m *models.Manifest) { m.Params["words"] = 80 },
		"parameters.rowz":      func(m *models.Manifest) { m.Params["rowz"] = 1 },
	} {
		m := models.Model{Manifest: good()}
		change(&m.Manifest)
		if _, err := NewRunner(&m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
		if _, err := New(&m, nil); err == nil {
			t.Errorf("%s: New takes it", want)
		}
	}
}
