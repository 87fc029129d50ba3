package index

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want []Clause
	}{
		{"", nil},
		{"  two   words ", []Clause{{Text: "two"}, {Text: "words"}}},
		{`"a phrase" word`, []Clause{{Text: "a phrase", Phrase: true}, {Text: "word"}}},
		{`goal* "a phr"* -x -"y z"`, []Clause{{Text: "goal", Prefix: true}, {Text: "a phr", Phrase: true, Prefix: true},
			{Text: "x", Exclude: true}, {Text: "y z", Phrase: true, Exclude: true}}},
		{`"open to the end`, []Clause{{Text: "open to the end", Phrase: true}}},
		{`word"phrase"word`, []Clause{{Text: "word"}, {Text: "phrase", Phrase: true}, {Text: "word"}}},
		{`- -- * "" ?`, nil},
		{`well-known`, []Clause{{Text: "well-known"}}},
	}
	for _, test := range tests {
		got, err := Parse(test.text)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`a "b c"* -d "e`)
	f.Add("-\"\"- *")
	f.Fuzz(func(t *testing.T, s string) {
		clauses, err := Parse(s)
		var refusal *QueryError
		if err != nil && !errors.As(err, &refusal) {
			t.Fatalf("%q: %v", s, err)
		}
		if len(clauses) > maxClauses {
			t.Fatalf("%q: %d clauses", s, len(clauses))
		}
		for _, c := range clauses {
			if !strings.Contains(s, c.Text) || strings.ContainsRune(c.Text, '"') {
				t.Fatalf("%q: clause %+v", s, c)
			}
		}
	})
}

func TestFromRecord(t *testing.T) {
	r := &episode.Record{
		Episode:    episode.Episode{ID: "e", Title: "T", Revision: 7, Generation: 2, Duration: 9},
		Language:   &episode.Language{Code: "en"},
		Transcript: &episode.Transcript{Segments: []episode.Segment{{Span: episode.Span{Start: 1, End: 2}, Text: "said"}}},
		Topics:     []episode.Topic{{Name: "Sports"}},
	}
	want := Document{ID: "e", Title: "T", Version: episode.Version{Revision: 7, Generation: 2}, Duration: 9, Language: "en",
		Segments: []Segment{{Span: episode.Span{Start: 1, End: 2}, Text: "said"}}, Topics: r.Topics}
	if got := FromRecord(r); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := FromRecord(&episode.Record{}); got.Segments != nil || got.Language != "" {
		t.Errorf("of an empty record: %+v", got)
	}
}
