package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

func stored(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatCannotBeHeardIsRejectedWithItsReason(t *testing.T) {
	d := newTestDecoder(t)
	page := []byte("<!DOCTYPE html><html><body>This episode is no longer available</body></html>")
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(i*7) & 0x7f
	}
	wantRejection(t, d, stored(t, "empty.mp3", nil), EmptyFile)
	wantRejection(t, d, stored(t, "page.mp3", page), NotAudio)
	wantRejection(t, d, stored(t, "zeros.mp3", make([]byte, 100000)), NotAudio)
	wantRejection(t, d, stored(t, "noise.mp3", noise), NotAudio)
	wantRejection(t, d, stored(t, "tag.mp3", append([]byte("ID3\x03\x00\x00\x00\x00\x07\x76"), make([]byte, 1014)...)), NotAudio)
	wantRejection(t, d, stored(t, "wave.wav", []byte("RIFF\x24\x00\x00\x00WAVEfmt ")), Undecodable)
	wantRejection(t, d, stored(t, "box.m4a", []byte("\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42")), Undecodable)
	wantRejection(t, d, stored(t, "flac.flac", []byte("fLaC\x00\x00\x00\x22garbage")), Undecodable)
	wantRejection(t, d, made(t, "silent.mp4", "-f", "lavfi", "-i", "color=s=64x64:d=1", "-c:v", "mpeg4"), NoAudioStream)
	wantRejection(t, d, made(t, "short.wav", "-f", "lavfi", "-i", "sine=d=0.05"), NothingToHear)
	wantRejection(t, d, made(t, "none.wav", "-f", "lavfi", "-i", "sine=d=1", "-t", "0"), NothingToHear)
}

func TestAVideoWithSoundIsHeard(t *testing.T) {
	path := made(t, "a.mp4", "-f", "lavfi", "-i", "color=s=64x64:d=2", "-f", "lavfi", "-i", "sine=d=2", "-c:v", "mpeg4", "-c:a", "aac")
	if h := mustDecode(t, newTestDecoder(t), path); h.Duration < 1900*time.Millisecond {
		t.Errorf("%v heard", h.Duration)
	}
}

func TestDamagedAudioGivesWhatCanBeHeardAndAWarning(t *testing.T) {
	d := newTestDecoder(t)
	mp3 := read(t, made(t, "a.mp3", "-f", "lavfi", "-i", "anoisesrc=d=10:a=0.3", "-b:a", "128k"))
	random := rand.New(rand.NewPCG(1, 2))
	flipped := slices.Clone(mp3)
	for range 300 {
		i := 5000 + random.IntN(len(flipped)-5000)
		flipped[i] ^= 1 << random.IntN(8)
	}
	garbage := make([]byte, 20000)
	for i := range garbage {
		garbage[i] = byte(random.Uint32())
	}
	half := len(mp3) / 2
	m4a := read(t, made(t, "a.m4a", "-f", "lavfi", "-i", "anoisesrc=d=10:a=0.3", "-c:a", "aac", "-movflags", "+faststart"))
	flac := read(t, made(t, "a.flac", "-f", "lavfi", "-i", "anoisesrc=d=10:a=0.3"))
	wav := read(t, made(t, "a.wav", "-f", "lavfi", "-i", "anoisesrc=d=10:a=0.3"))
	middle := slices.Concat(flac[:len(flac)*6/10], garbage[:100], flac[len(flac)*6/10+100:])
	for _, c := range []struct {
		name    string
		content []byte
		least   float64 // seconds
		warning string
	}{
		{"bits flipped.mp3", flipped, 9, "mp3-damaged-frames"},
		{"garbage inside.mp3", slices.Concat(mp3[:half], garbage, mp3[half:]), 9.8, "mp3-damaged-frames"},
		{"cut.mp3", mp3[:half+77], 4.8, ""},
		{"garbage before.mp3", slices.Concat(garbage[:3000], mp3), 9.5, ""},
		{"cut.m4a", m4a[:len(m4a)*6/10], 5, "truncated"},
		{"cut.flac", flac[:len(flac)*6/10], 5, "flac"},
		{"damaged.flac", middle, 5, "flac-damaged-frames"},
		{"cut.wav", wav[:len(wav)/2+1], 4.9, "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := mustDecode(t, d, stored(t, c.name, c.content))
			if h.Duration.Seconds() < c.least || h.Duration.Seconds() > 12 {
				t.Errorf("%v heard", h.Duration)
			}
			found := c.warning == ""
			for _, w := range h.Warnings {
				found = found || strings.Contains(w.Code, c.warning)
			}
			if !found {
				t.Errorf("warnings %v, want %s", h.Warnings, c.warning)
			}
		})
	}
}

// floats is a WAVE file of tones in which every so manieth sample is spoilt.
func floats(t testing.TB, every int, spoil func(i int) float64, double bool) string {
	t.Helper()
	const rate, n = 16000, 3 * 16000
	size := 4
	if double {
		size = 8
	}
	b := []byte("RIFF\xff\xff\xff\xffWAVEfmt \x10\x00\x00\x00\x03\x00\x01\x00")
	b = binary.LittleEndian.AppendUint32(b, rate)
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*size))
	b = binary.LittleEndian.AppendUint16(b, uint16(size))
	b = binary.LittleEndian.AppendUint16(b, uint16(8*size))
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n*size))
	for i := range n {
		x := 0.1 * math.Sin(2*math.Pi*440*float64(i)/rate)
		if i%every == every-1 {
			x = spoil(i)
		}
		if double {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
		} else {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		}
	}
	return stored(t, "floats.wav", b)
}

func TestFloatsThatAreNoLevelAreSilencedAndTold(t *testing.T) {
	d := newTestDecoder(t)
	clean := mustDecode(t, d, floats(t, 100, func(int) float64 { return 0 }, false))
	for name, spoil := range map[string]float64{
		"not a number": math.NaN(), "infinite": math.Inf(1), "minus infinite": math.Inf(-1), "absurd": 1e30, "beyond float32": 1e300, "minus absurd": -1e30, "just beyond": 8.001,
	} {
		for _, double := range []bool{false, true} {
			h := mustDecode(t, d, floats(t, 100, func(int) float64 { return spoil }, double))
			if len(h.Warnings) != 1 || h.Warnings[0].Code != WildSamples || !strings.HasPrefix(h.Warnings[0].Detail, "480 samples") {
				t.Errorf("%s: warnings %v", name, h.Warnings)
			}
			if math.Abs(h.Loudness.IntegratedLUFS-clean.Loudness.IntegratedLUFS) > 1e-3 || h.Loudness.TruePeakDBTP > 0 || math.Abs(level440(h.tape)-level440(clean.tape)) > 1e-4 {
				t.Errorf("%s: %v", name, h.Loudness)
			}
		}
	}
	for name, spoil := range map[string]float64{"denormal": 1e-40, "smaller still": 1e-310, "loud": 1.5} {
		if h := mustDecode(t, d, floats(t, 100, func(int) float64 { return spoil }, true)); len(h.Warnings) != 0 {
			t.Errorf("%s: warnings %v", name, h.Warnings)
		}
	}
	// Through ffmpeg, which passes them on.
	aiff := made(t, "a.mka", "-i", floats(t, 100, func(i int) float64 { return []float64{math.NaN(), 1e30}[i/100%2] }, false), "-c:a", "pcm_f32le")
	if h := mustDecode(t, d, aiff); len(h.Warnings) != 1 || h.Warnings[0].Code != WildSamples || math.Abs(h.Loudness.IntegratedLUFS-clean.Loudness.IntegratedLUFS) > 1e-3 {
		t.Errorf("through ffmpeg: %v, %v", h.Loudness, h.Warnings)
	}
	// Nothing but such samples is nothing but silence.
	if h := mustDecode(t, d, floats(t, 1, func(int) float64 { return 1e30 }, false)); h.Loudness.IntegratedLUFS != audio.FloorLUFS || len(h.Warnings) != 1 {
		t.Errorf("all of them: %v, %v", h.Loudness, h.Warnings)
	}
}

func level440(tape []float32) float64 { return level(tape, audio.TapeRate, 440) }

func TestOddShapesAreHeard(t *testing.T) {
	d := newTestDecoder(t)
	for name, args := range map[string][]string{
		"telephone.wav": {"-ar", "8000", "-ac", "1", "-c:a", "pcm_u8"},
		"seven.wav":     {"-ar", "192000", "-ac", "7", "-c:a", "pcm_s24le"},
		"eight.flac":    {"-ar", "192000", "-ac", "8"},
		"slow.wav":      {"-ar", "4000", "-ac", "1"},
	} {
		h := mustDecode(t, d, tonesAs(t, name, args...))
		if math.Abs(h.Duration.Seconds()-3) > 0.06 || len(h.Warnings) != 0 || level440(h.tape[8000:40000]) < 0.01 {
			t.Errorf("%s: %v at %d Hz, %d channels, warnings %v, level %v", name, h.Duration, h.SampleRate, h.Channels, h.Warnings, level440(h.tape[8000:40000]))
		}
	}
}

func TestBrokenFilesOfOtherKindsSayWhatTheyAre(t *testing.T) {
	d := newTestDecoder(t)
	for name, args := range map[string][]string{
		"picture.jpg": {"-f", "lavfi", "-i", "testsrc=s=640x480", "-frames:v", "1"},
		"picture.png": {"-f", "lavfi", "-i", "testsrc=s=640x480", "-frames:v", "1"},
		"film.gif":    {"-f", "lavfi", "-i", "testsrc=s=64x64", "-t", "1"},
	} {
		wantRejection(t, d, stored(t, "episode.mp3", read(t, made(t, name, args...))), NotAudio)
	}
	for _, ext := range []string{"wav", "flac", "mp3", "ogg", "m4a", "aiff", "mka"} {
		if ext != "flac" { // its encoder refuses
			one := made(t, "one."+ext, "-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono", "-af", "atrim=end_sample=1")
			if h, err := decode(t, d, one); err == nil && h.Duration > 200*time.Millisecond {
				t.Errorf("one sample of %s: %v", ext, h.Duration)
			}
		}
		whole := read(t, made(t, "a."+ext, "-f", "lavfi", "-i", "anoisesrc=d=3:a=0.3"))
		for _, keep := range []int{1, 3, 16, 64, 200, len(whole) / 10, len(whole) / 2, len(whole) - 1} {
			var rejected *audio.Rejection
			if _, err := decode(t, d, stored(t, "cut."+ext, whole[:keep])); err != nil && !errors.As(err, &rejected) {
				t.Errorf("%d bytes of %s: %v", keep, ext, err)
			}
		}
	}
}

// An ID3 tag may hold more than most episodes.
func TestATagOfFiftyMegabytes(t *testing.T) {
	const size = 50 << 20
	path := stored(t, "tagged.mp3", []byte{'I', 'D', '3', 4, 0, 0, size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127})
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(read(t, tonesAs(t, "a.mp3")), 10+size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if h := mustDecode(t, newTestDecoder(t), path); h.Format != MP3 || h.Duration < 2900*time.Millisecond {
		t.Errorf("%s, %v", h.Format, h.Duration)
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("ID3\x04\x00\x10\x00\x00\x00\x01"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVE"))
	f.Add(append([]byte{0xff, 0xfb, 0x90, 0x00}, make([]byte, 500)...))
	f.Add([]byte{0xff, 0xf1, 0x50, 0x80, 0x01, 0x1f, 0xfc})
	f.Fuzz(func(t *testing.T, b []byte) {
		format, start, err := Sniff(bytes.NewReader(b))
		if (err == nil) != (format != "") || start < 0 || (err == nil && start >= int64(len(b))) {
			t.Errorf("%q at %d of %d, %v", format, start, len(b), err)
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("[mp3float @ 0x1] [warning] Header missing\n    Last message repeated 12 times\n"), 7)
	f.Fuzz(func(t *testing.T, b []byte, chunk int) {
		m := newMessages()
		for part := range slices.Chunk(b, max(1, chunk&1023)) {
			if n, err := m.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if len(m.first) > keptLines || len(m.line) > longestLine {
			t.Errorf("%d lines and %d bytes kept", len(m.first), len(m.line))
		}
		m.warnings(MP3)
	})
}
