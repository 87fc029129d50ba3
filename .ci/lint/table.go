package main

import (
	"fmt"
	"path"
	"strings"
)

// table is imports.txt.
type table struct {
	rules   map[string]rule // by folder, or "folder/*"
	vendors []vendor
}

// rule is what one package may import of ours.
type rule struct {
	may, tests []string
	everything bool
}

// vendor is a module that only some packages may import.
type vendor struct {
	prefix string
	users  []string
}

func readTable(text string) (table, error) {
	t := table{rules: map[string]rule{}}
	last := ""
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "only" && len(words) > 2:
			t.vendors = append(t.vendors, vendor{words[1], words[2:]})
		case words[0] == "tests:" && last != "":
			r := t.rules[last]
			r.tests = words[1:]
			t.rules[last] = r
		case strings.HasPrefix(line, " ") || words[0] == "only":
			return table{}, fmt.Errorf("imports.txt:%d: not understood: %s", i+1, strings.TrimSpace(line))
		default:
			last = words[0]
			if _, twice := t.rules[last]; twice {
				return table{}, fmt.Errorf("imports.txt:%d: %s has two lines", i+1, last)
			}
			t.rules[last] = rule{may: words[1:], everything: len(words) == 2 && words[1] == "everything"}
		}
	}
	return t, nil
}

// rule finds a package's line: its own, or its parent's "/*".
func (t table) rule(folder string) (rule, bool) {
	if r, ok := t.rules[folder]; ok {
		return r, true
	}
	r, ok := t.rules[path.Dir(folder)+"/*"]
	return r, ok
}
