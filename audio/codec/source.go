package codec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hajimehoshi/go-mp3"
)

// source is a decode under way, at the file's own rate and channels.
type source interface {
	shape() (rate, channels int)
	// next fills dst with whole frames of interleaved samples and returns how
	// many samples there were. It returns io.EOF, alone, at the end.
	next(ctx context.Context, dst []float32) (int, error)
	// warnings may be asked for after the end.
	warnings() []Warning
	close()
}

// open starts the decode of a file. The same file always gives the same frames:
// Decode and Cut share this timeline.
func (d *Decoder) open(ctx context.Context, path string) (source, Format, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("codec: opening the audio: %w", err)
	}
	format, start, err := Sniff(file)
	if err != nil {
		file.Close()
		return nil, "", err
	}
	s, err := d.openAs(ctx, file, path, format, start)
	if err != nil {
		file.Close()
		return nil, format, err
	}
	return s, format, nil
}

func (d *Decoder) openAs(ctx context.Context, file *os.File, path string, format Format, start int64) (source, error) {
	switch format {
	case WAV, FLAC:
		if _, err := file.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("codec: opening the audio: %w", err)
		}
		if format == FLAC {
			s, err := openFLAC(file)
			if err == nil || d.ffmpeg == "" {
				return s, err
			}
			break
		}
		s, err := openWAV(file)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errWAVElsewhere) {
			return nil, err
		}
	}
	if d.ffmpeg != "" {
		s, err := openFFmpeg(ctx, d.ffmpeg, path, format, 0)
		if err != nil {
			return nil, err
		}
		file.Close()
		return s, nil
	}
	if format == MP3 {
		if _, err := file.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("codec: opening the audio: %w", err)
		}
		return openMP3(file)
	}
	return nil, fmt.Errorf("codec: %s needs ffmpeg, which is not here: run `make setup`, or name one in EARSHOT_FFMPEG", format)
}

// wavSource reads WAVE files.
type wavSource struct {
	file  *os.File
	in    *bufio.Reader
	enc   wavEncoding
	left  int64 // bytes the header promises
	bytes []byte
	cut   bool
	wild  int64 // samples that are no level of sound
}

func openWAV(file *os.File) (source, error) {
	s := &wavSource{file: file, in: bufio.NewReaderSize(file, 4096)}
	var err error
	if s.enc, s.left, err = readWAVHeader(s.in); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *wavSource) shape() (rate, channels int) { return s.enc.rate, s.enc.channels }

func (s *wavSource) next(_ context.Context, dst []float32) (int, error) {
	frame := int64(s.enc.bytes * s.enc.channels)
	want := min(int64(len(dst)/s.enc.channels), s.left/frame) * frame
	if want == 0 {
		return 0, io.EOF
	}
	if int64(cap(s.bytes)) < want {
		s.bytes = make([]byte, want)
	}
	n, err := io.ReadFull(s.in, s.bytes[:want])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, fmt.Errorf("codec: reading wav: %w", err)
	}
	const unknown = 1 << 60
	s.cut = err != nil && s.left < unknown
	s.left -= want
	if err != nil {
		s.left = 0
	}
	samples := n / int(frame) * s.enc.channels
	if samples == 0 {
		return 0, io.EOF
	}
	s.wild += int64(s.enc.decode(dst[:samples], s.bytes))
	return samples, nil
}

func (s *wavSource) warnings() []Warning {
	out := wildWarnings(s.wild)
	if s.cut {
		out = append(out, Warning{Code: Truncated, Detail: "the file ends before the length that its header states"})
	}
	return out
}

func (s *wavSource) close() { s.file.Close() }

// mp3Source reads MP3 where there is no ffmpeg, by go-mp3: about ten times
// slower, and with the encoder's delay left in, which is why the keys name it.
type mp3Source struct {
	file  *os.File
	dec   *mp3.Decoder
	bytes []byte
	bad   bool
	heard bool
}

func openMP3(file *os.File) (source, error) {
	dec, err := newMP3(file)
	if err != nil {
		return nil, rejectUndecodable("mp3", err)
	}
	return &mp3Source{file: file, dec: dec}, nil
}

// newMP3 begins where file stands, behind its tags: go-mp3 rewinds what can
// seek, and holds in memory the tag that it finds, whatever size that claims.
func newMP3(file *os.File) (dec *mp3.Decoder, err error) {
	defer recovered(&err)
	return mp3.NewDecoder(bufio.NewReaderSize(file, 1<<16))
}

// read is the decoder's Read without its panics.
func (s *mp3Source) read(b []byte) (n int, err error) {
	defer recovered(&err)
	return io.ReadFull(s.dec, b)
}

// go-mp3 always gives stereo.
func (s *mp3Source) shape() (rate, channels int) { return s.dec.SampleRate(), 2 }

func (s *mp3Source) next(_ context.Context, dst []float32) (int, error) {
	if s.bad {
		return 0, io.EOF
	}
	want := len(dst) / 2 * 4
	if cap(s.bytes) < want {
		s.bytes = make([]byte, want)
	}
	n, err := s.read(s.bytes[:want])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		if !s.heard && n < 4 {
			return 0, rejectUndecodable("mp3", err)
		}
		s.bad = true
	}
	samples := n / 4 * 2
	if samples == 0 {
		return 0, io.EOF
	}
	s.heard = true
	wavEncoding{bytes: 2}.decode(dst[:samples], s.bytes)
	return samples, nil
}

func (s *mp3Source) warnings() []Warning {
	if s.bad {
		return []Warning{{Code: "mp3-" + DamagedFrames, Detail: "what follows a damaged frame could not be decoded without ffmpeg"}}
	}
	return nil
}

func (s *mp3Source) close() { s.file.Close() }
