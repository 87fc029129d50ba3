package codec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/earshot-fm/earshot/audio"
)

// wavEncoding says how the samples of a WAVE file are written.
type wavEncoding struct {
	rate, channels int
	bytes          int // for each sample, in the file
	float          bool
}

// mostChunks may come before the samples: empty ones alone could be hundreds of
// millions.
const mostChunks = 10_000

// readWAVHeader reads a RIFF WAVE stream up to its samples, and says how many
// bytes of them the header promises (math.MaxInt64 when it does not know: a
// stream's header is written before its length is known). It needs no seeking,
// so it reads ffmpeg's pipe as well; and it reads WAVE_FORMAT_EXTENSIBLE,
// unknown chunks anywhere and odd sizes.
func readWAVHeader(r *bufio.Reader) (wavEncoding, int64, error) {
	var enc wavEncoding
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return enc, 0, wavCut(err)
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return enc, 0, &audio.Rejection{Code: NotAudio, Detail: "no RIFF WAVE header"}
	}
	known := false
	for chunks := 0; ; chunks++ {
		if chunks > mostChunks {
			return enc, 0, &audio.Rejection{Code: Undecodable, Detail: fmt.Sprintf("wav: no samples among %d chunks", chunks)}
		}
		if _, err := io.ReadFull(r, head[:8]); err != nil {
			return enc, 0, wavCut(err)
		}
		id, size := string(head[:4]), int64(binary.LittleEndian.Uint32(head[4:8]))
		switch {
		case id == "data" && !known:
			return enc, 0, &audio.Rejection{Code: Undecodable, Detail: "wav: the samples come before the format"}
		case id == "data":
			if size >= math.MaxUint32-256 || size == 0 {
				size = math.MaxInt64
			}
			return enc, size, nil
		case id == "fmt ":
			var err error
			if enc, err = readWAVFormat(r, size); err != nil {
				return enc, 0, err
			}
			known = true
		default:
			if _, err := io.CopyN(io.Discard, r, size); err != nil {
				return enc, 0, wavCut(err)
			}
		}
		if size%2 == 1 {
			if _, err := r.Discard(1); err != nil {
				return enc, 0, wavCut(err)
			}
		}
	}
}

func readWAVFormat(r *bufio.Reader, size int64) (wavEncoding, error) {
	const pcm, float, extensible = 1, 3, 0xfffe
	if size < 16 || size > 4096 {
		return wavEncoding{}, &audio.Rejection{Code: Undecodable, Detail: fmt.Sprintf("wav: a format chunk of %d bytes", size)}
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return wavEncoding{}, wavCut(err)
	}
	tag := binary.LittleEndian.Uint16(b)
	enc := wavEncoding{
		channels: int(binary.LittleEndian.Uint16(b[2:])),
		rate:     int(binary.LittleEndian.Uint32(b[4:])),
	}
	align, bits := int(binary.LittleEndian.Uint16(b[12:])), int(binary.LittleEndian.Uint16(b[14:]))
	if tag == extensible && size >= 26 {
		tag = binary.LittleEndian.Uint16(b[24:])
	}
	if enc.channels > 0 && align%enc.channels == 0 {
		enc.bytes = align / enc.channels
	}
	if enc.bytes == 0 {
		enc.bytes = (bits + 7) / 8
	}
	enc.float = tag == float
	switch {
	case tag != pcm && tag != float:
		return enc, errWAVElsewhere
	case enc.float && enc.bytes != 4 && enc.bytes != 8, !enc.float && (enc.bytes < 1 || enc.bytes > 4):
		return enc, &audio.Rejection{Code: Unsupported, Detail: fmt.Sprintf("wav: samples of %d bytes", enc.bytes)}
	}
	return enc, checkShape(enc.rate, enc.channels)
}

// errWAVElsewhere says that the samples are compressed, which is ffmpeg's work.
var errWAVElsewhere = errors.New("wav: compressed samples")

func wavCut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &audio.Rejection{Code: Undecodable, Detail: "wav: the file ends within its header"}
	}
	return fmt.Errorf("codec: reading wav: %w", err)
}

// checkShape refuses what no recording of sound has.
func checkShape(rate, channels int) error {
	if rate < 1000 || rate > 1_000_000 || channels < 1 || channels > 64 {
		return &audio.Rejection{Code: Unsupported, Detail: fmt.Sprintf("%d channels at %d Hz", channels, rate)}
	}
	return nil
}

// decode turns whole samples into [-1, 1] floats: len(dst)·bytes of src. It
// returns how many were no level of sound and are silence now.
func (e wavEncoding) decode(dst []float32, src []byte) (wild int) {
	switch {
	case e.float && e.bytes == 4:
		return decodeFloat32(dst, src)
	case e.float:
		for i := range dst {
			var w int
			dst[i], w = sampleLevel(math.Float32bits(float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))))
			wild += w
		}
	case e.bytes == 1: // unsigned, alone among the widths
		for i := range dst {
			dst[i] = float32(int(src[i])-128) / (1 << 7)
		}
	case e.bytes == 2:
		for i := range dst {
			dst[i] = float32(int16(binary.LittleEndian.Uint16(src[2*i:]))) / (1 << 15)
		}
	case e.bytes == 3:
		for i := range dst {
			v := int32(uint32(src[3*i])<<8 | uint32(src[3*i+1])<<16 | uint32(src[3*i+2])<<24)
			dst[i] = float32(v) / (1 << 31)
		}
	default:
		for i := range dst {
			dst[i] = float32(int32(binary.LittleEndian.Uint32(src[4*i:]))) / (1 << 31)
		}
	}
	return wild
}

// decodeFloat32 is what all audio passes through that ffmpeg decodes: eight at a
// time, in arrays, spares the checks of each index.
func decodeFloat32(dst []float32, src []byte) (wild int) {
	for len(dst) >= 8 && len(src) >= 32 {
		d, s := (*[8]float32)(dst), (*[32]byte)(src)
		for i := range d {
			var w int
			d[i], w = sampleLevel(binary.LittleEndian.Uint32(s[4*i : 4*i+4]))
			wild += w
		}
		dst, src = dst[8:], src[32:]
	}
	for i := range dst {
		var w int
		dst[i], w = sampleLevel(binary.LittleEndian.Uint32(src[4*i:]))
		wild += w
	}
	return wild
}

// Bits of floats without their sign, which are in the order of the levels.
const (
	faintest = 0x00800000 // below it, numbers are denormal, and slow to reckon with
	loudest  = 0x41000000 // 8, or +18 dBFS: no decoder overshoots by so much
)

// sampleLevel reads a float that is a level of sound. What is none (not a number,
// infinite, out of all proportion) is silence, and counted: one NaN would
// silence every filter after it for good, and one 1e30 the whole episode by its
// loudness.
func sampleLevel(bits uint32) (x float32, wild int) {
	// One comparison for both ends: what is below the faintest wraps around.
	if size := bits &^ (1 << 31); size-faintest >= loudest-faintest {
		if size >= loudest {
			wild = 1
		}
		return 0, wild
	}
	return math.Float32frombits(bits), 0
}

// wildWarnings tell of samples that were no level of sound.
func wildWarnings(wild int64) []Warning {
	if wild == 0 {
		return nil
	}
	return []Warning{{Code: WildSamples, Detail: fmt.Sprintf("%d samples are no level of sound (not a number, infinite, or beyond +18 dBFS) and were silenced", wild)}}
}
