package whisper

import (
	"slices"
	"testing"
)

// Heads that attend to nothing but what lies behind the audio, or to the same
// for every token, time no word before the window or behind it.
func TestWordsLieInTheAudioWhateverIsAttended(t *testing.T) {
	const tokens, all, frames = 4, 12, 5
	behind, alike := make([]float32, tokens*all), slices.Repeat([]float32{1. / all}, tokens*all)
	for i := range tokens {
		behind[i*all+all-1] = 1
	}
	for name, heads := range map[string][][]float32{"behind": {behind}, "alike": {alike}, "both": {alike, behind}} {
		for i, at := range warp(attention(heads, tokens, all, frames), tokens, frames) {
			if at < 0 || at > frames {
				t.Errorf("%s: token %d at frame %d of %d", name, i, at, frames)
			}
		}
	}
}
