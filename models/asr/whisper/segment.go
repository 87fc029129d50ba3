package whisper

import (
	"math"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

// segment is a stretch of text with its times in the episode, in seconds.
type segment struct {
	start, end float64
	tokens     []int // with its timestamps
	text       string
	words      []timedWord
	logP       float64 // of the window that it came from
}

// cutSegments cuts a window's tokens where two timestamps meet, and says to
// which frame of the log-mel the window is heard: to the last of those pairs,
// or, when nothing is said after the last timestamp (closed) or there is no
// pair, to its end (transcribe.py). A window without a pair is one segment.
// whole keeps the text after the last pair, which a seeking transcript leaves
// to the next window. offset: of the window, in seconds; frames: of audio.
func cutSegments(v *vocabulary, h *Heard, offset float64, frames int, whole bool) (segments []segment, heardTo int, closed bool) {
	tokens, duration := h.Tokens, seconds(frames)
	n := len(tokens)
	stamp := func(i int) bool { return i >= 0 && i < n && tokens[i] >= v.stamps }
	at := func(t int) float64 { return float64(t-v.stamps) * stampSeconds }
	closed = n >= 2 && !stamp(n-2) && stamp(n-1)
	add := func(part []int, start, end float64) {
		segments = append(segments, segment{start: offset + start, end: offset + end, tokens: part, text: v.text(part), logP: h.LogP})
	}
	var cuts []int
	for i := 1; i < n; i++ {
		if stamp(i-1) && stamp(i) {
			cuts = append(cuts, i)
		}
	}
	if len(cuts) == 0 {
		start, end := 0.0, duration
		if i := lastStamp(v, tokens); i >= 0 && tokens[i] != v.stamps {
			end = at(tokens[i])
		}
		if whole && stamp(0) {
			start = min(at(tokens[0]), end)
		}
		add(tokens, start, end)
		return segments, frames, closed
	}
	if closed {
		cuts = append(cuts, n)
	}
	last := 0
	for _, cut := range cuts {
		add(tokens[last:cut], at(tokens[last]), at(tokens[cut-1]))
		last = cut
	}
	if closed {
		return segments, frames, closed
	}
	if whole && last < n {
		add(tokens[last:], at(tokens[last]), max(at(tokens[last]), duration))
	}
	return segments, (tokens[last-1] - v.stamps) * stampFrames, closed
}

func lastStamp(v *vocabulary, tokens []int) int {
	i := len(tokens) - 1
	for i >= 0 && tokens[i] < v.stamps {
		i--
	}
	return i
}

// clearEmpty takes the text of segments that last no time, and the tokens of
// those without text.
func clearEmpty(segments []segment) {
	for i := range segments {
		s := &segments[i]
		if s.start == s.end || strings.TrimSpace(s.text) == "" {
			s.text, s.tokens, s.words = "", nil, nil
		}
	}
}

// record is the segment as the transcript has it. It is not ok without text.
func (s *segment) record() (out episode.Segment, ok bool) {
	text := strings.TrimSpace(s.text)
	if text == "" || s.end <= s.start {
		return out, false
	}
	out = episode.Segment{
		Span:       episode.Span{Start: episode.Seconds(s.start), End: episode.Seconds(s.end)},
		Text:       text,
		Confidence: episode.Score(math.Exp(min(0, s.logP))),
	}
	for _, w := range s.words {
		text := strings.TrimSpace(w.text)
		if text == "" {
			continue
		}
		out.Words = append(out.Words, episode.Word{
			Span:       episode.Span{Start: episode.Seconds(w.start), End: episode.Seconds(max(w.start, w.end))},
			Text:       text,
			Confidence: episode.Score(min(1, max(0, w.probability))),
		})
	}
	return out, true
}
