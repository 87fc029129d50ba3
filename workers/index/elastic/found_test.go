package elastic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// alphabet has words, accents, scripts without spaces, marks, and what
// analyzers stumble over.
var alphabet = []rune("aBcé Éß'-\"*.0١øŁ ёЖ 東京都の天気ーｽﾋﾟがが สวัสดี हिन्दी 한국어 اَلع עִב \u00ad\u200d\x00ﬁ①½\u2003\u1680😀<&")

// Every word of an episode, every run of its characters where no spaces divide
// words, finds the episode, and is marked in the moment.
func TestWhatWasSaidIsFound(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		random := rand.New(rand.NewPCG(11, 13))
		var all []encoded
		said := map[episode.ID]string{}
		for len(all) < 150 {
			var text strings.Builder
			for range 1 + random.IntN(24) {
				text.WriteRune(alphabet[random.IntN(len(alphabet))])
			}
			if random.IntN(20) == 0 {
				text.WriteString(strings.Repeat("long", 100)) // more than a token of Elasticsearch's holds
			}
			if len(tokens.Split(text.String())) == 0 {
				continue
			}
			d := index.Document{ID: episode.ID(fmt.Sprintf("e%d", len(all))), Language: []string{"en", "ja", ""}[random.IntN(3)], Segments: []index.Segment{{Text: text.String()}}}
			e, err := encode(d)
			if err != nil {
				t.Fatal(err)
			}
			all, said[d.ID] = append(all, e), text.String()
		}
		if err := x.fill(t.Context(), x.filling(1, newerOrSame), all); err != nil {
			t.Fatal(err)
		}
		if err := x.refresh(t.Context(), x.options.Episodes, x.options.Segments); err != nil {
			t.Fatal(err)
		}
		for id, text := range said {
			split := tokens.Split(text)
			token := split[random.IntN(len(split))]
			query := `"` + text[token.Start:token.End] + `"`
			found := false
			for _, h := range find(t, x, index.Query{Text: query, Limit: index.MaxLimit, Open: "\x01", Close: "\x02"}).Hits {
				if h.ID != id {
					continue
				}
				found = true
				if len(h.Moments) != 1 || !strings.Contains(h.Moments[0].Text, "\x01") || strings.NewReplacer("\x01", "", "\x02", "").Replace(h.Moments[0].Text) != text {
					t.Errorf("%q in %q: moments %+v", query, text, h.Moments)
				}
			}
			if !found {
				t.Errorf("%q does not find %q", query, text)
			}
		}
	})
}
