package feature_test

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/earshot-fm/earshot/audio/feature"
)

// What .ci/bench/frontends.py measures beside librosa and torchaudio: thirty
// seconds of noise through every kind of front end.
func BenchmarkThirtySeconds(b *testing.B) {
	g := rand.New(rand.NewPCG(1, 2))
	samples := make([]float32, 480000)
	for i := range samples {
		samples[i] = float32(g.NormFloat64()) / 10
	}
	configs := map[string]feature.Config{"logmel-64": feature.Default()}
	for name, c := range presetsTested {
		configs[name] = c
	}
	for name, c := range configs {
		b.Run(name, func(b *testing.B) {
			f, err := feature.New(c)
			if err != nil {
				b.Fatal(err)
			}
			f.Item(samples) // as Python's side is called once before it is timed
			began := processorSeconds(b)
			for b.Loop() {
				f.Item(samples)
			}
			b.ReportMetric((processorSeconds(b)-began)*1e3/float64(b.N), "cpu-ms/op")
		})
	}
}

// processorSeconds is what this process has had of the processors: the clock
// would tell how many others use the machine.
func processorSeconds(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
