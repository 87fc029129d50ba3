package whisper

import (
	"math"
	"slices"
)

// rules choose tokens from logits as the reference's decoding.py does:
// SuppressBlank, SuppressTokens, ApplyTimestampRules, then GreedyDecoder.
type rules struct {
	*vocabulary
}

var never = float32(math.Inf(-1))

// apply forbids tokens by setting their logits to -Inf. said are the tokens
// chosen so far, after the prompt; stamped, whether the transcript has
// timestamps. logits: [vocabulary].
func (r rules) apply(logits []float32, said []int, stamped bool) {
	if len(said) == 0 {
		for _, t := range r.suppressHead {
			logits[t] = never
		}
	}
	for _, t := range r.suppress {
		logits[t] = never
	}
	if stamped {
		r.timestamps(logits, said)
	}
}

func (r rules) timestamps(logits []float32, said []int) {
	forbid := func(from, to int) {
		for i := from; i < min(to, len(logits)); i++ {
			logits[i] = never
		}
	}
	logits[r.noStamps] = never
	n := len(said)
	last := n >= 1 && said[n-1] >= r.stamps
	secondLast := n < 2 || said[n-2] >= r.stamps
	if last {
		if secondLast { // a pair is closed: text comes next, or the end
			forbid(r.stamps, len(logits))
		} else { // text has ended: the next segment's start, or the end
			forbid(0, r.eot)
		}
	}
	for i := n - 1; i >= 0; i-- {
		if said[i] < r.stamps {
			continue
		}
		// Time does not go back, and a segment is not empty, or seeking would
		// never end.
		until := said[i] + 1
		if last && !secondLast {
			until = said[i]
		}
		forbid(r.stamps, until)
		break
	}
	if n == 0 {
		forbid(0, r.stamps)
		forbid(r.stamps+r.initialStamp+1, len(logits))
	}
	// When time as a whole is likelier than any one word, it is time.
	if logSumExp(logits[r.stamps:]) > float64(highest(logits[:r.stamps])) {
		forbid(0, r.stamps)
	}
}

// choose gives the next token and its log-probability: the likeliest at
// temperature 0, else one drawn. The log-probability is NaN where a logit is.
func choose(logits []float32, temperature float64, d *draws) (token int, logP float64) {
	if temperature == 0 {
		token = max(0, slices.Index(logits, highest(logits)))
	} else {
		token = d.pick(logits, temperature)
	}
	return token, float64(logits[token]) - logSumExp(logits)
}
