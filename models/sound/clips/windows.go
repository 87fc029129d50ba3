package clips

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/earshot-fm/earshot/audio"
)

// chunk is how many samples of the tape are read at once: two seconds.
const chunk = 2 * audio.TapeRate

// each reads the tape as it grows, at the model's rate, and gives the samples
// of its items in order, and how many of them are the tape's, until the tape's end or until yield returns false. It
// returns the tape's length in samples (those read so far, when yield ended
// it). Samples beyond the end are silence; so are those that are no numbers.
func (l *layout) each(ctx context.Context, tape audio.Reader, yield func(samples []float32, own int) bool) (length int64, err error) {
	resampler, err := audio.NewResampler(audio.TapeRate, l.rate)
	if err != nil {
		return 0, err
	}
	var (
		buffer  = make([]float32, chunk)
		pending []float32 // at the model's rate, from the next item's first sample on
		step    = l.patches * l.hop
		heard   bool
	)
	for ended := false; !ended; {
		n, err := tape.ReadAt(ctx, buffer, length)
		if ended = errors.Is(err, io.EOF); err != nil && !ended {
			return length, err
		}
		length += int64(n)
		for i, v := range buffer[:n] {
			if !(math.Abs(float64(v)) <= math.MaxFloat32) {
				buffer[i] = 0
			}
		}
		pending = resampler.Write(pending, buffer[:n])
		if ended {
			pending = resampler.Flush(pending)
		}
		for len(pending) >= l.samples() {
			heard = true
			if !yield(pending[:l.samples()], l.samples()) {
				return length, nil
			}
			pending = pending[:copy(pending, pending[step:])]
		}
	}
	// What is left is new only beyond the windows that the item before shares with it.
	if shared := l.window - l.hop; len(pending) > shared || len(pending) > 0 && !heard {
		rest := make([]float32, l.samples())
		copy(rest, pending)
		yield(rest, min(len(pending), len(rest)))
	}
	return length, nil
}
