package silero

import (
	"fmt"
	"sync"
	"testing"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/models/modelstest"
)

// BenchmarkTapes is our side of .ci/bench/streams.py: how many times faster than
// real time so many tapes of a minute are heard, side by side, on one core.
func BenchmarkTapes(b *testing.B) {
	clip := modelstest.PCM16(b, "testdata/clip.pcm16")
	var minute []float32
	for len(minute) < 60*audio.TapeRate {
		minute = append(minute, clip...)
	}
	minute = minute[:60*audio.TapeRate]
	for folder := range exports {
		m := load(b, folder)
		alone := open(b, m)
		for _, tapes := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", folder, tapes), func(b *testing.B) {
				tape := modelstest.Tape(b, minute)
				began := modelstest.ProcessorSeconds(b)
				for b.Loop() {
					d := detector(b, m, &together{Queue: alone, want: tapes})
					var wg sync.WaitGroup
					for range tapes {
						wg.Go(func() {
							if _, _, err := d.Detect(b.Context(), tape); err != nil {
								b.Error(err)
							}
						})
					}
					wg.Wait()
				}
				b.ReportMetric(float64(60*tapes*b.N)/(modelstest.ProcessorSeconds(b)-began), "realtime")
			})
		}
	}
}
