package codec

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
)

// codecRates are the sample rates that both codecs know, in Hz, from AAC's table
// (ISO/IEC 14496-3, samplingFrequencyIndex); above 48 kHz nothing is heard.
var codecRates = []int{8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}

// vorbisMostKbps is the highest bitrate of a channel for which libvorbis has a
// tuning, by sample rate (the last entries of the rate_mapping tables of its
// modes).
var vorbisMostKbps = map[int]int{
	8000: 42, 11025: 50, 12000: 50, 16000: 100, 22050: 90, 24000: 90, 32000: 190, 44100: 240, 48000: 240,
}

// aacFrame is how many samples of each channel an AAC frame holds, and
// aacFrameBits the most that it may take for a channel (ISO/IEC 14496-3,
// 4.5.3.2).
const (
	aacFrame     = 1024
	aacFrameBits = 6144
)

func (r Rung) container() string {
	if r.Codec == AAC {
		return "m4a"
	}
	return "ogg"
}

// mostKbps is the highest nominal bitrate that a codec takes.
func (c Codec) mostKbps(rate, channels int) int {
	if c == AAC {
		return aacFrameBits * rate / aacFrame * channels / 1000
	}
	return vorbisMostKbps[rate] * channels
}

// allowedRungs brings every rung to what its codec can give, once each.
func allowedRungs(asked []Rung, rate, channels int) ([]Rung, error) {
	var out []Rung
	for _, r := range asked {
		if r.Codec != Vorbis && r.Codec != AAC {
			return nil, fmt.Errorf("codec: preview ladder: no codec %q (has %s, %s)", r.Codec, Vorbis, AAC)
		}
		if r.Kbps < 48 {
			return nil, fmt.Errorf("codec: preview ladder: %s at %d kbit/s (48 is the least)", r.Codec, r.Kbps)
		}
		r.Kbps = min(r.Kbps, r.Codec.mostKbps(rate, channels))
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// encodeArguments has ffmpeg read float samples from standard input and write to
// descriptor 3, which can seek. bitexact leaves out the random serial number of
// an Ogg stream, dates and the versions of libraries.
func encodeArguments(rate, channels int, r Rung) []string {
	layout := []string{"mono", "stereo"}[channels-1]
	args := []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning", "-y",
		"-protocol_whitelist", "fd,pipe",
		"-f", "f32le", "-ar", strconv.Itoa(rate), "-ch_layout", layout, "-i", "pipe:0",
		"-map_metadata", "-1", "-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact",
		"-b:a", strconv.Itoa(r.Kbps) + "k",
	}
	if r.Codec == AAC {
		// The default search for step sizes takes four times as long, and
		// listeners wait for the preview.
		args = append(args, "-c:a", "aac", "-aac_coder", "fast", "-f", "ipod")
	} else {
		args = append(args, "-c:a", "libvorbis", "-f", "ogg")
	}
	return append(args, "-fd", "3", "fd:")
}

// encodeLimits grants a hundred times the processor time that was seen, and a
// file as long as the samples that it is made of.
func encodeLimits(sound []byte) limits {
	return limits{
		CPU:         time.Minute + time.Duration(len(sound)/1_000_000)*time.Second,
		MemoryBytes: 3 << 30,
		FileBytes:   uint64(len(sound)) + 1<<20,
		OpenFiles:   64,
	}
}

// runEncoder has a confined ffmpeg encode sound (interleaved float32, little
// endian) into the file at path.
func runEncoder(ctx context.Context, ffmpeg string, sound []byte, rate, channels int, r Rung, path string) error {
	doing := fmt.Sprintf("codec: encoding %s at %d kbit/s", r.Codec, r.Kbps)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	log := newMessages()
	cmd := confined(ctx, ffmpeg, encodeLimits(sound), encodeArguments(rate, channels, r), file)
	cmd.Stdin = bytes.NewReader(sound)
	cmd.Stderr = log
	err = cmd.Run()
	if closing := file.Close(); err == nil && closing != nil {
		err = closing
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%s: ffmpeg (%s): %w: %s", doing, ffmpeg, err, log.said())
	}
	return nil
}

// forEachChunk reads src to its end and returns the number of samples.
func forEachChunk(ctx context.Context, src source, chunk []float32, take func([]float32)) (int64, error) {
	var total int64
	for {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		n, err := src.next(ctx, chunk)
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		take(chunk[:n])
		total += int64(n)
	}
}

func floatBytes(samples []float32) []byte {
	out := make([]byte, 4*len(samples))
	for i, s := range samples {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(s))
	}
	return out
}
