package elastic

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/workers/index/elastic/elastictest"
)

func TestMain(m *testing.M) {
	if where := os.Getenv(childVariable); where != "" {
		os.Exit(putUntilKilled(where))
	}
	goleak.VerifyTestMain(withNodes{m})
}

// withNodes stops, after the tests, the nodes that they have started.
type withNodes struct{ m *testing.M }

func (w withNodes) Run() int {
	code := w.m.Run()
	for version, n := range running {
		if n.node == nil {
			continue
		}
		if err := n.node.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, version, err)
			code = 1
		}
	}
	return code
}

// shared is a node that the tests of this binary share.
type shared struct {
	start sync.Once
	node  *elastictest.Node
	err   error
}

var running = map[string]*shared{elastictest.V7: {}, elastictest.V8: {}}

// onNodes runs a test on a node of each version.
func onNodes(t *testing.T, test func(t *testing.T, url string)) {
	for _, version := range []string{elastictest.V7, elastictest.V8} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, node(t, version))
		})
	}
}

func node(t testing.TB, version string) string {
	t.Helper()
	n := running[version]
	// Of no test: the node outlives the first that wants it.
	n.start.Do(func() { n.node, n.err = elastictest.Start(context.Background(), version) })
	if n.err != nil {
		t.Fatal(n.err)
	}
	return n.node.URL
}

var names atomic.Int64

// fresh is options of an index that no other test has.
func fresh(t testing.TB, url string) Options {
	name := fmt.Sprintf("t%d-%s", names.Add(1), strings.ToLower(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, t.Name())))
	name = name[:min(len(name), 60)]
	return Options{URLs: []string{url}, Episodes: name + "-episodes", Segments: name + "-segments", Refresh: Now}
}

func client(t testing.TB, o Options) *Index {
	t.Helper()
	x, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// create makes an empty index.
func create(t testing.TB, url string) *Index {
	t.Helper()
	x := client(t, fresh(t, url))
	if _, err := x.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return x
}
