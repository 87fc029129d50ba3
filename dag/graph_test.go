package dag

import (
	"context"
	"io"
	"testing"
)

func TestNewSaysWhatIsWrong(t *testing.T) {
	f := func(context.Context, *Task) (io.Reader, error) { return nil, nil }
	for name, c := range map[string]struct {
		nodes []Node
		err   string
	}{
		"name":      {[]Node{{Func: f}}, "graph: node 0 has no name"},
		"duplicate": {[]Node{{Name: "a", Func: f}, {Name: "a", Func: f}}, `graph: two nodes are named "a"`},
		"input":     {[]Node{{Name: "in", Func: f}}, `graph: node "in" has the name of an input`},
		"function":  {[]Node{{Name: "a"}}, `graph: node "a" has no function`},
		"missing":   {[]Node{{Name: "a", Needs: On("b"), Func: f}}, `graph: node "a" needs "b", which is neither a node nor an input (has a, in)`},
		"twice":     {[]Node{{Name: "a", Needs: On("in", "in"), Func: f}}, `graph: node "a" needs "in" twice`},
		"live input": {[]Node{{Name: "a", Needs: []Need{{Name: "in", Live: true}}, Func: f}},
			`graph: node "a" needs input "in" live: only nodes publish values`},
		"live optional": {[]Node{{Name: "a", Func: f}, {Name: "b", Needs: []Need{{Name: "a", Live: true, Optional: true}}, Func: f}},
			`graph: node "b" needs "a" live and optional: a live need is always required`},
		"circle": {[]Node{{Name: "a", Needs: On("c"), Func: f}, {Name: "b", Needs: On("a"), Func: f}, {Name: "c", Needs: On("b"), Func: f}},
			"graph: nodes need each other in a circle: a → c → b → a"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New([]string{"in"}, c.nodes...)
			if err == nil {
				t.Fatal("no error")
			}
			equal(t, "error", err.Error(), c.err)
		})
	}
}
