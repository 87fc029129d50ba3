package ads

import "math"

// chain is a linear chain of two states, talk (0) and advertisement (1), after
// Lafferty, McCallum and Pereira, "Conditional random fields", 2001: the log
// potentials, against talk or no change, of a first segment that is
// advertisement, of one that begins after talk, and of talk after one.
type chain struct{ first, begin, end float64 }

// marginals gives each segment's probability to be advertisement, [0, 1], from
// all scores of the episode. A segment's Change weighs on a change of state
// from the segment before.
func (c chain) marginals(scores []Score) []float64 {
	n := len(scores)
	emission := func(i, state int) float64 { return float64(state) * float64(scores[i].Ad) }
	change := [2]float64{c.begin, c.end} // from a state to the other
	step := func(i, from, to int) float64 {
		if from == to {
			return emission(i, to)
		}
		return emission(i, to) + change[from] + float64(scores[i].Change)
	}
	forward, backward := make([][2]float64, n), make([][2]float64, n)
	for i := range n {
		for to := range 2 {
			if i == 0 {
				forward[0][to] = float64(to)*c.first + emission(0, to)
				continue
			}
			forward[i][to] = logAdd(forward[i-1][0]+step(i, 0, to), forward[i-1][1]+step(i, 1, to))
		}
	}
	for i := n - 2; i >= 0; i-- {
		for from := range 2 {
			backward[i][from] = logAdd(backward[i+1][0]+step(i+1, from, 0), backward[i+1][1]+step(i+1, from, 1))
		}
	}
	p := make([]float64, n)
	for i := range n {
		talk, ad := forward[i][0]+backward[i][0], forward[i][1]+backward[i][1]
		p[i] = math.Exp(ad - logAdd(talk, ad))
	}
	return p
}

// logAdd is log(eᵃ + eᵇ).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a + math.Log1p(math.Exp(b-a))
}
