package enrich

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// documents are what a publisher's server has, by address.
type documents map[string]string

func (d documents) Read(_ context.Context, url string) ([]byte, error) {
	switch doc := d[url]; doc {
	case "":
		return nil, dag.Reject("not-found", fmt.Errorf("%s answered 404", url))
	case "down":
		return nil, errors.New("connection refused")
	default:
		return []byte(doc), nil
	}
}

// told is a transcript in WebVTT, five seconds a cue as long as somebody speaks.
func told(from, to int) string {
	var b strings.Builder
	b.WriteString("WEBVTT\n")
	for at := from; at < to; at += 5 {
		fmt.Fprintf(&b, "\n%02d:%02d.500 --> %02d:%02d.500\nthe publisher says so\n", at/60, at%60, (at+4)/60, (at+4)%60)
	}
	return b.String()
}

func TestThePublishersTranscriptStandsIn(t *testing.T) {
	vtt := []episode.Link{{URL: "t.vtt", Type: "text/vtt", Language: "en-GB"}}
	for name, c := range map[string]struct {
		language, publisher string
		links               []episode.Link
		docs                documents
		source, gap         string // of the transcript
		warning             string
	}{
		"recognised on request":   {"en", "fallback", vtt, documents{"t.vtt": told(0, 200)}, "recognised", "", ""},
		"preferred by default":    {"en", "prefer", vtt, documents{"t.vtt": told(0, 200)}, "publisher", "", ""},
		"never":                   {"en", "never", vtt, documents{"t.vtt": told(0, 200)}, "recognised", "", ""},
		"no recogniser":           {"fr", "fallback", []episode.Link{{URL: "t.vtt", Type: "text/vtt"}}, documents{"t.vtt": told(0, 200)}, "publisher", "", ""},
		"no recogniser and never": {"fr", "never", vtt, documents{"t.vtt": told(0, 200)}, "", `no recogniser for language "fr"`, ""},
		"another language":        {"fr", "fallback", vtt, documents{"t.vtt": told(0, 200)}, "", `it is in "en-GB", and "fr" is spoken`, ""},
		"too long":                {"en", "prefer", vtt, documents{"t.vtt": told(0, 260)}, "recognised", "", "the audio ends at 200 s"},
		"too short":               {"en", "prefer", vtt, documents{"t.vtt": told(0, 120)}, "recognised", "", "somebody speaks until 200 s"},
		"the second link":         {"en", "prefer", []episode.Link{{URL: "gone.json", Type: "application/json"}, vtt[0]}, documents{"t.vtt": told(0, 200)}, "publisher", "", ""},
		"not there":               {"en", "prefer", vtt, documents{}, "recognised", "", "what the publisher gives cannot be used"},
		"server down":             {"en", "prefer", vtt, documents{"t.vtt": "down"}, "recognised", "", "what the publisher gives could not be fetched"},
		"one gone, one down":      {"en", "prefer", []episode.Link{{URL: "gone.json", Type: "application/json"}, vtt[0]}, documents{"t.vtt": "down"}, "recognised", "", "what the publisher gives could not be fetched"},
		"a web page":              {"en", "prefer", vtt, documents{"t.vtt": "<html>"}, "recognised", "", "what the publisher gives cannot be used"},
		"a little too long":       {"en", "prefer", vtt, documents{"t.vtt": told(0, 200) + "\n03:19.000 --> 03:21.000\nlate words\n\n03:21.000 --> 03:22.000\ntoo late\n"}, "publisher", "", ""},
		"no times":                {"en", "prefer", []episode.Link{{URL: "t.html", Type: "text/html"}}, documents{"t.html": "<p>text"}, "recognised", "", ""},
		"called plain text":       {"en", "prefer", []episode.Link{{URL: "t", Type: "text/plain"}}, documents{"t": told(0, 200)}, "publisher", "", ""},
		"called bytes":            {"en", "prefer", []episode.Link{{URL: "t", Type: "application/octet-stream"}}, documents{"t": told(0, 200)}, "publisher", "", ""},
		"called HTML, not there":  {"en", "prefer", []episode.Link{{URL: "t", Type: "text/html"}}, documents{}, "recognised", "", "what the publisher gives cannot be used"},
		"a line for all":          {"en", "prefer", vtt, documents{"t.vtt": "WEBVTT\n\n00:00.000 --> 03:20.000\n[Music]\n"}, "recognised", "", "it has 7 characters for 160 s of speech"},
		"a book":                  {"en", "prefer", vtt, documents{"t.vtt": "WEBVTT\n\n00:00.000 --> 03:20.000\n" + strings.Repeat("words ", 2000) + "\n"}, "recognised", "", "nobody can say its 11999 characters in 160 s of speech"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(t)
			s.language = c.language
			s.documents = c.docs
			e := s.configured(t, nil, "publisher: prefer", "publisher: "+c.publisher)
			ev := event()
			ev.Transcripts = c.links
			r, calls := s.enrich(t, e, ev)
			if c.gap != "" {
				if gap := gapOf(r.Record, "transcript"); !strings.Contains(gap, c.gap) {
					t.Errorf("gap %q, want %q", gap, c.gap)
				}
				return
			}
			tr := r.Record.Transcript
			if tr == nil || tr.Source != c.source || tr.Language != c.language {
				t.Fatalf("transcript %+v", tr)
			}
			if strings.Contains(calls, "transcript") != (c.source == "recognised") {
				t.Errorf("calls: %s", calls)
			}
			if c.source == "publisher" && (tr.Segments[0].Text != "the publisher says so" || len(tr.Segments[0].Words) != 4) {
				t.Errorf("%+v", tr.Segments[0])
			}
			if c.source == "publisher" {
				for _, s := range tr.Segments {
					if last := s.Words[len(s.Words)-1]; s.End > 200 || s.End <= s.Start || last.End > 200 {
						t.Errorf("beyond the audio's end: %+v", s)
					}
				}
			}
			warnings := fmt.Sprint(r.Record.Warnings)
			if !strings.Contains(warnings, c.warning) || c.warning == "" && len(r.Record.Warnings) > 0 {
				t.Errorf("warnings %s, want %q", warnings, c.warning)
			}
		})
	}
}

func gapOf(r *episode.Record, node string) string {
	for _, g := range r.Gaps {
		if g.Node == node {
			return g.Reason
		}
	}
	return ""
}

func TestThePublishersChaptersAreTheRecords(t *testing.T) {
	s := newSetup(t)
	s.documents = documents{"c.json": `{"version":"1.2.0","chapters":[{"startTime":0,"title":"One"},{"startTime":61.5,"title":"Two"},{"startTime":200,"title":"After the end"}]}`}
	ev := event()
	ev.Chapters = &episode.Link{URL: "c.json"}
	r, _ := s.enrich(t, s.enricher(t, nil), ev)
	if got := fmt.Sprint(r.Record.Chapters); got != "[{0 One publisher} {61.5 Two publisher}]" {
		t.Errorf("chapters %s", got)
	}
	ev.Revision++
	s.documents["c.json"] = "<html>"
	r, _ = s.enrich(t, s.enricher(t, nil), ev)
	for _, c := range r.Record.Chapters {
		if c.Source == "publisher" {
			t.Errorf("chapters %+v", c)
		}
	}
	if got := fmt.Sprint(r.Record.Warnings); got != "[{publisher-chapters publisher-document-unusable what the publisher gives cannot be used}]" {
		t.Errorf("warnings %s", got)
	}
}

func TestThePublisherSwitchIsChecked(t *testing.T) {
	task := map[string][]string{}
	for _, k := range kinds {
		if k.task != "" {
			task[k.task] = []string{"any"}
		}
	}
	spec, err := dag.ParseSpec([]byte("nodes: {fetch: {}, decode: {}, speech: {model: any}, language: {model: any}, transcript: {model: any, parameters: {publisher: always}}}"), Vocabulary(task))
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(spec); err == nil || !strings.Contains(err.Error(), `graph.nodes.transcript.parameters.publisher: "always": want never, fallback or prefer`) {
		t.Errorf("got %v", err)
	}
}
