package codec

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/cpu"
)

// FindFFmpeg looks for ffmpeg in the order that every native part of Earshot is
// looked for: the file that EARSHOT_FFMPEG names; the folder that EARSHOT_CACHE
// names; .cache beside or above the executable; .cache in the working directory
// or above it; the PATH. Not finding it is an error that says what to do; a
// named file that is missing is one too.
func FindFFmpeg() (string, error) {
	if path := os.Getenv("EARSHOT_FFMPEG"); path != "" {
		if !isFile(path) {
			return "", fmt.Errorf("codec: EARSHOT_FFMPEG names %s, which is not there", path)
		}
		return path, nil
	}
	var places []string
	if cache := os.Getenv("EARSHOT_CACHE"); cache != "" {
		places = append(places, filepath.Join(cache, "ffmpeg"))
	}
	if exe, err := os.Executable(); err == nil {
		folder := filepath.Dir(exe)
		places = append(places, filepath.Join(folder, "..", ".cache", "ffmpeg"), filepath.Join(folder, "ffmpeg"))
	}
	if folder, err := os.Getwd(); err == nil {
		for {
			places = append(places, filepath.Join(folder, ".cache", "ffmpeg"))
			up := filepath.Dir(folder)
			if up == folder {
				break
			}
			folder = up
		}
	}
	for _, place := range places {
		if isFile(place) {
			return filepath.Clean(place), nil
		}
	}
	if path, err := exec.LookPath("ffmpeg"); err == nil {
		return filepath.Abs(path)
	}
	return "", errors.New("codec: no ffmpeg found: run `make setup`, or name one in EARSHOT_FFMPEG")
}

func isFile(path string) bool {
	s, err := os.Stat(path)
	return err == nil && s.Mode().IsRegular()
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// demuxers names the one that may read each format. No other is tried: ffmpeg
// has hundreds, and some of them open further files.
var demuxers = map[Format]string{
	WAV: "wav", RF64: "wav", FLAC: "flac", MP3: "mp3", ADTS: "aac",
	MP4: "mov", Ogg: "ogg", Matroska: "matroska", AIFF: "aiff",
}

// decodeArguments has ffmpeg read descriptor 3 and write the audio of the first
// stream, as it is, to standard output. Joining frames to longer ones saves most
// of the switching between its threads.
func decodeArguments(f Format) []string {
	return []string{
		"-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+warning",
		"-threads", "1", "-protocol_whitelist", "fd,pipe",
		"-f", demuxers[f], "-fd", "3", "-i", "fd:",
		"-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1",
		"-af", "asetnsamples=n=16384:p=0", "-c:a", "pcm_f32le",
		"-fflags", "+bitexact", "-flush_packets", "0", "-f", "wav", "pipe:1",
	}
}

// ffmpegSource reads a file through ffmpeg.
type ffmpegSource struct {
	enc    wavEncoding
	cmd    *exec.Cmd
	file   *os.File
	out    *bufio.Reader
	pipe   io.ReadCloser
	bytes  []byte
	log    *messages
	limits limits
	format Format
	read   int64 // frames
	wild   int64 // samples that are no level of sound
	waited bool
	over   error
}

func openFFmpeg(ctx context.Context, ffmpeg, path string, format Format, start int64) (*ffmpegSource, error) {
	// A descriptor of its own: the child moves its offset.
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("codec: opening the audio: %w", err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(start, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("codec: opening the audio: %w", err)
	}
	s := &ffmpegSource{file: file, format: format, log: newMessages(), limits: decodeLimits(size)}
	s.cmd = confined(ctx, ffmpeg, s.limits, decodeArguments(format), file)
	s.cmd.Stderr = s.log
	if s.pipe, err = s.cmd.StdoutPipe(); err != nil {
		file.Close()
		return nil, fmt.Errorf("codec: a pipe for ffmpeg: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		file.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("codec: starting ffmpeg (%s): %w", ffmpeg, err)
	}
	growPipe(s.pipe)
	s.out = bufio.NewReaderSize(s.pipe, 4096)
	enc, _, err := readWAVHeader(s.out)
	if err == nil && (!enc.float || enc.bytes != 4) {
		err = errors.New("its samples are not what it was asked for")
	}
	if err != nil {
		s.finish(ctx)
		if s.over == nil || errors.Is(s.over, io.EOF) {
			s.over = fmt.Errorf("codec: ffmpeg gave no sound: %w", err)
		}
		return nil, s.over
	}
	s.enc = enc
	return s, nil
}

func (s *ffmpegSource) shape() (rate, channels int) { return s.enc.rate, s.enc.channels }

func (s *ffmpegSource) next(ctx context.Context, dst []float32) (int, error) {
	if s.over != nil {
		return 0, s.over
	}
	whole := len(dst) / s.enc.channels * s.enc.channels
	if cap(s.bytes) < 4*whole {
		s.bytes = make([]byte, 4*whole)
	}
	n, err := io.ReadFull(s.out, s.bytes[:4*whole])
	samples := n / 4 / s.enc.channels * s.enc.channels
	s.wild += int64(s.enc.decode(dst[:samples], s.bytes))
	s.read += int64(samples / s.enc.channels)
	if err != nil {
		s.finish(ctx)
	}
	if samples > 0 {
		return samples, nil
	}
	return 0, s.over
}

// finish waits for ffmpeg and says what became of it: io.EOF when it read the
// file to its end, or as far as it could.
func (s *ffmpegSource) finish(ctx context.Context) {
	if s.waited {
		return
	}
	s.waited = true
	err := s.cmd.Wait()
	s.file.Close()
	switch {
	case ctx.Err() != nil:
		s.over = context.Cause(ctx)
	case err == nil:
		s.over = io.EOF
	default:
		s.over = s.log.verdict(err, s.cmd.ProcessState, s.limits, s.read > 0)
	}
}

func (s *ffmpegSource) warnings() []Warning {
	return append(s.log.warnings(s.format), wildWarnings(s.wild)...)
}

func (s *ffmpegSource) close() {
	if !s.waited {
		s.waited = true
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.file.Close()
	}
}

// buildOf names what decides the bits that a decode gives, besides the file:
// this package's revision, ffmpeg's bytes, and whether the processor can do what
// ffmpeg's assembly asks about.
func buildOf(ffmpegSHA string) string {
	isa := "base"
	switch {
	case cpu.X86.HasAVX512F:
		isa = "avx512"
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		isa = "avx2"
	}
	if ffmpegSHA == "" {
		return "codec/" + revision + " no-ffmpeg"
	}
	return "codec/" + revision + " ffmpeg/" + ffmpegSHA[:16] + " " + isa
}
