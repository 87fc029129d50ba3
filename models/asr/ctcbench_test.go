package asr

import (
	"fmt"
	"os"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// BenchmarkCTC runs pieces of 5 s through a CTC model's runner and takes the
// likeliest words, for .ci/bench/recognisers.py: EARSHOT_BENCH_CTC is a model's folder,
// or the parity model runs.
func BenchmarkCTC(b *testing.B) {
	folder := os.Getenv("EARSHOT_BENCH_CTC")
	if folder == "" {
		folder = "../parity/tiny-wav2vec2"
	}
	m := modelstest.Folder(b, folder)
	q := modelstest.Direct(b, m, NewCTCRunner)
	recognizer, err := NewCTC(m, q)
	if err != nil {
		b.Fatal(err)
	}
	speech := modelstest.PCM16(b, "testdata/heldout.pcm16")
	const seconds = 5
	for _, n := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("batch-%d", n), func(b *testing.B) {
			batch := make([]Piece, n)
			for i := range batch {
				from := i * audio.TapeRate
				batch[i] = Piece{Samples: speech[from : from+seconds*audio.TapeRate]}
			}
			b.ResetTimer()
			began := modelstest.ProcessorSeconds(b)
			for range b.N {
				out, err := q.Runner.Run(b.Context(), q.Sessions, batch)
				if err != nil {
					b.Fatal(err)
				}
				for _, p := range out {
					recognizer.Words(0, p)
				}
			}
			b.ReportMetric(float64(b.N*n*seconds)/(modelstest.ProcessorSeconds(b)-began), "realtime")
		})
	}
}
