package transducer

import (
	"fmt"
	"os"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// BenchmarkTransducer runs pieces of 5 s through a transducer, for
// .ci/bench/recognisers.py: EARSHOT_BENCH_TRANSDUCER is a model's folder, or the parity
// model runs.
func BenchmarkTransducer(b *testing.B) {
	folder := os.Getenv("EARSHOT_BENCH_TRANSDUCER")
	if folder == "" {
		folder = "../../parity/tiny-tdt"
	}
	m := modelstest.Folder(b, folder)
	q := modelstest.Direct(b, m, NewRunner)
	speech := modelstest.PCM16(b, "../testdata/heldout.pcm16")
	const seconds = 5
	for _, n := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("batch-%d", n), func(b *testing.B) {
			batch := make([]asr.Piece, n)
			for i := range batch {
				from := i * audio.TapeRate
				batch[i] = asr.Piece{Samples: speech[from : from+seconds*audio.TapeRate]}
			}
			b.ResetTimer()
			began := modelstest.ProcessorSeconds(b)
			for range b.N {
				if _, err := q.Runner.Run(b.Context(), q.Sessions, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n*seconds)/(modelstest.ProcessorSeconds(b)-began), "realtime")
		})
	}
}
