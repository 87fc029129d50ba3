package tokens

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/earshot-fm/earshot/workers/index"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripts that texts are drawn from: words, accents, scripts without spaces,
// marks, and what tokenizers stumble over.
var alphabet = []rune("aBcé Éß'-\"*.0١øŁ ёЖ 東京都の天気ーｽﾋﾟがが สวัสดี हिन्दी 한국어 اَلع עִב \u00ad\u200d\x00ﬁ①½")

func text() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom(alphabet), 0, 24, -1)
}

func TestMarkingLosesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		body, query := text().Draw(r, "text"), text().Draw(r, "query")
		clauses, err := index.Parse(query)
		if err != nil {
			r.Skip("refused query")
		}
		marked := Mark(body, Matches(body, Terms(clauses)), "\x01", "\x02")
		if strings.NewReplacer("\x01", "", "\x02", "").Replace(marked) != body {
			r.Fatalf("%q became %q", body, marked)
		}
		if strings.Count(marked, "\x01") != strings.Count(marked, "\x02") {
			r.Fatalf("unbalanced marks in %q", marked)
		}
	})
}

func TestExcerptIsValidAndBounded(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		body := rapid.StringOfN(rapid.RuneFrom(alphabet), 0, 600, -1).Draw(r, "text")
		got, ranges := Excerpt(body, Matches(body, Terms([]index.Clause{{Text: "京都"}})))
		for _, m := range ranges {
			if got[m.Start:m.End] != "京都" {
				r.Fatalf("%q is marked in %q", got[m.Start:m.End], got)
			}
		}
		if strings.ToValidUTF8(got, "!") != got {
			r.Fatalf("invalid UTF-8: %q", got)
		}
		if len(got) > excerptBytes+2*len(ellipsis) {
			r.Fatalf("%d bytes", len(got))
		}
	})
}

// The short way for ASCII reads as the long way does, which a mark after the
// character takes.
func TestASCIIIsReadLikeTheRest(t *testing.T) {
	for c := range byte(0x80) {
		short, long := nextUnit(string(rune(c)), 0), nextUnit(string(rune(c))+"\u00ad", 0)
		if short.text != long.text || short.spaceless != long.spaceless {
			t.Errorf("%q is %+v, and %+v with a mark", c, short, long)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("l’équipe 東京都 AIスピーカー สวัสดี")
	f.Add("\xff\xfe a\u0301\u0301 \uff9e")
	f.Fuzz(func(t *testing.T, s string) {
		last := 0
		for _, tok := range Split(s) {
			if tok.Start < 0 || tok.End > len(s) || tok.Start >= tok.End || tok.Start < last || tok.Text == "" || strings.ContainsAny(tok.Text, "\" *:()^\x00") {
				t.Fatalf("%q: token %+v after %d", s, tok, last)
			}
			last = tok.Start
		}
	})
}

func TestOnlyPlainWordsHaveOtherForms(t *testing.T) {
	clauses, err := index.Parse(`Cafés "two words" goal* -not 東京 goal-keeper`)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, term := range Terms(clauses) {
		if term.Word != "" {
			words = append(words, term.Word)
		}
	}
	if len(words) != 1 || words[0] != "Cafés" {
		t.Errorf("words with other forms: %q", words)
	}
}

func TestMarksOfTheWordItselfComeFirst(t *testing.T) {
	text := "a goal’s goals"
	all := Beside(Matches(text, []Term{{Tokens: []string{"goal"}}}), []Range{{2, 10}, {11, 16}})
	if got := Mark(text, all, "<", ">"); got != "a <goal>’s <goals>" {
		t.Errorf("marked: %q", got)
	}
}
