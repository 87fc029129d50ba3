package clips

import (
	"fmt"
	"slices"
	"testing"

	"github.com/earshot-fm/earshot/models/modelstest"
)

// What .ci/bench/frontends.py measures beside a loop in Python: the scene five
// times over, cut, transformed and run in batches of one size.
func BenchmarkTape(b *testing.B) {
	samples := slices.Repeat(scene(b), 5)
	for _, name := range tiny {
		for _, size := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, size), func(b *testing.B) {
				d, q := detector(b, name)
				tape := modelstest.Tape(b, samples)
				began := modelstest.ProcessorSeconds(b)
				for b.Loop() {
					var batch []Clip
					run := func() {
						if _, err := q.Runner.Run(b.Context(), q.Sessions, batch); err != nil {
							b.Fatal(err)
						}
						batch = batch[:0]
					}
					_, err := d.each(b.Context(), tape, func(s []float32, own int) bool {
						if batch = append(batch, d.item(s, own)); len(batch) == size {
							run()
						}
						return true
					})
					if err != nil {
						b.Fatal(err)
					}
					if len(batch) > 0 {
						run()
					}
				}
				b.ReportMetric((modelstest.ProcessorSeconds(b)-began)*1e3/float64(b.N), "cpu-ms/op")
			})
		}
	}
}
