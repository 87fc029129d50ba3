package codec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
)

// flacSource reads FLAC files.
type flacSource struct {
	file   *os.File
	stream *flac.Stream
	scale  float32
	rate   int
	chans  int

	current *frame.Frame
	at      int // samples of each channel already given
	frames  int64
	damaged error
	wild    int64 // samples that are no level of sound: of a frame deeper than the stream
}

func openFLAC(file *os.File) (source, error) {
	stream, err := newFLAC(bufio.NewReaderSize(file, 1<<16))
	if err != nil {
		return nil, rejectUndecodable("flac", err)
	}
	s := &flacSource{
		file: file, stream: stream,
		rate: int(stream.Info.SampleRate), chans: int(stream.Info.NChannels),
		scale: 1 / float32(int64(1)<<(max(1, stream.Info.BitsPerSample)-1)),
	}
	if err := checkShape(s.rate, s.chans); err != nil {
		return nil, err
	}
	return s, nil
}

// newFLAC keeps a panic of the library from ending the process.
func newFLAC(r io.Reader) (stream *flac.Stream, err error) {
	defer recovered(&err)
	return flac.New(r)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged: %v", p)
	}
}

func rejectUndecodable(format string, err error) error {
	return &audio.Rejection{Code: Undecodable, Detail: fmt.Sprintf("nothing in the file could be decoded: %s: %v", format, err)}
}

func (s *flacSource) shape() (rate, channels int) { return s.rate, s.chans }

func (s *flacSource) next(_ context.Context, dst []float32) (int, error) {
	n := 0
	for n+s.chans <= len(dst) {
		if s.current == nil || s.at == len(s.current.Subframes[0].Samples) {
			if !s.parse() {
				break
			}
		}
		sub := s.current.Subframes
		count := min((len(dst)-n)/s.chans, len(sub[0].Samples)-s.at)
		for c := range s.chans {
			for i, x := range sub[c].Samples[s.at : s.at+count] {
				level, wild := sampleLevel(math.Float32bits(float32(x) * s.scale))
				dst[n+i*s.chans+c] = level
				s.wild += int64(wild)
			}
		}
		s.at += count
		s.frames += int64(count)
		n += count * s.chans
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// parse reads the next frame and says whether there is one that fits the
// stream.
func (s *flacSource) parse() bool {
	if s.damaged != nil {
		return false
	}
	for {
		f, err := s.parseSafely()
		switch {
		case errors.Is(err, io.EOF):
			return false
		case err != nil:
			s.damaged = err
			return false
		case len(f.Subframes) != s.chans:
			s.damaged = fmt.Errorf("a frame of %d channels in a file of %d", len(f.Subframes), s.chans)
			return false
		case slices.ContainsFunc(f.Subframes, func(sub *frame.Subframe) bool { return len(sub.Samples) != len(f.Subframes[0].Samples) }):
			s.damaged = errors.New("a frame with channels of different lengths")
			return false
		case len(f.Subframes[0].Samples) == 0:
			continue
		}
		s.current, s.at = f, 0
		return true
	}
}

// parseSafely keeps a panic of the library on damaged bits from ending the
// process.
func (s *flacSource) parseSafely() (f *frame.Frame, err error) {
	defer recovered(&err)
	return s.stream.ParseNext()
}

func (s *flacSource) warnings() []Warning {
	total := s.stream.Info.NSamples
	wild := wildWarnings(s.wild)
	switch {
	case s.damaged != nil:
		return append(wild, Warning{Code: "flac-" + DamagedFrames, Detail: fmt.Sprintf("after %d of %d samples: %v", s.frames, total, s.damaged)})
	case total > 0 && uint64(s.frames) < total:
		return append(wild, Warning{Code: Truncated, Detail: fmt.Sprintf("%d of %d samples are there", s.frames, total)})
	}
	return wild
}

func (s *flacSource) close() { s.file.Close() }
