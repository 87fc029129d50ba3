package text

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
)

// passages are texts of one to six sentences' passages, as .ci/bench/text.py
// makes them too.
func passages(b *testing.B) []string {
	b.Helper()
	file, err := os.ReadFile("../train/topic/test.txt")
	if err != nil {
		b.Fatal(err)
	}
	var lines, all []string
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && line[0] != '[' {
			lines = append(lines, line)
		}
	}
	for i := range 96 {
		var text []string
		for k := range 1 + i*5%6 {
			text = append(text, lines[(i*7+k)%len(lines)])
		}
		all = append(all, strings.Join(text, " "))
	}
	return all
}

// Texts through tokenizer, graph and pooling, for each second of the
// processor; in batches of texts of one bucket, as the scheduler's queue puts them together.
func BenchmarkMiniLM(b *testing.B) {
	m := minilm(b)
	p, err := readParams(m)
	if err != nil {
		b.Fatal(err)
	}
	reader, err := NewReader(m, p)
	if err != nil {
		b.Fatal(err)
	}
	q := modelstest.Direct[Item, []float32](b, m, NewRunner)
	all := passages(b)
	for _, size := range []int{1, 16} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			began := modelstest.ProcessorSeconds(b)
			for b.Loop() {
				buckets := map[int][]Item{}
				for _, s := range all {
					it := reader.Item(s)
					buckets[q.Runner.Bucket(it)] = append(buckets[q.Runner.Bucket(it)], it)
				}
				for _, items := range buckets {
					for batch := range slices.Chunk(items, size) {
						if _, err := q.Runner.Run(b.Context(), q.Sessions, batch); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(len(all)*b.N)/(modelstest.ProcessorSeconds(b)-began), "texts/cpu-s")
		})
	}
}
