package asr

// greedy is the best class of every step, repeats joined and blanks left out
// (Graves et al. 2006, best path decoding). A token lasts from its first step
// to its last and is as sure as at its best. logp: [steps, classes].
func greedy(logp []float32, classes, blank int) []Token {
	var tokens []Token
	before := blank
	for step := range len(logp) / classes {
		row := logp[step*classes:][:classes]
		best := 0
		for c, p := range row {
			if p > row[best] {
				best = c
			}
		}
		switch p := float64(row[best]); {
		case best == blank:
		case best == before:
			t := &tokens[len(tokens)-1]
			t.End, t.LogP = step+1, max(t.LogP, p)
		default:
			tokens = append(tokens, Token{Class: best, Start: step, End: step + 1, LogP: p})
		}
		before = best
	}
	return tokens
}
