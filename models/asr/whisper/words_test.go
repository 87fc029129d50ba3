package whisper

import (
	"slices"
	"testing"
)

// A mark that belongs to the word before it leaves its segment without words;
// that makes no interpolation of the rest.
func TestWordsByAttentionStay(t *testing.T) {
	o := open(t, "tiny-whisper")
	text, err := encodePrompt(o.model, "so it is.")
	if err != nil {
		t.Fatal(err)
	}
	segments := []segment{
		{start: 1, end: 2, tokens: text[:len(text)-1], text: " so it is", words: []timedWord{{text: " so", start: 1.5, end: 1.7}}},
		{start: 2, end: 3, tokens: text[len(text)-1:], text: "."},
	}
	if how := timeWords(o.runner.words, "en", segments); how != timesAttention || len(segments[0].words) != 1 || segments[1].words != nil {
		t.Errorf("%s: %+v", how, segments)
	}
	for i := range segments {
		segments[i].words = nil
	}
	if how := timeWords(o.runner.words, "en", segments); how != timesInterpolated || len(segments[0].words) != 3 || len(segments[1].words) != 1 {
		t.Errorf("%s: %+v", how, segments)
	}
	if how := timeWords(o.runner.words, "en", nil); how != "" {
		t.Errorf("no segments: %s", how)
	}
}

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
