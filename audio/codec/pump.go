package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/earshot-fm/earshot/audio"
)

// chunkFrames is how many frames travel together: a third of a second, small
// enough for the tape's readers to follow closely.
const chunkFrames = 16384

// chunksAhead is how far the decode may run ahead of the slower of its readers.
const chunksAhead = 8

// mostSamples bounds the work on one file, whatever it claims: a day of two
// channels at 96 kHz. A constant FLAC frame of a few bytes is 65,536 samples of
// eight channels, at any rate.
const mostSamples = 24 * 60 * 60 * 192_000

// chunk is shared by the readers of one decode; the last to let go frees it.
type chunk struct {
	samples []float32
	n       int
	holders atomic.Int32
}

// pump sends what src decodes through the meters and to the tape, each on its
// own goroutine, and returns the number of frames at the end.
func (d *Decoder) pump(ctx context.Context, src source, tape *audio.Tape, r *Result) (int64, error) {
	toTape, err := newTapeFeed(r.SampleRate, r.Channels, tape)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	free := make(chan *chunk, chunksAhead)
	for range chunksAhead {
		free <- &chunk{samples: make([]float32, chunkFrames*r.Channels)}
	}
	meter, waveform := audio.NewMeter(r.SampleRate, r.Channels), audio.NewWaveformMeter(r.SampleRate, r.Channels)
	readers := []func([]float32) error{
		toTape.write,
		func(x []float32) error {
			meter.Write(x)
			waveform.Write(x)
			return nil
		},
	}
	var wg sync.WaitGroup
	inputs := make([]chan *chunk, len(readers))
	for i, read := range readers {
		in := make(chan *chunk, chunksAhead)
		inputs[i] = in
		wg.Go(func() {
			for c := range in {
				if err := read(c.samples[:c.n]); err != nil {
					cancel(err)
				}
				if c.holders.Add(-1) == 0 {
					free <- c
				}
			}
		})
	}

	frames, err := func() (int64, error) {
		limit := timeFrame(d.maxDuration, r.SampleRate)
		var frames int64
		for {
			var c *chunk
			select {
			case c = <-free:
			case <-ctx.Done():
				return frames, context.Cause(ctx)
			}
			var err error
			c.n, err = src.next(ctx, c.samples)
			if errors.Is(err, io.EOF) {
				return frames, nil
			}
			if err != nil {
				return frames, err
			}
			frames += int64(c.n / r.Channels)
			if frames > limit {
				return frames, &audio.Rejection{Code: TooLong, Detail: fmt.Sprintf("the audio is longer than %v", d.maxDuration)}
			}
			if frames*int64(r.Channels) > mostSamples {
				return frames, &audio.Rejection{Code: TooCostly, Detail: fmt.Sprintf("the audio has more samples (%d channels at %d Hz) than a day of stereo at 96 kHz", r.Channels, r.SampleRate)}
			}
			c.holders.Store(int32(len(inputs)))
			for _, in := range inputs {
				in <- c
			}
		}
	}()
	for _, in := range inputs {
		close(in)
	}
	wg.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = toTape.end()
	}
	r.Loudness, r.Waveform = meter.Loudness(), waveform.Waveform()
	return frames, err
}

// tapeFeed turns native PCM into the tape's 16 kHz mono.
type tapeFeed struct {
	mix      *audio.Downmix
	resample *audio.Resampler
	tape     *audio.Tape
	mono     []float32
	out      []float32
}

func newTapeFeed(rate, channels int, tape *audio.Tape) (*tapeFeed, error) {
	resample, err := audio.NewResampler(rate, audio.TapeRate)
	if err != nil {
		return nil, &audio.Rejection{Code: Unsupported, Detail: err.Error()}
	}
	return &tapeFeed{mix: audio.NewDownmix(channels), resample: resample, tape: tape}, nil
}

func (f *tapeFeed) write(interleaved []float32) error {
	f.mono = f.mix.Append(f.mono[:0], interleaved)
	f.out = f.resample.Write(f.out[:0], f.mono)
	return f.tape.Write(f.out)
}

func (f *tapeFeed) end() error {
	return f.tape.Write(f.resample.Flush(f.out[:0]))
}
