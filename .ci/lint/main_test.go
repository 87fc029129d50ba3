package main

import (
	"strings"
	"testing"
	"testing/fstest"
)

const testTable = `
low
high      low
high/*    high
          tests: low
main      everything
only example.org/sdk   high/driver
`

func TestLintNamesEachFault(t *testing.T) {
	for name, c := range map[string]struct{ file, src, want string }{
		"fine":          {"high/a.go", "// Package high is fine.\npackage high\nimport _ \"" + module + "/low\"", ""},
		"everything":    {"main/a.go", "// Package main is fine.\npackage main\nimport _ \"" + module + "/high/driver\"", ""},
		"up":            {"low/a.go", "// Package low is low.\npackage low\nimport _ \"" + module + "/high\"", "low/a.go:3: package low may not import high"},
		"child":         {"high/a.go", "// Package high is high.\npackage high\nimport _ \"" + module + "/high/driver\"", "package high may not import high/driver"},
		"unknown":       {"new/a.go", "// Package new is new.\npackage new", "package new has no line"},
		"sdk":           {"high/a.go", "// Package high is high.\npackage high\nimport _ \"example.org/sdk/v2/client\"", "only high/driver may import example.org/sdk"},
		"driver":        {"high/driver/a.go", "// Package driver drives.\npackage driver\nimport _ \"example.org/sdk/v2\"", ""},
		"only in tests": {"high/driver/a.go", "// Package driver drives.\npackage driver\nimport _ \"" + module + "/low\"", "package high/driver may not import low"},
		"no doc":        {"low/a.go", "package low", "low: the package has no doc comment"},
		"left to do":    {"low/a.go", "// Package low is low.\npackage low\n// TO" + "DO: all of it", "low/a.go:3: something is left to do"},
		"sleep":         {"low/a_test.go", "package low\nimport \"time\"\nfunc f() { time.Sleep(1) }", "low/a_test.go:3: a test sleeps"},
		"skip":          {"low/a_test.go", "package low\nfunc f(t *T) { t.Skipf(\"no\") }", "low/a_test.go:2: a test can skip"},
		"rapid's skip":  {"low/a_test.go", "package low\nfunc f(t *rapid.T) { g(func(t *T) { t.Skip() }); t.Skip() }", "low/a_test.go:2: a test can skip"},
		"only rapid's":  {"low/a_test.go", "package low\nvar _ = func(r *rapid.T) { if x { r.Skip() } }", ""},
	} {
		t.Run(name, func(t *testing.T) {
			faults, err := lint(fstest.MapFS{c.file: {Data: []byte(c.src)}, ".git/a.go": {Data: []byte("no Go")}}, testTable)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(faults, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheTableIsReadStrictly(t *testing.T) {
	for _, text := range []string{"a\na b\n", "  a b\n", "only x\n"} {
		if _, err := readTable(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if _, err := readTable(importsTable); err != nil {
		t.Error(err)
	}
}
