package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// revision grows when this package's own output changes.
const revision = "2"

// NoFFmpeg, as the path of ffmpeg, does without one.
const NoFFmpeg = "none"

// DefaultMaxDuration is how long an episode may be.
const DefaultMaxDuration = 24 * time.Hour

// shortest is what must be there for anything to be heard.
const shortest = 100 * time.Millisecond

// Options say what a Decoder works with.
type Options struct {
	// FFmpeg is its path. Empty: FindFFmpeg looks for it. NoFFmpeg: only WAV,
	// FLAC and MP3 can be decoded.
	FFmpeg string
	// MaxDuration refuses longer audio; zero means DefaultMaxDuration.
	MaxDuration time.Duration
}

// Decoder decodes enclosures. It is safe for concurrent use, and holds nothing
// that would have to be closed.
type Decoder struct {
	ffmpeg      string
	build       string
	maxDuration time.Duration
}

// NewDecoder makes a decoder. It fails when no ffmpeg is found and NoFFmpeg was
// not asked for, or when ffmpeg cannot be read.
func NewDecoder(o Options) (*Decoder, error) {
	d := &Decoder{ffmpeg: o.FFmpeg, maxDuration: o.MaxDuration}
	if d.maxDuration <= 0 {
		d.maxDuration = DefaultMaxDuration
	}
	if d.ffmpeg == NoFFmpeg {
		d.ffmpeg = ""
		d.build = buildOf("")
		return d, nil
	}
	if d.ffmpeg == "" {
		var err error
		if d.ffmpeg, err = FindFFmpeg(); err != nil {
			return nil, err
		}
	}
	sum, err := fileSHA256(d.ffmpeg)
	if err != nil {
		return nil, fmt.Errorf("codec: ffmpeg: %w", err)
	}
	d.build = buildOf(sum)
	return d, nil
}

// Build names everything but the file that decides what a decode gives: this
// package's revision, ffmpeg's sha256, the class of processor. It belongs in the
// keys.
func (d *Decoder) Build() string { return d.build }

// FFmpeg is the path of the ffmpeg in use; empty without one.
func (d *Decoder) FFmpeg() string { return d.ffmpeg }

// Result is what a decode found, beside the tape.
type Result struct {
	Format     Format
	SampleRate int           // of the file, Hz
	Channels   int           // of the file
	Duration   time.Duration // of what could be decoded
	Loudness   audio.Loudness
	Waveform   audio.Waveform
	Warnings   []Warning
}

// Decode decodes the file at path once: its native PCM goes through the meters,
// its 16 kHz mono to the tape, which it finishes in every case, with the error
// that it returns (nil at the end). Errors: an *audio.Rejection when the file
// can never be used, the cause of ctx when that ended, else something transient.
func (d *Decoder) Decode(ctx context.Context, path string, tape *audio.Tape) (Result, error) {
	r, err := d.decode(ctx, path, tape)
	tape.Finish(err)
	return r, err
}

func (d *Decoder) decode(ctx context.Context, path string, tape *audio.Tape) (Result, error) {
	// A child that is started under this context is gone when Decode returns.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, format, err := d.open(ctx, path)
	r := Result{Format: format}
	if err != nil {
		return r, err
	}
	defer src.close()
	r.SampleRate, r.Channels = src.shape()
	if err := checkShape(r.SampleRate, r.Channels); err != nil {
		return r, err
	}
	frames, err := d.pump(ctx, src, tape, &r)
	if err != nil {
		return r, err
	}
	r.Duration = frameTime(frames, r.SampleRate)
	r.Warnings = src.warnings()
	if r.Duration < shortest {
		return r, &audio.Rejection{Code: NothingToHear, Detail: fmt.Sprintf("only %d ms of sound could be decoded", r.Duration.Milliseconds())}
	}
	return r, nil
}

// PCM is sound at its own rate and channels.
type PCM struct {
	Rate     int // Hz
	Channels int
	Samples  []float32 // interleaved, [frames, channels], [-1, 1]
}

// Duration of the sound.
func (p PCM) Duration() time.Duration {
	if p.Channels == 0 {
		return 0
	}
	return frameTime(int64(len(p.Samples)/p.Channels), p.Rate)
}

// maxCut bounds the memory of one Cut: 256 MiB.
const maxCut = 64 << 20

// Cut gives the sound of [start, end) at native rate and channels, on the tape's
// timeline, to the sample: the file is decoded from its beginning again, since
// seeking is not exact in most formats. A span that reaches beyond the end gives
// what there is; one that holds nothing is an error. Other errors as Decode's.
func (d *Decoder) Cut(ctx context.Context, path string, start, end time.Duration) (PCM, error) {
	if start < 0 || end <= start {
		return PCM{}, fmt.Errorf("codec: cutting [%v, %v): no such span", start, end)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, _, err := d.open(ctx, path)
	if err != nil {
		return PCM{}, err
	}
	defer src.close()
	rate, channels := src.shape()
	if err := checkShape(rate, channels); err != nil {
		return PCM{}, err
	}
	from, to := timeFrame(start, rate)*int64(channels), timeFrame(end, rate)*int64(channels)
	if to-from > maxCut {
		return PCM{}, fmt.Errorf("codec: cutting [%v, %v): too long to hold in memory (%d samples, %d allowed)", start, end, to-from, maxCut)
	}
	out := PCM{Rate: rate, Channels: channels, Samples: make([]float32, 0, to-from)}
	chunk := make([]float32, chunkFrames*channels)
	for at := int64(0); at < to; {
		if err := context.Cause(ctx); err != nil {
			return PCM{}, err
		}
		n, err := src.next(ctx, chunk)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return PCM{}, err
		}
		a, b := max(0, from-at), min(int64(n), to-at)
		if a < b {
			out.Samples = append(out.Samples, chunk[a:b]...)
		}
		at += int64(n)
	}
	if len(out.Samples) == 0 {
		return PCM{}, fmt.Errorf("codec: cutting [%v, %v): the audio ends before", start, end)
	}
	return out, nil
}

func frameTime(frames int64, rate int) time.Duration {
	whole, rest := frames/int64(rate), frames%int64(rate)
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(rate)
}

// timeFrame is the frame nearest to t.
func timeFrame(t time.Duration, rate int) int64 {
	whole, rest := int64(t/time.Second), int64(t%time.Second)
	return whole*int64(rate) + (rest*int64(rate)+int64(time.Second)/2)/int64(time.Second)
}
