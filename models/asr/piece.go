package asr

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
)

// Piece is a stretch of speech that is recognised at once.
type Piece struct {
	Start   episode.Seconds // of its first sample, in the episode
	Samples []float32       // mono, 16 kHz, [-1, 1]
}

// Cut says how speech is cut into pieces.
type Cut struct {
	Longest episode.Seconds // a piece's length at most
	Join    episode.Seconds // pauses up to this stay within a piece
	Margin  episode.Seconds // of audio taken along before and after speech, within its pause
}

// stretch is where to read a piece, in samples.
type stretch struct{ from, to int64 }

// stretches joins neighbouring spans of speech that fit one piece, and widens
// each by the margin. speech is in order and does not overlap.
func (c Cut) stretches(speech []episode.Span) []stretch {
	var joined []episode.Span
	for _, s := range speech {
		if n := len(joined); n > 0 && s.Start-joined[n-1].End <= c.Join && s.End-joined[n-1].Start <= c.Longest-2*c.Margin {
			joined[n-1].End = s.End
		} else {
			joined = append(joined, s)
		}
	}
	out := make([]stretch, len(joined))
	for i, s := range joined {
		before, after := c.Margin, c.Margin
		if i > 0 {
			before = min(before, (s.Start-joined[i-1].End)/2)
		}
		if i+1 < len(joined) {
			after = min(after, (joined[i+1].Start-s.End)/2)
		}
		out[i] = stretch{samplesAt(max(0, s.Start-before)), samplesAt(s.End + after)}
	}
	return out
}

func samplesAt(s episode.Seconds) int64 { return int64(float64(s)*audio.TapeRate + .5) }

// Split reads the speech of a tape as pieces, in order, and gives each to
// yield until that returns false. Speech that is longer than a piece is cut
// where it is quietest. At most one piece is in memory here. speech: in order,
// without overlap; what lies beyond the tape's end is left out.
func (c Cut) Split(ctx context.Context, r audio.Reader, speech []episode.Span, yield func(Piece) bool) error {
	longest := samplesAt(c.Longest)
	for _, s := range c.stretches(speech) {
		for at := s.from; at < s.to; {
			samples := make([]float32, min(longest, s.to-at))
			n, err := r.ReadAt(ctx, samples, at)
			ended := errors.Is(err, io.EOF)
			if err != nil && !ended {
				return fmt.Errorf("asr: read speech at %.2f s: %w", float64(at)/audio.TapeRate, err)
			}
			samples = samples[:n]
			if at+int64(n) < s.to && !ended {
				samples = samples[:quietest(samples)]
			}
			if len(samples) == 0 {
				return nil
			}
			if !yield(Piece{Start: episode.Seconds(float64(at) / audio.TapeRate), Samples: samples}) {
				return nil
			}
			at += int64(len(samples))
			if ended {
				return nil
			}
		}
	}
	return nil
}

// quietest finds the middle of the 200 ms with the least energy in the second
// half of samples.
func quietest(samples []float32) int {
	const hop = audio.TapeRate / 50
	const window = 10 // hops
	hops := len(samples) / hop
	energy := make([]float64, hops)
	for i := range energy {
		for _, x := range samples[i*hop : (i+1)*hop] {
			energy[i] += float64(x) * float64(x)
		}
	}
	cut, least := len(samples), -1.0
	for i := hops / 2; i+window <= hops; i++ {
		sum := 0.0
		for _, e := range energy[i : i+window] {
			sum += e
		}
		if least < 0 || sum < least {
			cut, least = (i+window/2)*hop, sum
		}
	}
	return cut
}
