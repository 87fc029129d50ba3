package asr

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestConfidenceGrowsWithTheEvidence(t *testing.T) {
	trust := Trust{Bias: 1, Phones: 3, Grammar: .2, Length: .5, Company: 1, Likeness: 2}
	rapid.Check(t, func(t *rapid.T) {
		weak := Evidence{
			Phones:   rapid.Float64Range(-20, 0).Draw(t, "phones"),
			Grammar:  rapid.Float64Range(-20, 0).Draw(t, "grammar"),
			Length:   rapid.Float64Range(0, 3).Draw(t, "length"),
			Company:  rapid.Float64Range(-20, 0).Draw(t, "company"),
			Likeness: rapid.Float64Range(-3, 0).Draw(t, "likeness"),
		}
		strong := weak
		strong.Phones /= 2
		strong.Grammar /= 2
		low, high := trust.confidence(weak), trust.confidence(strong)
		if !(low > 0 && low <= high && high < 1) {
			t.Fatalf("confidence %v, with more evidence %v", low, high)
		}
	})
}

func TestATrustReplacesTheGeometricMean(t *testing.T) {
	m := *builtIn(t)
	params := map[string]any{}
	for k, v := range m.Manifest.Params {
		params[k] = v
	}
	m.Manifest.Params = params
	d := open(t, &m)
	tape, speech, _ := heldOut(t)
	out, err := d.Runner.Run(t.Context(), d.Sessions, []Piece{{Samples: tape[samplesAt(speech[0].Start):samplesAt(speech[0].End)]}})
	if err != nil {
		t.Fatal(err)
	}
	confidences := func(trust any) []float64 {
		delete(params, "confidence")
		if trust != nil {
			params["confidence"] = trust
		}
		r, err := New(&m, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all []float64
		for _, w := range r.Words(0, out[0]) {
			all = append(all, float64(w.Confidence))
		}
		return all
	}
	plain := confidences(nil)
	for i, p := range confidences(map[string]any{"bias": math.Log(3)}) {
		if math.Abs(p-.75) > 1e-6 {
			t.Errorf("word %d has confidence %v, want 0.75; its phones' mean is %v", i, p, plain[i])
		}
	}
	params["confidence"] = map[string]any{"bias": math.Inf(1)}
	if _, err := New(&m, nil); err == nil || !strings.Contains(err.Error(), "parameters.confidence.bias") {
		t.Errorf("error %v for an infinite weight", err)
	}
	params["confidence"] = map[string]any{"colour": 1}
	if _, err := New(&m, nil); err == nil || !strings.Contains(err.Error(), "parameters.confidence.colour") {
		t.Errorf("error %v for an unknown weight", err)
	}
}
