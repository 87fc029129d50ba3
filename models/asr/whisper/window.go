package whisper

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/audio/feature"
)

// window makes the item of a stretch of at most 30 s of samples by itself, as
// the reference does with a clip: padded with silence, the log-mel's range
// taken from the clip.
func window(front *feature.FrontEnd, samples []float32) Item {
	samples = samples[:min(len(samples), windowSamples)]
	return Item{
		Mel:     front.ItemByMel(samples),
		Frames:  (len(samples) + 2*hop - 1) / (2 * hop) * stampFrames,
		Content: contentOf(samples),
	}
}

// spectrum reads windows of a whole tape's log-mel, whose range is taken from
// the tape as a whole. Only windows are ever in memory: one pass over the tape
// finds the range, and each window is made when it is asked for.
type spectrum struct {
	front  *feature.FrontEnd
	tape   audio.Reader
	frames int     // of the tape
	floor  float32 // the lowest value of the normalised log-mel
}

// edge is how many frames more are made at each end of a window, so that none
// of those that are kept sees the padding.
const edge = 2

// newSpectrum waits for the tape's end and finds its loudest value.
func newSpectrum(ctx context.Context, front *feature.FrontEnd, tape audio.Reader) (*spectrum, error) {
	n, err := tape.Len(ctx)
	if err != nil {
		return nil, fmt.Errorf("whisper: read the tape: %w", err)
	}
	s := &spectrum{front: front, tape: tape, frames: int(n / hop)}
	top := float32(0)
	for at := 0; at < s.frames || at == 0; at += windowFrames {
		// A tape that is all there is read without a look at the context.
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("whisper: read the tape: %w", err)
		}
		mel, err := s.read(ctx, at)
		if err != nil {
			return nil, err
		}
		for i, x := range mel {
			if i == 0 && at == 0 || x > top {
				top = x
			}
		}
	}
	// Normalised values are (x+4)/4, and the range is 8.
	s.floor = top - 2
	return s, nil
}

// read gives the log-mel of the 30 s from a frame on, [mels, 3000], with a
// range of its own. Beyond the tape's end is silence.
func (s *spectrum) read(ctx context.Context, frame int) ([]float32, error) {
	before := min(edge, frame)
	samples := make([]float32, (before+windowFrames+edge)*hop)
	at := int64(frame-before) * hop
	if _, err := s.tape.ReadAt(ctx, samples, at); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("whisper: read the tape at %.2f s: %w", float64(at)/sampleRate, err)
	}
	wide := s.front.ItemByMel(samples)
	mels, frames := s.front.Config().Mels, before+windowFrames+edge
	mel := make([]float32, mels*windowFrames)
	for m := range mels {
		copy(mel[m*windowFrames:(m+1)*windowFrames], wide[m*frames+before:])
	}
	return mel, nil
}

// item makes the item of size frames from a frame on; what follows in the
// window is zero, as in the reference.
func (s *spectrum) item(ctx context.Context, frame, size int) (Item, error) {
	mel, err := s.read(ctx, frame)
	if err != nil {
		return Item{}, err
	}
	mels := s.front.Config().Mels
	for m := range mels {
		row := mel[m*windowFrames : (m+1)*windowFrames]
		for i := range row[:size] {
			row[i] = max(row[i], s.floor)
		}
		clear(row[size:])
	}
	samples := make([]float32, windowSamples)
	if _, err := s.tape.ReadAt(ctx, samples, int64(frame)*hop); err != nil && !errors.Is(err, io.EOF) {
		return Item{}, fmt.Errorf("whisper: read the tape at %.2f s: %w", float64(frame)*hop/sampleRate, err)
	}
	return Item{Mel: mel, Frames: size, Content: contentOf(samples)}, nil
}

// opening makes the item to tell the language by: the tape's first 30 s. Unlike
// in a window that is transcribed, what follows a shorter tape is silent audio,
// not a log-mel of zeros (transcribe.py).
func (s *spectrum) opening(ctx context.Context) (Item, error) {
	it, err := s.item(ctx, 0, windowFrames)
	it.Identify = true
	return it, err
}
