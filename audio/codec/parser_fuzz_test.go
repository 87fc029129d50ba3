package codec

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/earshot-fm/earshot/audio"
)

// fuzzSource has a parser read whatever it is given: it must end, with whole
// frames of levels that sound has, and no more of them than most for each byte.
func fuzzSource(f *testing.F, open func(*os.File) (source, error), most int) {
	path := filepath.Join(f.TempDir(), "a")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		s, err := open(file)
		if err != nil {
			return
		}
		_, channels := s.shape()
		dst := make([]float32, 1024*channels)
		for total := 0; ; {
			n, err := s.next(t.Context(), dst)
			if err != nil {
				s.warnings()
				return
			}
			if total += n; n%channels != 0 || n == 0 || total > most*len(b) {
				t.Fatalf("%d samples of %d channels, %d in all from %d bytes", n, channels, total, len(b))
			}
			for _, x := range dst[:n] {
				if !(x >= -8 && x <= 8) {
					t.Fatalf("a sample of %v", x)
				}
			}
		}
	})
}

// wavHeader is one whose fields are anything.
func wavHeader(format, channels uint16, rate uint32, align, bits uint16, size uint32) []byte {
	b := []byte("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00")
	b = binary.LittleEndian.AppendUint16(b, format)
	b = binary.LittleEndian.AppendUint16(b, channels)
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, rate*uint32(align))
	b = binary.LittleEndian.AppendUint16(b, align)
	b = binary.LittleEndian.AppendUint16(b, bits)
	return binary.LittleEndian.AppendUint32(append(b, "data"...), size)
}

func FuzzWAV(f *testing.F) {
	header := []byte("RIFF\xff\xff\xff\xffWAVEodd \x01\x00\x00\x00x\x00fmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data\x08\x00\x00\x00")
	f.Add(append(header, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(binary.LittleEndian.AppendUint16(header[:20], 0xfffe))
	f.Add(append(wavHeader(3, 64, 1_000_000, 512, 64, 0), make([]byte, 1024)...))
	f.Add(append(wavHeader(1, 1, 8000, 0, 0, 1<<32-1), 1, 2, 3))
	f.Add(append(wavHeader(1, 65535, 1<<32-1, 65535, 65535, 7), 1, 2, 3))
	fuzzSource(f, openWAV, 8)
}

func FuzzFLAC(f *testing.F) {
	for _, args := range [][]string{{"-ac", "1"}, {"-ac", "2", "-sample_fmt", "s32"}, {"-ac", "8", "-ar", "96000"}} {
		f.Add(read(f, made(f, "a.flac", append([]string{"-f", "lavfi", "-i", "anoisesrc=d=0.02:a=0.3"}, args...)...)))
	}
	f.Add([]byte("fLaC\x80\x00\x00\x22"))
	fuzzSource(f, openFLAC, 8*65536)
}

func FuzzMP3(f *testing.F) {
	f.Add(read(f, made(f, "a.mp3", "-f", "lavfi", "-i", "anoisesrc=d=0.1:a=0.3", "-b:a", "64k", "-id3v2_version", "0")))
	f.Add([]byte("ID3\x04\x00\x00\xff\xff\xff\xff"))
	fuzzSource(f, openMP3, 2*1152)
}

// A claim of 44 bytes costs what 44 bytes do.
func TestHeadersThatClaimTooMuchAreRefusedOrHeardForWhatIsThere(t *testing.T) {
	d := newTestDecoder(t)
	second := make([]byte, 16000)
	for i := range second {
		second[i] = byte(i * 37)
	}
	for name, c := range map[string]struct {
		content []byte
		code    string // empty: it is heard
	}{
		"4 GB of samples":            {append(wavHeader(1, 1, 8000, 2, 16, 1<<32-300), second...), ""},
		"a block align of zero":      {append(wavHeader(1, 1, 8000, 0, 16, 16000), second...), ""},
		"no bits":                    {append(wavHeader(1, 1, 8000, 0, 0, 16000), second...), Unsupported},
		"no channels":                {append(wavHeader(1, 0, 8000, 2, 16, 16000), second...), Unsupported},
		"255 channels":               {append(wavHeader(1, 255, 8000, 510, 16, 16000), second...), Unsupported},
		"1 Hz":                       {append(wavHeader(1, 1, 1, 2, 16, 16000), second...), Unsupported},
		"4 GHz":                      {append(wavHeader(1, 1, 4_000_000_000, 2, 16, 16000), second...), Unsupported},
		"a prime number of hertz":    {append(wavHeader(1, 1, 999_983, 2, 16, 16000), second...), Unsupported},
		"samples of 8 kB":            {append(wavHeader(1, 1, 8000, 65535, 65535, 16000), second...), Unsupported},
		"an ID3 tag of 256 MB":       {append([]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), second...), NotAudio},
		"an ID3 tag beyond its bits": {append([]byte("ID3\x04\x00\x00\xff\xff\xff\xff"), second...), NotAudio},
		"a FLAC of noise":            {append([]byte("fLaC\x00\xff\xff\xff"), second...), Unsupported},
	} {
		path := stored(t, "a", c.content)
		if c.code != "" {
			t.Run(name, func(t *testing.T) { wantRejection(t, d, path, c.code) })
			continue
		}
		if h, err := decode(t, d, path); err != nil || h.Duration.Seconds() > 1.01 {
			t.Errorf("%s: %v, %v", name, h.Duration, err)
		}
	}
}

// A file says what it likes of its length; what is decoded is counted.
func TestAFileThatIsTooLongEndsAtTheBound(t *testing.T) {
	long := made(t, "long.flac", "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=7200")
	opus := made(t, "long.opus", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono:d=1200", "-b:a", "6k")
	d, err := NewDecoder(Options{MaxDuration: shortest * 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{long, opus} {
		wantRejection(t, d, path, TooLong)
		tape, err := audio.NewTape(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Decode(t.Context(), path, tape)
		var rejected *audio.Rejection
		if most := d.maxDuration.Seconds() * audio.TapeRate; !errors.As(err, &rejected) || float64(tape.Written()) > most+audio.TapeRate*chunksAhead {
			t.Errorf("%v, %d samples on the tape", err, tape.Written())
		}
		if err := tape.Close(); err != nil {
			t.Error(err)
		}
	}
}
