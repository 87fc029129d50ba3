package indextest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

func queryLanguage(t *testing.T, x index.Index) {
	put(t, x, index.Stored, document(1, 1, "the goalkeeper ran forward", "what a penalty"))
	put(t, x, index.Stored, document(2, 1, "a goal in the first minute"))
	put(t, x, index.Stored, document(3, 1, "forward ran the horses"))
	tests := []struct {
		text string
		want []int
	}{
		{"goalkeeper penalty", []int{1}}, // in different segments
		{"goalkeeper minute", nil},
		{"goal", []int{2}},
		{"goal*", []int{1, 2}},
		{"GOAL* -penalty", []int{2}},
		{`goal* -"first minute"`, []int{1}},
		{`-pen* goal*`, []int{2}},
		{`"ran forward"`, []int{1}},
		{`"ran for"*`, []int{1}},
		{`"forward ran"`, []int{3}},
		{`"ran forward`, []int{1}}, // open to the end
		{"ran, forward!", []int{1, 3}},
		{"number", []int{1, 2, 3}}, // in the title
		{"oal", nil},
		{"goal-keeper", nil},
		{"?!", []int{1, 2, 3}},
	}
	for _, test := range tests {
		expect(t, x, index.Query{Text: test.text}, test.want...)
	}
}

func hostileQueries(t *testing.T, x index.Index) {
	put(t, x, index.Stored, document(1, 1, "say AND or NOT or NEAR to title"))
	put(t, x, index.Stored, document(2, 1, "other words"))
	finds := map[string][]int{
		"AND": {1}, "NOT": {1}, "NEAR": {1}, "or": {1}, "title": {1},
		`say OR words`: {}, `title:say`: {}, `say NOT other`: {}, `NEAR(say to)`: {},
	}
	for text, want := range finds {
		expect(t, x, index.Query{Text: text}, want...)
	}
	for _, text := range []string{
		`"`, `""`, `"""`, `*`, `-`, `--`, `-*`, `^say`, `say^2`, `{title}: x`, `(`, `)`, `((say`, `'; DROP TABLE episode; --`,
		`"say" "`, `say\"`, "say\x00words", `say + words`, `%`, `_`, `a:b:c`, `\`, `[say]`, `say~2`, `/say/`, `&&`, `||`, `!say`, `say*to`, `*say`,
	} {
		if _, err := x.Search(t.Context(), index.Query{Text: text, Topic: text, Event: text, Language: text, Open: "<", Close: ">"}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func accents(t *testing.T, x index.Index) {
	put(t, x, index.Stored, document(1, 1, "l’équipe de São Paulo à Zürich, Straße in Łódź"))
	put(t, x, index.Stored, document(2, 1, "ΑΘΉΝΑ и Ёлка"))
	for _, text := range []string{"equipe", "ÉQUIPE", "sao paulo", "zurich", "strasse", "lodz", "e\u0301quipe", `"l'equipe"`} {
		expect(t, x, index.Query{Text: text}, 1)
	}
	for _, text := range []string{"αθηνα", "Αθήνα", "елка"} {
		expect(t, x, index.Query{Text: text}, 2)
	}
	h := search(t, x, index.Query{Text: "sao", Open: "[", Close: "]"}).Hits[0]
	if h.Moments[0].Text != "l’équipe de [São] Paulo à Zürich, Straße in Łódź" {
		t.Errorf("moment = %q", h.Moments[0].Text)
	}
}

func withoutSpaces(t *testing.T, x index.Index) {
	put(t, x, index.Stored, document(1, 1, "東京都の天気は晴れです", "AIスピーカーの話"))
	put(t, x, index.Stored, document(2, 1, "京都の天気は雨です"))
	put(t, x, index.Stored, document(3, 1, "我们今天谈谈人工智能"))
	put(t, x, index.Stored, document(4, 1, "สวัสดีครับวันนี้อากาศดี"))
	tests := []struct {
		text string
		want []int
	}{
		{"天気", []int{1, 2}},
		{"京都", []int{1, 2}}, // also inside 東京都: no dictionary says otherwise
		{"東京", []int{1}},
		{"雨", []int{2}},
		{"です", []int{1, 2}},
		{"天気 雨", []int{2}},
		{"天気 -雨", []int{1}},
		{"スピーカー", []int{1}},
		{"ｽﾋﾟｰｶｰ", []int{1}}, // halfwidth
		{"AI", []int{1}},
		{"人工智能", []int{3}},
		{"智人", nil},
		{"อากาศ", []int{4}},
		{"วันนี้", []int{4}},
	}
	for _, test := range tests {
		expect(t, x, index.Query{Text: test.text}, test.want...)
	}
	h := search(t, x, index.Query{Text: "人工智能", Open: "[", Close: "]"}).Hits[0]
	if len(h.Moments) != 1 || !strings.Contains(h.Moments[0].Text, "[人工智能]") {
		t.Errorf("moments = %+v", h.Moments)
	}
}

func filters(t *testing.T, x index.Index) {
	a := document(1, 1, "one thing")
	a.Language = "en-GB"
	a.Topics = []episode.Topic{{Name: "Sports", ID: "483"}, {Name: "Books and Literature", ID: "42"}}
	a.SoundEvents = []episode.SoundEvent{{Label: "Music", ID: "/m/04rlf"}, {Label: "Music", ID: "/m/04rlf"}}
	b := document(2, 1, "another thing")
	b.Topics = []episode.Topic{{Name: "Travel", ID: "653"}}
	b.SoundEvents = []episode.SoundEvent{{Label: "Applause", ID: "/m/028ght"}}
	c := document(3, 1, "a third thing")
	c.Language, c.Podcast, c.PublishedAt = "eno", "another podcast", time.Time{}
	for _, d := range []index.Document{a, b, c} {
		put(t, x, index.Stored, d)
	}
	day := func(n int) time.Time { return time.Date(2026, 11, n, 6, 0, 0, 0, time.UTC) }
	tests := []struct {
		query index.Query
		want  []int
	}{
		{index.Query{Language: "en"}, []int{1, 2}},
		{index.Query{Language: "EN-gb"}, []int{1}},
		{index.Query{Language: "en%"}, nil},
		{index.Query{Topic: "sports"}, []int{1}},
		{index.Query{Topic: "books AND literature"}, []int{1}},
		{index.Query{Topic: "483"}, []int{1}},
		{index.Query{Topic: "48"}, nil},
		{index.Query{Event: "APPLAUSE"}, []int{2}},
		{index.Query{Event: "/m/04rlf"}, []int{1}},
		{index.Query{Podcast: "another podcast"}, []int{3}},
		{index.Query{PublishedFrom: day(1), PublishedBefore: day(2)}, []int{1}},
		{index.Query{PublishedFrom: day(2)}, []int{2}},
		{index.Query{Text: "thing", Language: "en", Event: "Music"}, []int{1}},
		{index.Query{Text: "another", Event: "Music"}, nil},
	}
	for _, test := range tests {
		expect(t, x, test.query, test.want...)
	}
}

func refused(t *testing.T, x index.Index) {
	words := strings.Repeat("word ", 100)
	for _, q := range []index.Query{
		{Limit: -1}, {Limit: index.MaxLimit + 1}, {Offset: -1}, {Offset: index.MaxOffset + 1}, {Moments: -1},
		{Text: "-only"}, {Text: words}, {Text: strings.Repeat("x", 2000)}, {Text: "\xff"},
		{PublishedFrom: time.Unix(2, 0), PublishedBefore: time.Unix(1, 0)},
	} {
		_, err := x.Search(t.Context(), q)
		var refusal *index.QueryError
		if !errors.As(err, &refusal) || refusal.Field == "" {
			t.Errorf("%+v: %v, want a *QueryError", q, err)
		}
	}
}
