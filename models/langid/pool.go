package langid

import (
	"cmp"
	"math"
	"slices"

	"github.com/earshot-fm/earshot/dag/episode"
)

// maxCandidates is how many languages an answer names at most.
const maxCandidates = 5

// pool makes one answer of many windows'.
type pool struct {
	codes     []string // of the labels, in order
	threshold episode.Score
}

// answer weighs each window by its speech. The share of "und" is the mean of
// the windows' own; the rest is divided among the languages by their mean
// log-probability, in which a window counts the less the more of it is "und":
// music under the speech of one window takes no part in choosing the language.
func (p pool) answer(windows []LogP, places []place) episode.Language {
	sum := make([]float64, len(p.codes))
	var weights, named, und float64
	for i, w := range windows {
		unknown := 0.0
		if k := slices.Index(p.codes, Undetermined); k >= 0 {
			unknown = math.Exp(float64(w[k]))
		}
		weight := max(float64(places[i].Speech), 1e-3)
		weights += weight
		und += weight * unknown
		weight *= max(1-unknown, 1e-6)
		named += weight
		for k, v := range w {
			sum[k] += weight * float64(v)
		}
	}
	und /= weights
	var candidates []episode.LanguageCandidate
	top, total := math.Inf(-1), 0.0
	for k, code := range p.codes {
		if code != Undetermined {
			top = max(top, sum[k]/named)
		}
	}
	for k, code := range p.codes {
		if code != Undetermined {
			e := math.Exp(sum[k]/named - top)
			total += e
			candidates = append(candidates, episode.LanguageCandidate{Code: code, Confidence: episode.Score(e)})
		}
	}
	for i := range candidates {
		c := &candidates[i].Confidence
		*c = episode.Score(min(1, max(0, float64(*c)/total*(1-und))))
	}
	slices.SortFunc(candidates, func(a, b episode.LanguageCandidate) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.Code, b.Code))
	})
	candidates = candidates[:min(maxCandidates, len(candidates))]
	best := candidates[0]
	if best.Confidence < p.threshold || float64(best.Confidence) < und {
		return episode.Language{Code: Undetermined, Confidence: episode.Score(min(1, max(0, und))), Candidates: candidates}
	}
	return episode.Language{Code: best.Code, Confidence: best.Confidence, Candidates: candidates}
}
