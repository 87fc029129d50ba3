package main

import (
	"bytes"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// What a configuration is accepted as is what it prints.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("worker: {slots: 2, grace: 1m}\nfetch: {allow_private: [10.0.0.0/8]}\n"))
	f.Add([]byte("graph: {nodes: {fetch: {}, decode: {}}}\nstorage: {origin: gs://bucket}\n"))
	f.Add([]byte("a: &a {b: *a}\nworker: *a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "config: ") {
				t.Error(err)
			}
			return
		}
		c.Graph = yaml.Node{} // anybody's, until the graph's own reader has it
		var out bytes.Buffer
		if err := c.print(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := parseConfig(out.Bytes()); err != nil {
			t.Errorf("printed, it is refused: %v\n%s", err, out.String())
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(`{"id":"e","revision":1,"enclosure":{"url":"https://example.org/a.mp3"},"soundbites":[{"start":1,"end":2}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := readEvents(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, ev := range events {
			if err := ev.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}
