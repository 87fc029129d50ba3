// Command lint checks the fences of docs/architecture.md (imports.txt) and the
// rules for files: a doc comment for each package, no test that sleeps or
// skips, nothing left to do in a comment. It prints one line for each fault.
package main

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed imports.txt
var importsTable string

const module = "github.com/earshot-fm/earshot"

func main() {
	faults, err := lint(os.DirFS("."), importsTable)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lint:", err)
		os.Exit(2)
	}
	for _, f := range faults {
		fmt.Println(f)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// linter collects what is wrong in one tree.
type linter struct {
	table      table
	files      *token.FileSet
	documented map[string]bool // package folder: has a doc comment
	faults     []string
}

func lint(tree fs.FS, text string) ([]string, error) {
	t, err := readTable(text)
	if err != nil {
		return nil, err
	}
	l := &linter{table: t, files: token.NewFileSet(), documented: map[string]bool{}}
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		return l.file(name, src)
	})
	if err != nil {
		return nil, err
	}
	for folder, ok := range l.documented {
		if !ok {
			l.faults = append(l.faults, folder+": the package has no doc comment (// Package …)")
		}
	}
	slices.Sort(l.faults)
	return l.faults, nil
}

func (l *linter) fault(at token.Pos, format string, args ...any) {
	p := l.files.Position(at)
	l.faults = append(l.faults, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
}

var leftToDo = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

func (l *linter) file(name string, src []byte) error {
	f, err := parser.ParseFile(l.files, name, src, parser.ParseComments)
	if err != nil {
		return err
	}
	isTest := strings.HasSuffix(name, "_test.go")
	folder := filepath.ToSlash(path.Dir(name))
	if !isTest {
		l.documented[folder] = l.documented[folder] || f.Doc != nil
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if leftToDo.MatchString(c.Text) {
				l.fault(c.Pos(), "something is left to do: %s", c.Text)
			}
		}
	}
	l.imports(folder, f, isTest)
	if isTest {
		l.testRules(f, nil)
	}
	return nil
}

// testRules looks for calls that sleep or skip. rapids are the variables that
// hold a *rapid.T there: its Skip draws anew, and skips no test.
func (l *linter) testRules(root ast.Node, rapids []string) {
	ast.Inspect(root, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				l.testRules(n.Body, withRapids(rapids, n.Type))
			}
			return false
		case *ast.FuncLit:
			l.testRules(n.Body, withRapids(rapids, n.Type))
			return false
		case *ast.CallExpr:
			l.testCall(n, rapids)
		}
		return true
	})
}

func withRapids(rapids []string, f *ast.FuncType) []string {
	rapids = slices.Clone(rapids)
	for _, p := range f.Params.List {
		pointer, _ := p.Type.(*ast.StarExpr)
		isRapid := pointer != nil && isName(pointer.X, "rapid", "T")
		for _, name := range p.Names {
			rapids = slices.DeleteFunc(rapids, func(r string) bool { return r == name.Name })
			if isRapid {
				rapids = append(rapids, name.Name)
			}
		}
	}
	return rapids
}

func isName(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func (l *linter) testCall(call *ast.CallExpr, rapids []string) {
	if isName(call.Fun, "time", "Sleep") {
		l.fault(call.Pos(), "a test sleeps: wait for a signal, or use testing/synctest")
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
		return
	}
	if x, ok := s.X.(*ast.Ident); ok && !slices.Contains(rapids, x.Name) {
		l.fault(call.Pos(), "a test can skip: what it needs must be there (make setup), or fail")
	}
}

func (l *linter) imports(folder string, f *ast.File, isTest bool) {
	rule, known := l.table.rule(folder)
	if !known {
		l.fault(f.Package, "package %s has no line in .ci/lint/imports.txt", folder)
		return
	}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		for _, v := range l.table.vendors {
			if !isTest && within(imported, v.prefix) && !slices.Contains(v.users, folder) {
				l.fault(spec.Pos(), "only %s may import %s", strings.Join(v.users, ", "), v.prefix)
			}
		}
		ours, ok := strings.CutPrefix(imported, module+"/")
		if !ok || ours == folder || rule.everything || slices.Contains(rule.may, ours) || isTest && slices.Contains(rule.tests, ours) {
			continue
		}
		l.fault(spec.Pos(), "package %s may not import %s (.ci/lint/imports.txt)", folder, ours)
	}
}

// within tells whether an import path is a module's or below it, in any major
// version.
func within(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}
