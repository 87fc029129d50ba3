package enrich

import (
	"math"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
)

func TestTheDeclaredLanguageIsWeighedAgainstWhatIsHeard(t *testing.T) {
	heard := func(code string, confidence episode.Score, rest ...episode.LanguageCandidate) episode.Language {
		best := []episode.LanguageCandidate{}
		if code != episode.Undetermined {
			best = append(best, episode.LanguageCandidate{Code: code, Confidence: confidence})
		}
		return episode.Language{Code: code, Confidence: confidence, Candidates: append(best, rest...)}
	}
	candidate := func(code string, confidence episode.Score) episode.LanguageCandidate {
		return episode.LanguageCandidate{Code: code, Confidence: confidence}
	}
	for name, c := range map[string]struct {
		heard      episode.Language
		declared   string
		code       string
		confidence episode.Score
	}{
		"nothing is declared":            {heard("de", .9, candidate("en", .05)), "", "de", .9},
		"both say the same":              {heard("de", .9, candidate("en", .05)), "de", "de", .9},
		"a short clip, heard amiss":      {heard("de", .912, candidate("en", .044)), "en", "en", 40 * .044 / (40*.044 + .956)},
		"another language, beyond doubt": {heard("de", .98, candidate("en", .005)), "en", "de", .98},
		"never thought of":               {heard("de", .9, candidate("nl", .05)), "en", "de", .9},
		"left open, and possible":        {heard(episode.Undetermined, .6, candidate("en", .2)), "en", "en", .2},
		"left open, and hardly possible": {heard(episode.Undetermined, .9, candidate("en", .05)), "en", episode.Undetermined, .9},
	} {
		got := settled(c.heard, c.declared)
		if got.Code != c.code || math.Abs(float64(got.Confidence-c.confidence)) > 1e-9 {
			t.Errorf("%s: %s %.4f, want %s %.4f", name, got.Code, got.Confidence, c.code, c.confidence)
		}
	}
}
