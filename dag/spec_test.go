package dag

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the messages to testdata/spec/*.txt")

type topicParameters struct {
	AtMost int `yaml:"at_most"`
	Smooth struct {
		Window time.Duration `yaml:"window"`
		Shape  string        `yaml:"shape"`
	} `yaml:"smooth"`
}

var vocabulary = Vocabulary{
	Nodes: map[string]Word{
		"transcript": {Requires: []string{"audio"}, Task: "transcript"},
		"topics": {Requires: []string{"transcript"}, Accepts: []string{"text"}, Task: "topics", Parameters: func() any {
			return &topicParameters{AtMost: 5}
		}},
		"chapters": {Accepts: []string{"transcript", "ads"}},
		"ads":      {Accepts: []string{"transcript", "chapters"}},
		"record":   {Accepts: []string{"text", "topics", "transcript"}},
	},
	Inputs: []string{"audio", "text"},
	Models: map[string][]string{"transcript": {"earshot-en"}, "topics": {"topics-v1", "topics-v2"}},
}

// Each way to get a graph wrong is a file in testdata/spec, with its message
// beside it.
func TestSpecSaysWhatIsWrong(t *testing.T) {
	files, err := filepath.Glob("testdata/spec/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(filepath.Base(name), func(t *testing.T) {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseSpec(doc, vocabulary)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(name+".txt", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			message, err := os.ReadFile(name + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "message", got, string(message))
		})
	}
}

func TestSpec(t *testing.T) {
	spec, err := ParseSpec([]byte(`
nodes:
  record:
  topics:
    model: topics-v2
    parameters: {smooth: {window: 90s}}
    needs: [text, transcript]
  transcript: &t
    model: earshot-en
  ads: {enabled: false}
`), vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, n := range spec.Nodes {
		got.WriteString(n.Name + " " + n.Model + " [" + strings.Join(n.Needs, " ") + "]")
		if !n.Enabled {
			got.WriteString(" off")
		}
		got.WriteString("\n")
	}
	equal(t, "nodes, each after its needs", got.String(), `transcript earshot-en [audio]
topics topics-v2 [transcript text]
record  [text topics transcript]
ads  [transcript] off
`)
	p := spec.Nodes[1].Parameters.(*topicParameters)
	if p.AtMost != 5 || p.Smooth.Window != 90*time.Second {
		t.Errorf("got %+v", p)
	}
}

// Whatever the document, it is decoded or faulted, and what is decoded is a
// graph.
func FuzzParseSpec(f *testing.F) {
	files, err := filepath.Glob("testdata/spec/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte("nodes: {transcript: &a {model: earshot-en}, record: *a, topics: {needs: *a}}"))
	f.Add([]byte("nodes: &n {ads: *n}"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		spec, err := ParseSpec(doc, vocabulary)
		if err != nil {
			return
		}
		before := map[string]bool{"audio": true, "text": true}
		for _, n := range spec.Nodes {
			for _, need := range n.Needs {
				if !before[need] {
					t.Fatalf("%s comes before %s, which it needs", n.Name, need)
				}
			}
			before[n.Name] = true
		}
	})
}
