package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/workers/index"
)

// A title is a stranger's: it is read, and commands nobody's terminal.
func TestTitlesCommandNoTerminal(t *testing.T) {
	wild := "a\x1b]0;owned\a\u009b2J\r\nb\u202ec\x7f \xff"
	var out bytes.Buffer
	printPage(&out, index.Page{Total: 1, Hits: []index.Hit{{ID: "e", Title: wild, Moments: []index.Moment{{Text: wild}}}},
		Facets: index.Facets{Topic: []index.Facet{{Value: wild, Count: 1}}}}, false)
	out.WriteString(clip(wild, 40))
	if s := out.String(); strings.ContainsAny(s, "\x1b\a\u009b\r\u202e\x7f") || strings.Count(s, "\n") != 3 || !strings.Contains(s, "a]0;owned2J  bc") {
		t.Errorf("%q", s)
	}
}
