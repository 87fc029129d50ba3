package codec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

// encodeRevision grows when what an Encoder gives for the same sound changes.
const encodeRevision = "1"

// Codec names an encoding that a preview is offered in.
type Codec string

// The codecs of a ladder: Vorbis in Ogg, and AAC (low complexity) in M4A with
// the index in front.
const (
	Vorbis Codec = "vorbis"
	AAC    Codec = "aac"
)

// Rung asks for one rendition.
type Rung struct {
	Codec Codec
	Kbps  int // nominal; less is used where the codec allows no more
}

// DefaultRungs is the ladder that players are offered.
var DefaultRungs = []Rung{{Vorbis, 96}, {Vorbis, 160}, {Vorbis, 320}, {AAC, 96}, {AAC, 160}}

// LadderOptions say how a preview is to sound. The zero value asks for the
// defaults.
type LadderOptions struct {
	Rungs      []Rung        // empty: DefaultRungs
	TargetLUFS float64       // integrated loudness to reach; zero: -16
	PeakDBTP   float64       // true peak not to exceed in any rendition; zero: -1
	Fade       time.Duration // at either end, with equal power; zero: 60 ms
}

func (o LadderOptions) withDefaults() LadderOptions {
	if len(o.Rungs) == 0 {
		o.Rungs = DefaultRungs
	}
	if o.TargetLUFS == 0 {
		o.TargetLUFS = -16
	}
	if o.PeakDBTP == 0 {
		o.PeakDBTP = -1
	}
	if o.Fade == 0 {
		o.Fade = 60 * time.Millisecond
	}
	return o
}

// Rendition is one encoding of a preview. What it says was measured on what a
// decoder makes of Bytes.
type Rendition struct {
	Codec      Codec
	Container  string // "ogg" or "m4a"
	Kbps       int    // nominal, as the codec was told
	SampleRate int    // Hz
	Channels   int
	Bytes      []byte
	Duration   time.Duration
	LUFS       float64 // integrated, ITU-R BS.1770-4
	TruePeak   float64 // dBTP
}

// Encoder makes previews. It is safe for concurrent use: all calls together run
// at most as many ffmpeg processes as there are processors.
type Encoder struct {
	decoder *Decoder
	slots   chan struct{}
}

// NewEncoder makes an encoder that uses the decoder's ffmpeg, and the decoder to
// measure what it made. It fails when the decoder has no ffmpeg.
func NewEncoder(d *Decoder) (*Encoder, error) {
	if d.ffmpeg == "" {
		return nil, errors.New("codec: previews are encoded by ffmpeg, which is not here: run `make setup`, or name one in EARSHOT_FFMPEG")
	}
	return &Encoder{decoder: d, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}, nil
}

// Build names everything but the sound and the options that decides the bytes
// of a rendition. It belongs in the keys.
func (e *Encoder) Build() string { return e.decoder.Build() + " encode/" + encodeRevision }

// Ladder makes the renditions of a preview, in the order of the rungs, all from
// the same mastered sound: faded at both ends, brought to the target loudness,
// its peaks limited. Sound that is nearly silent is not lifted by more than
// maxGain. More than two channels are folded to stereo; a rate that AAC has no
// number for goes to the next that it has. A rung that the codec cannot give for
// the rate and channels gets the most that it can; rungs that thereby become the
// same are given once.
//
// Errors: the cause of ctx when that ended; sound with no frames or an
// impossible shape; ffmpeg failing. The same sound and options give the same
// bytes.
func (e *Encoder) Ladder(ctx context.Context, pcm PCM, o LadderOptions) ([]Rendition, error) {
	o = o.withDefaults()
	m, err := newMaster(pcm, o)
	if err != nil {
		return nil, err
	}
	rungs, err := allowedRungs(o.Rungs, m.rate, m.channels)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "earshot-preview-")
	if err != nil {
		return nil, fmt.Errorf("codec: a folder for the preview: %w", err)
	}
	defer os.RemoveAll(folder)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first := sync.OnceValue(func() []byte { return floatBytes(m.render(m.firstTake())) })
	renditions := make([]Rendition, len(rungs))
	var wg sync.WaitGroup
	for i, r := range rungs {
		wg.Go(func() {
			path := filepath.Join(folder, fmt.Sprintf("%d.%s", i, r.container()))
			var err error
			if renditions[i], err = e.rendition(ctx, m, first, r, path); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return renditions, nil
}

// maxTakes bounds how often one rendition is encoded. Two are rarely needed: a
// lossy codec overshoots by a part of a decibel, for which the first take leaves
// room.
const maxTakes = 6

// rendition encodes one rung and measures what a decoder makes of it. Where the
// codec lifted a peak over the limit or moved the loudness, it is made again
// from a take that allows for that.
func (e *Encoder) rendition(ctx context.Context, m *master, first func() []byte, r Rung, path string) (Rendition, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return Rendition{}, context.Cause(ctx)
	}
	take, sound := m.firstTake(), first()
	var out Rendition
	for n := range maxTakes {
		var err error
		if out, err = e.encode(ctx, m, sound, r, path); err != nil {
			return Rendition{}, err
		}
		next := m.correct(take, out, n)
		if next == take {
			return out, nil
		}
		take = next
		sound = floatBytes(m.render(take))
	}
	return Rendition{}, fmt.Errorf("codec: %s at %d kbit/s peaks at %.2f dBTP after %d attempts (allowed: %.1f): leave this rung out of the ladder",
		r.Codec, r.Kbps, out.TruePeak, maxTakes, m.options.PeakDBTP)
}

// encode makes and measures one rendition.
func (e *Encoder) encode(ctx context.Context, m *master, sound []byte, r Rung, path string) (Rendition, error) {
	if err := runEncoder(ctx, e.decoder.ffmpeg, sound, m.rate, m.channels, r, path); err != nil {
		return Rendition{}, err
	}
	bytes, err := os.ReadFile(path)
	if err != nil {
		return Rendition{}, fmt.Errorf("codec: reading the rendition back: %w", err)
	}
	if r.Codec == AAC {
		if bytes, err = indexFirst(bytes); err == nil {
			err = os.WriteFile(path, bytes, 0o600)
		}
		if err != nil {
			return Rendition{}, fmt.Errorf("codec: putting the index of the M4A in front: %w", err)
		}
	}
	out := Rendition{Codec: r.Codec, Container: r.container(), Kbps: r.Kbps, Bytes: bytes}
	if err := e.measure(ctx, path, &out); err != nil {
		return Rendition{}, fmt.Errorf("codec: decoding the %s rendition to measure it: %w", r.Codec, err)
	}
	return out, nil
}

// measure decodes the file at path and notes what is heard.
func (e *Encoder) measure(ctx context.Context, path string, out *Rendition) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, _, err := e.decoder.open(ctx, path)
	if err != nil {
		return err
	}
	defer src.close()
	out.SampleRate, out.Channels = src.shape()
	if err := checkShape(out.SampleRate, out.Channels); err != nil {
		return err
	}
	meter := audio.NewMeter(out.SampleRate, out.Channels)
	chunk := make([]float32, chunkFrames*out.Channels)
	frames, err := forEachChunk(ctx, src, chunk, meter.Write)
	if err != nil {
		return err
	}
	heard := meter.Loudness()
	out.Duration = frameTime(frames/int64(out.Channels), out.SampleRate)
	out.LUFS, out.TruePeak = heard.IntegratedLUFS, heard.TruePeakDBTP
	return nil
}
