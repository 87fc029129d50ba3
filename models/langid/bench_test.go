package langid

import (
	"fmt"
	"os"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// BenchmarkWindows is our side of .ci/bench/streams.py: how many times faster than
// real time windows of audio are told, so many at a time, on one core, by the
// waveform-classifier in the folder EARSHOT_BENCH_MODEL.
func BenchmarkWindows(b *testing.B) {
	folder := os.Getenv("EARSHOT_BENCH_MODEL")
	if folder == "" {
		folder = "../parity/tiny-ecapa"
	}
	m := modelstest.Folder(b, folder)
	runner, err := NewRunner(m)
	if err != nil {
		b.Fatal(err)
	}
	clip := modelstest.PCM16(b, "../vad/silero/testdata/clip.pcm16")
	size := int(runner.seconds * audio.TapeRate)
	sessions := modelstest.Open(b, m)
	for _, n := range []int{1, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			batch := make([]Window, n)
			for i := range batch {
				batch[i] = Window{clip[i*4000 : i*4000+size]}
			}
			began := modelstest.ProcessorSeconds(b)
			for b.Loop() {
				if _, err := runner.Run(b.Context(), sessions, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(runner.seconds*float64(n*b.N)/(modelstest.ProcessorSeconds(b)-began), "realtime")
		})
	}
}
