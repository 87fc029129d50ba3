package feature

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/earshot-fm/earshot/audio"
)

// Windows cuts a tape into log-mel windows of one length that overlap, for
// models that look at a window and answer frame by frame: what they say near a
// window's edge rests on half the context, so each frame's answer is taken from
// the window in which it lies deepest.
type Windows struct {
	Front  *FrontEnd
	Frames int // in each window
	Margin int // frames at each edge of a window that its neighbour answers for; less than half of Frames
}

// Window is one piece of a tape.
type Window struct {
	First    int       // the window's first frame, on the tape
	From, To int       // the frames to keep answers for, on the tape: [From, To)
	Own      int       // frames of the window that lie before the tape's end
	LogMel   []float32 // [Frames, mels], not normalised; beyond the tape's end it is digital silence
}

// Each reads the tape as it grows and gives its windows in order, until the
// tape's end or until yield returns false. It returns the tape's length in
// samples (those read so far, when yield ended it). The kept frames of all
// windows cover every sample of the tape once. A LogMel belongs to whoever got
// it.
func (w Windows) Each(ctx context.Context, tape audio.Reader, yield func(Window) bool) (samples int64, err error) {
	c := w.Front.config
	if w.Margin < 0 || 2*w.Margin >= w.Frames {
		return 0, fmt.Errorf("feature: windows of %d frames cannot have margins of %d", w.Frames, w.Margin)
	}
	if !c.Streams() {
		return 0, fmt.Errorf("feature: frames of kind %s depend on the whole item, they cannot be cut into windows that overlap", c.Kind)
	}
	if c.SampleRate != audio.TapeRate {
		return 0, fmt.Errorf("feature: the tape has %d Hz, the front end %d: use a front end at the tape's rate", audio.TapeRate, c.SampleRate)
	}
	step := w.Frames - 2*w.Margin
	buffer := make([]float32, c.Samples(w.Frames))
	var before []float32 // the rows that this window shares with the one before
	for first := 0; ; first += step {
		known := len(before) / c.Mels
		piece := buffer[:c.Samples(w.Frames-known)]
		at := int64(first+known) * int64(c.Hop)
		n, err := tape.ReadAt(ctx, piece, at)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return samples, err
		}
		samples = at + int64(n)
		if samples == 0 {
			return 0, nil
		}
		clear(piece[n:])
		logmel := make([]float32, 0, w.Frames*c.Mels)
		logmel = w.Front.AppendFrames(append(logmel, before...), piece)
		out := Window{First: first, From: first + w.Margin, To: first + w.Margin + step, LogMel: logmel}
		if first == 0 {
			out.From = 0
		}
		all := int((samples + int64(c.Hop) - 1) / int64(c.Hop))
		out.Own = min(w.Frames, all-first)
		last := ended && all <= first+w.Frames
		if last {
			out.To = all
		}
		if !yield(out) || last {
			return samples, nil
		}
		before = logmel[step*c.Mels:]
	}
}
