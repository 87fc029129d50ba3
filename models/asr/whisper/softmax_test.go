package whisper

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The sum over a vocabulary is as exact as its comment says and the same bits in
// both its forms, and what is no number is not lost.
func TestTheLogarithmOfASumOfExponentials(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, 51865)
	exact := 0.0
	for i := range logits {
		logits[i] = float32(draw.NormFloat64() * 8)
		exact += math.Exp(float64(logits[i]))
	}
	if got := logSumExp(logits); math.Abs(got-math.Log(exact)) > 1e-6 {
		t.Errorf("got %v, want %v", got, math.Log(exact))
	}
	for i := range 2000 {
		one := float32(-i) / 20
		x := slices.Repeat([]float32{one}, expLanes)
		got, want := sumExpWhole(x, 0), expLanes*math.Exp(float64(max(one, leastExp)))
		if math.Abs(got-want) > 1e-6*want {
			t.Fatalf("e^%v: got %v, want %v", one, got/expLanes, want/expLanes)
		}
	}
	for _, n := range []int{0, 8, 24, 32, 1496, 51864} {
		x := logits[:n]
		if highest(x) != highestGeneric(x) || n > 0 && sumExpWhole(x, 30) != sumExpGeneric(x, 30) {
			t.Errorf("%d logits: %v and %v, in plain Go %v and %v", n, highest(x), sumExpWhole(x, 30), highestGeneric(x), sumExpGeneric(x, 30))
		}
	}
	if got := logSumExp([]float32{never, never}); !math.IsInf(got, -1) {
		t.Errorf("nothing allowed: got %v", got)
	}
	for _, place := range []int{0, 400, len(logits) - 1} {
		kept := logits[place]
		logits[place] = float32(math.NaN())
		if token, logP := choose(logits, 0, nil); !math.IsNaN(logP) || token == place {
			t.Errorf("a NaN at %d: token %d with log-probability %v", place, token, logP)
		}
		logits[place] = kept
	}
}
