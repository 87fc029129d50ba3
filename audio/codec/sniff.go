package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/earshot-fm/earshot/audio"
)

// Format is what a file's content says it is.
type Format string

// The formats that can be decoded.
const (
	WAV      Format = "wav"
	RF64     Format = "rf64" // WAV beyond 4 GiB
	FLAC     Format = "flac"
	MP3      Format = "mp3"
	ADTS     Format = "aac" // AAC in ADTS frames
	MP4      Format = "mp4" // M4A, MP4, QuickTime
	Ogg      Format = "ogg" // Vorbis, Opus, FLAC or Speex in Ogg
	Matroska Format = "matroska"
	AIFF     Format = "aiff"
)

// The codes of rejections.
const (
	EmptyFile     = "empty-file"
	NotAudio      = "not-audio"
	NoAudioStream = "no-audio-stream"
	NothingToHear = "nothing-to-hear"
	TooLong       = "too-long"
	Unsupported   = "unsupported-audio"
	Undecodable   = "undecodable"
	TooCostly     = "too-costly"
)

// sniffBytes is how much of a file is looked at, beyond an ID3v2 tag.
const sniffBytes = 64 << 10

// Sniff says what r holds, and where its audio begins when a tag comes first
// (bytes from the start; else 0). What cannot be audio is an *audio.Rejection
// with code EmptyFile or NotAudio; other errors are r's.
func Sniff(r io.ReaderAt) (Format, int64, error) {
	head, err := readHead(r, 0)
	if err != nil {
		return "", 0, err
	}
	if len(head) == 0 {
		return "", 0, &audio.Rejection{Code: EmptyFile, Detail: "the file is empty"}
	}
	if len(bytes.TrimLeft(head, "\x00")) == 0 {
		return "", 0, &audio.Rejection{Code: NotAudio, Detail: fmt.Sprintf("the file begins with %d zero bytes", len(head))}
	}
	var start int64
	// Some files have two tags, one after the other.
	for range 4 {
		size, ok := id3Size(head)
		if !ok {
			break
		}
		start += size
		if head, err = readHead(r, start); err != nil {
			return "", 0, err
		}
	}
	if f, ok := magic(head); ok {
		return f, start, nil
	}
	if f, at, ok := findFrames(head); ok {
		return f, start + int64(at), nil
	}
	if len(head) == 0 {
		return "", 0, &audio.Rejection{Code: NotAudio, Detail: "the file is an ID3 tag and nothing else"}
	}
	return "", 0, &audio.Rejection{Code: NotAudio, Detail: "the file is not audio: it looks like " + guess(head)}
}

func readHead(r io.ReaderAt, at int64) ([]byte, error) {
	head := make([]byte, sniffBytes)
	n, err := r.ReadAt(head, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("codec: reading the start of the audio: %w", err)
	}
	return head[:n], nil
}

// id3Size is the length of the ID3v2 tag that head begins with, header and
// footer included.
func id3Size(head []byte) (int64, bool) {
	if len(head) < 10 || string(head[:3]) != "ID3" || head[3] == 0xff || head[4] == 0xff {
		return 0, false
	}
	var size int64
	for _, b := range head[6:10] {
		if b >= 0x80 {
			return 0, false
		}
		size = size<<7 | int64(b)
	}
	size += 10
	if head[5]&0x10 != 0 {
		size += 10
	}
	return size, true
}

func magic(head []byte) (Format, bool) {
	is := func(at int, s string) bool { return len(head) >= at+len(s) && string(head[at:at+len(s)]) == s }
	switch {
	case is(0, "RIFF") && is(8, "WAVE"):
		return WAV, true
	case (is(0, "RF64") || is(0, "BW64")) && is(8, "WAVE"):
		return RF64, true
	case is(0, "fLaC"):
		return FLAC, true
	case is(0, "OggS"):
		return Ogg, true
	case is(4, "ftyp"), is(4, "moov"), is(4, "mdat"), is(4, "wide"), is(4, "free"), is(4, "skip"), is(4, "pnot"):
		return MP4, true
	case is(0, "\x1a\x45\xdf\xa3"):
		return Matroska, true
	case is(0, "FORM") && (is(8, "AIFF") || is(8, "AIFC")):
		return AIFF, true
	}
	return "", false
}

// findFrames looks for frames of MPEG audio or ADTS that follow one another, so
// that a lone sync word in other data is not taken for audio.
func findFrames(head []byte) (Format, int, bool) {
	for at := 0; at+7 <= len(head); at++ {
		if head[at] != 0xff {
			continue
		}
		for _, kind := range []struct {
			format Format
			size   func([]byte) int
		}{{MP3, mpegFrameSize}, {ADTS, adtsFrameSize}} {
			size := kind.size(head[at:])
			if size == 0 {
				continue
			}
			next := at + size
			if at == 0 && next >= len(head) && next < sniffBytes {
				// One frame and no more: a very short file.
				return kind.format, at, true
			}
			if next < len(head) && kind.size(head[next:]) > 0 {
				third := next + kind.size(head[next:])
				if third >= len(head) || kind.size(head[third:]) > 0 || at == 0 {
					return kind.format, at, true
				}
			}
		}
	}
	return "", 0, false
}

var mpegBitrates = [2][3][16]int{ // kbit/s: [MPEG-1, MPEG-2][layer I, II, III]
	{
		{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	},
	{
		{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	},
}

// mpegFrameSize is the length in bytes of the MPEG audio frame whose header b
// begins with (ISO/IEC 11172-3, 2.4.2.3), or 0.
func mpegFrameSize(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	h := binary.BigEndian.Uint32(b)
	version := h >> 19 & 3
	layer := 4 - h>>17&3 // 1, 2, 3; 4 is reserved
	bitrate, rate, padding := int(h>>12&15), h>>10&3, int(h>>9&1)
	if h>>21 != 0x7ff || version == 1 || layer == 4 || bitrate == 0 || bitrate == 15 || rate == 3 {
		return 0
	}
	low := 0
	hz := [3]int{44100, 48000, 32000}[rate]
	switch version {
	case 2:
		low, hz = 1, hz/2
	case 0:
		low, hz = 1, hz/4
	}
	bps := mpegBitrates[low][layer-1][bitrate] * 1000
	switch {
	case layer == 1:
		return (12*bps/hz + padding) * 4
	case layer == 3 && low == 1:
		return 72*bps/hz + padding
	}
	return 144*bps/hz + padding
}

// adtsFrameSize is the length in bytes of the ADTS frame whose header b begins
// with (ISO/IEC 13818-7, 6.2), or 0.
func adtsFrameSize(b []byte) int {
	if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 || b[2]>>2&15 > 12 {
		return 0
	}
	size := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	if size < 7 {
		return 0
	}
	return size
}

// guess names what is not audio, for people.
func guess(head []byte) string {
	kind := http.DetectContentType(head[:min(512, len(head))])
	kind, _, _ = strings.Cut(kind, ";")
	if kind == "application/octet-stream" {
		return "unknown data"
	}
	return kind
}
