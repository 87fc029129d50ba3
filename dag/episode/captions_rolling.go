package episode

import (
	"slices"
	"strings"
)

// unroll drops from each cue the words that the one before it has shown already.
// Live and automatic captions roll up: each cue repeats the last lines of the
// one before, or grows by words. Cues are in order; of a document that does not
// roll, in which people merely repeat themselves, nothing is dropped.
func unroll(cues []cue) []cue {
	const (
		least = 3 // pairs that tell a habit from chance
		apart = 1 // second, beyond which a cue is none that rolls on
	)
	words := make([][]string, len(cues))
	for i, c := range cues {
		words[i] = strings.Fields(c.text)
	}
	shared := make([]int, len(cues)) // words, with the cue before
	rolling, pairs := 0, 0
	for i := 1; i < len(cues); i++ {
		if cues[i].Start > cues[i-1].End+apart {
			continue
		}
		shared[i] = carried(words[i-1], words[i])
		if shared[i] == len(words[i]) {
			continue // a refrain does not roll; what does goes on
		}
		pairs++
		if shared[i] > 0 {
			rolling++
		}
	}
	if rolling < least || rolling*3 < pairs {
		return cues
	}
	var out []cue
	for i, c := range cues {
		if shared[i] == len(words[i]) {
			continue
		}
		c.text = strings.Join(words[i][shared[i]:], " ")
		out = append(out, c)
	}
	return out
}

// carried is how many words a cue has from the end of the one before. The
// longest run counts, so that a growing cue carries all of the one before.
func carried(before, cue []string) int {
	const longest = 64 // words, which more than fill a screen
	for n := min(len(before), len(cue), longest); n > 0; n-- {
		if slices.Equal(before[len(before)-n:], cue[:n]) {
			return n
		}
	}
	return 0
}
