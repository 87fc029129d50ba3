package feed

import (
	"reflect"
	"strings"
	"testing"
)

func TestListsAreRead(t *testing.T) {
	for name, test := range map[string]struct {
		list string
		want []Source
	}{
		"lines": {"# ours\n\nhttps://podnews.net/rss\n  https://example.org/rss#frag  \r\nhttps://p.example.org/x private\nhttps://${USER}:${PASS}@q.example.org/rss\n",
			[]Source{{URL: feedURL}, {URL: "https://example.org/rss#frag"}, {URL: "https://p.example.org/x", Private: true}, {URL: "https://${USER}:${PASS}@q.example.org/rss"}}},
		"a mark, no last line's end": {"\ufeffhttps://podnews.net/rss", []Source{{URL: feedURL}}},
		"nothing":                    {"# none yet\n", nil},
		"OPML": {"\ufeff" + `<?xml version="1.0" encoding="ISO-8859-1"?>
<opml version="2.0"><head><title>Caf` + "\xe9" + `</title></head><body>
<outline text="News"><outline type="rss" text="Podnews" xmlUrl=" https://podnews.net/rss "/><outline text="folder"><outline xmlurl="https://example.org/a?b=1&amp;c=2"/></outline></outline>
<outline text="again" xmlUrl="https://podnews.net/rss"/>
<outline text="mine" xmlUrl="https://p.example.org/x" private="true"/>
</body></opml>`, []Source{{URL: feedURL}, {URL: "https://example.org/a?b=1&c=2"}, {URL: "https://p.example.org/x", Private: true}}},
	} {
		got, err := ReadList(strings.NewReader(test.list))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestAWrongListNamesTheLine(t *testing.T) {
	for list, want := range map[string]string{
		"https://a.org/\nnot a feed\n":                          "line 2: want an address",
		"# x\n\nfeeds.example.org/rss\n":                        `line 3: feed: "feeds.example.org/rss" is no http or https address`,
		"https://a.org/\nhttps://b.org/\nhttps://a.org/\n":      "line 3: the feed of line 1 again",
		"https://a.org/ secret\n":                               "line 1: want an address",
		"https://a.org/\n" + strings.Repeat("x", 70_000):        "line 2: ",
		"<opml>\n<body>\n<outline xmlUrl='gopher://x'/></body>": `line 3: feed: "gopher://x"`,
		"<opml>\n<body>\n</opml>":                               "line 3: not OPML",
		"<html>\n</html>":                                       "line 1: the document is <html>, not <opml>",
		"<opml>\n<body>":                                        "line 2: not OPML",
		"<!-- -->":                                              "no element",
	} {
		if _, err := ReadList(strings.NewReader(list)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", list, err, want)
		}
	}
	for _, list := range []string{"https://u:hunter2@a.org:x/", "<opml><outline xmlUrl='https://u:hunter2@a.org:x/'/></opml>", "\nhunter2 hunter2"} {
		if _, err := ReadList(strings.NewReader(list)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func FuzzReadList(f *testing.F) {
	f.Add("# x\nhttps://podnews.net/rss private\n")
	f.Add(`<opml version="2.0"><body><outline xmlUrl="https://podnews.net/rss"/></body></opml>`)
	f.Fuzz(func(t *testing.T, list string) {
		sources, err := ReadList(strings.NewReader(list))
		if err != nil {
			return
		}
		for _, s := range sources {
			if _, err := s.subscribe(secrets); err != nil && !strings.Contains(err.Error(), "secret") {
				t.Errorf("%q was read and is refused: %v", s.URL, err)
			}
		}
	})
}
