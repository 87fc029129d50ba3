package sqlite

import (
	"strings"

	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// expression is a term in FTS5's language. Tokens hold letters, digits and
// marks only, so that nothing in them can be an operator.
func expression(t tokens.Term) string {
	e := `"` + strings.Join(t.Tokens, " ") + `"`
	if t.Prefix {
		e += " *"
	}
	return e
}

// match is the FTS5 expression that all episodes sought match, and none that
// is excluded.
func match(terms []tokens.Term) string {
	var want, not []string
	for _, t := range terms {
		if t.Exclude {
			not = append(not, expression(t))
		} else {
			want = append(want, expression(t))
		}
	}
	if len(want) == 0 {
		return ""
	}
	e := strings.Join(want, " AND ")
	if len(not) > 0 {
		e = "(" + e + ") NOT (" + strings.Join(not, " OR ") + ")"
	}
	return e
}

// anyOf is the FTS5 expression that a segment matches when it has any of what
// is sought.
func anyOf(terms []tokens.Term) string {
	var want []string
	for _, t := range terms {
		if !t.Exclude {
			want = append(want, expression(t))
		}
	}
	return strings.Join(want, " OR ")
}
