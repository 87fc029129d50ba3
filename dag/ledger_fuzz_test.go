package dag

import (
	"encoding/json"
	"strings"
	"testing"
)

// A page of the ledger that cannot be read is as good as none, and one that lies
// changes no result.
func FuzzLedger(f *testing.F) {
	b := newBench(nil)
	g, err := New([]string{"in"}, b.node("a", "1", "in"), b.node("b", "1", "a"))
	if err != nil {
		f.Fatal(err)
	}
	clean, err := b.engine().Run(f.Context(), g, b.request())
	if err != nil {
		f.Fatal(err)
	}
	page := b.store.pages["s"]
	f.Add(page)
	f.Add(page[:len(page)/2])
	f.Add([]byte(strings.ReplaceAll(string(page), clean.Decision("a").Hash, "../../etc")))
	f.Add([]byte(`{"known":null,"made":["",null],"report":{"visits":[null],"decisions":[{}]}}`))
	f.Fuzz(func(t *testing.T, page []byte) {
		b := newBench(t)
		b.store.pages["s"] = page
		report := b.run(g)
		for _, node := range []string{"a", "b"} {
			if report.Decision(node).Hash != clean.Decision(node).Hash {
				t.Errorf("%s: %s", node, describe(report))
			}
		}
		if _, found, err := b.engine().Last(t.Context(), "s"); err != nil || !found {
			t.Errorf("the run that was recorded: %v, %v", found, err)
		}
		if !json.Valid(b.store.pages["s"]) {
			t.Errorf("recorded: %q", b.store.pages["s"])
		}
	})
}
