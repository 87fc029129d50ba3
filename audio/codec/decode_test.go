package codec

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

func newTestDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := NewDecoder(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// made has ffmpeg write a file.
func made(t testing.TB, name string, args ...string) string {
	t.Helper()
	ffmpeg, err := FindFFmpeg()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command(ffmpeg, append(append([]string{"-v", "error", "-y"}, args...), path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// tones is three seconds of stereo: 440 Hz left, 1,000 Hz right, at -20 dBFS.
var tones = []string{"-f", "lavfi", "-i", "aevalsrc=0.1*sin(2*PI*440*t)|0.1*sin(2*PI*1000*t):s=44100:d=3"}

func tonesAs(t testing.TB, name string, args ...string) string {
	return made(t, name, append(append([]string{}, tones...), args...)...)
}

type heard struct {
	Result
	tape []float32
}

func decode(t testing.TB, d *Decoder, path string) (heard, error) {
	t.Helper()
	tape, err := audio.NewTape(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tape.Close()
	r, err := d.Decode(context.Background(), path, tape)
	n, lenErr := tape.Len(context.Background())
	if !errors.Is(lenErr, err) {
		t.Fatalf("Decode says %v, the tape %v", err, lenErr)
	}
	h := heard{Result: r, tape: make([]float32, n)}
	if n > 0 {
		if _, err := tape.ReadAt(context.Background(), h.tape, 0); err != nil {
			t.Fatal(err)
		}
	}
	return h, err
}

func mustDecode(t testing.TB, d *Decoder, path string) heard {
	t.Helper()
	h, err := decode(t, d, path)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// level of a frequency in mono audio, as an amplitude.
func level(x []float32, rate int, hz float64) float64 {
	var re, im float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		re, im = re+float64(v)*c, im+float64(v)*s
	}
	return 2 * math.Hypot(re, im) / float64(len(x))
}

func TestEveryFormatIsKnownByItsContentAndHeard(t *testing.T) {
	d := newTestDecoder(t)
	for _, c := range []struct {
		name   string // of the file: often a lie
		args   []string
		format Format
	}{
		{"a.wav", nil, WAV},
		{"wav16.mp3", []string{"-f", "wav", "-c:a", "pcm_s16le"}, WAV},
		{"u8.wav", []string{"-c:a", "pcm_u8"}, WAV},
		{"s24.wav", []string{"-c:a", "pcm_s24le"}, WAV},
		{"s32.wav", []string{"-c:a", "pcm_s32le"}, WAV},
		{"f32.wav", []string{"-c:a", "pcm_f32le"}, WAV},
		{"f64.wav", []string{"-c:a", "pcm_f64le"}, WAV},
		{"adpcm.wav", []string{"-c:a", "adpcm_ima_wav"}, WAV},
		{"rf64.wav", []string{"-rf64", "always"}, RF64},
		{"a.flac", nil, FLAC},
		{"a.aiff", nil, AIFF},
		{"flac.ogg", []string{"-c:a", "flac"}, Ogg},
		{"a.mp3", []string{"-b:a", "128k"}, MP3},
		{"index-at-the-end.m4a", []string{"-c:a", "aac"}, MP4},
		{"index-first.m4a", []string{"-c:a", "aac", "-movflags", "+faststart"}, MP4},
		{"fragmented.mp4", []string{"-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"}, MP4},
		{"a.aac", []string{"-c:a", "aac"}, ADTS},
		{"vorbis.mp3", []string{"-f", "ogg", "-c:a", "libvorbis"}, Ogg},
		{"a.opus", []string{"-c:a", "libopus"}, Ogg},
		{"a.webm", []string{"-c:a", "libopus"}, Matroska},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := mustDecode(t, d, tonesAs(t, c.name, c.args...))
			rate := 44100
			if strings.Contains(strings.Join(c.args, " "), "opus") || c.name == "a.opus" {
				rate = 48000
			}
			if h.Format != c.format || h.SampleRate != rate || h.Channels != 2 || len(h.Warnings) != 0 {
				t.Errorf("%s, %d Hz, %d channels, warnings %v", h.Format, h.SampleRate, h.Channels, h.Warnings)
			}
			if off := h.Duration - 3*time.Second; off.Abs() > 60*time.Millisecond {
				t.Errorf("%v of sound", h.Duration)
			}
			if n := int(math.Ceil(h.Duration.Seconds() * audio.TapeRate)); len(h.tape) < n-1 || len(h.tape) > n+1 {
				t.Errorf("%d samples on the tape for %v", len(h.tape), h.Duration)
			}
			middle := h.tape[8000:40000]
			for _, hz := range []float64{440, 1000} {
				if l := level(middle, audio.TapeRate, hz); math.Abs(l-0.05) > 0.005 {
					t.Errorf("%v Hz has amplitude %.4f, not 0.05", hz, l)
				}
			}
			if math.Abs(h.Loudness.IntegratedLUFS+20.3) > 0.5 || h.Loudness.TruePeakDBTP < -20.5 || h.Loudness.TruePeakDBTP > -15 {
				t.Errorf("loudness %.1f LUFS, peak %.1f dBTP", h.Loudness.IntegratedLUFS, h.Loudness.TruePeakDBTP)
			}
			if n := len(h.Waveform.Peaks); n < 60 || n > 62 {
				t.Errorf("%d points of waveform", n)
			}
		})
	}
}

// Cover art of megabytes comes before the first frame.
func TestATagOfMegabytesComesBeforeTheAudio(t *testing.T) {
	const size = 3 << 20
	tag := append([]byte{'I', 'D', '3', 3, 0, 0, size >> 21, size >> 14 & 127, size >> 7 & 127, size & 127}, make([]byte, size)...)
	path := stored(t, "tagged.mp3", append(tag, read(t, tonesAs(t, "a.mp3"))...))
	if h := mustDecode(t, newTestDecoder(t), path); h.Format != MP3 || h.Duration < 2900*time.Millisecond {
		t.Errorf("%s, %v", h.Format, h.Duration)
	}
}

func TestTheSameFileGivesTheSameBits(t *testing.T) {
	d := newTestDecoder(t)
	for _, name := range []string{"a.mp3", "a.m4a", "a.flac"} {
		path := tonesAs(t, name)
		a, b := mustDecode(t, d, path), mustDecode(t, d, path)
		for i := range a.tape {
			if a.tape[i] != b.tape[i] {
				t.Fatalf("%s: sample %d differs", name, i)
			}
		}
		if a.Loudness.IntegratedLUFS != b.Loudness.IntegratedLUFS {
			t.Errorf("%s: loudness differs", name)
		}
	}
}

// A span that is cut at native rate, brought to the tape's rate, is the tape's
// span: both have one timeline.
func TestCutIsOnTheTapesTimeline(t *testing.T) {
	d := newTestDecoder(t)
	ctx := context.Background()
	for _, name := range []string{"a.mp3", "a.m4a", "a.ogg", "a.flac", "a.wav"} {
		t.Run(name, func(t *testing.T) {
			path := made(t, name, "-f", "lavfi", "-i", "anoisesrc=d=4:r=44100:a=0.3:seed=7", "-ac", "2")
			h := mustDecode(t, d, path)
			whole, err := d.Cut(ctx, path, 0, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if whole.Duration() != h.Duration || whole.Rate != h.SampleRate || whole.Channels != h.Channels {
				t.Fatalf("the whole is %v at %d Hz, decoded %v", whole.Duration(), whole.Rate, h.Duration)
			}
			resample, err := audio.NewResampler(whole.Rate, audio.TapeRate)
			if err != nil {
				t.Fatal(err)
			}
			mono := audio.NewDownmix(whole.Channels).Append(nil, whole.Samples)
			for i, x := range resample.Flush(resample.Write(nil, mono)) {
				if x != h.tape[i] {
					t.Fatalf("sample %d: cut %v, tape %v", i, x, h.tape[i])
				}
			}
			part, err := d.Cut(ctx, path, 1250*time.Millisecond, 2*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			from := 55125 * whole.Channels
			if len(part.Samples) != 33075*whole.Channels {
				t.Fatalf("%d samples", len(part.Samples))
			}
			for i, x := range part.Samples {
				if x != whole.Samples[from+i] {
					t.Fatalf("sample %d of the part differs from the whole's", i)
				}
			}
			if _, err := d.Cut(ctx, path, time.Minute, 2*time.Minute); err == nil {
				t.Error("a span beyond the end gave no error")
			}
		})
	}
}

func TestTooLongAndCancelled(t *testing.T) {
	path := tonesAs(t, "a.mp3")
	short, err := NewDecoder(Options{MaxDuration: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	wantRejection(t, short, path, TooLong)

	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(stop)
	tape, err := audio.NewTape("")
	if err != nil {
		t.Fatal(err)
	}
	defer tape.Close()
	for _, p := range []string{path, tonesAs(t, "a.flac")} {
		if _, err := newTestDecoder(t).Decode(ctx, p, tape); !errors.Is(err, stop) {
			t.Errorf("a cancelled decode gives %v", err)
		}
	}
}

func TestWithoutFFmpeg(t *testing.T) {
	d, err := NewDecoder(Options{FFmpeg: NoFFmpeg})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(d.Build(), "ffmpeg/") {
		t.Errorf("build %q", d.Build())
	}
	h := mustDecode(t, d, tonesAs(t, "a.mp3"))
	if l := level(h.tape[8000:40000], audio.TapeRate, 440); h.Format != MP3 || math.Abs(l-0.05) > 0.005 {
		t.Errorf("%s, 440 Hz has amplitude %.4f", h.Format, l)
	}
	mustDecode(t, d, tonesAs(t, "a.flac"))
	_, err = decode(t, d, tonesAs(t, "a.m4a"))
	var rejected *audio.Rejection
	if err == nil || errors.As(err, &rejected) || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("M4A without ffmpeg: %v", err)
	}
}

func TestANamedFFmpegMustBeThere(t *testing.T) {
	t.Setenv("EARSHOT_FFMPEG", filepath.Join(t.TempDir(), "missing"))
	if _, err := NewDecoder(Options{}); err == nil || !strings.Contains(err.Error(), "EARSHOT_FFMPEG") {
		t.Errorf("%v", err)
	}
}

func wantRejection(t *testing.T, d *Decoder, path, code string) {
	t.Helper()
	_, err := decode(t, d, path)
	var rejected *audio.Rejection
	if !errors.As(err, &rejected) || rejected.Code != code || rejected.Detail == "" {
		t.Errorf("%s: %v, want a rejection with %s", filepath.Base(path), err, code)
	}
}

// BenchmarkDecode reports how fast a decode is against the same ffmpeg alone,
// which writes 16 kHz mono to a pipe that is read and thrown away.
func BenchmarkDecode(b *testing.B) {
	d := newTestDecoder(b)
	for _, name := range []string{"a.mp3", "a.m4a", "a.ogg", "a.flac", "a.wav"} {
		b.Run(name, func(b *testing.B) {
			path := made(b, name, "-f", "lavfi", "-i", "anoisesrc=d=600:r=44100:a=0.1:c=pink", "-ac", "2")
			ours, alone := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			for b.Loop() {
				start := time.Now()
				cmd := exec.Command(d.FFmpeg(), "-v", "error", "-i", path, "-ar", "16000", "-ac", "1", "-f", "f32le", "pipe:1")
				if _, err := cmd.Output(); err != nil {
					b.Fatal(err)
				}
				alone = min(alone, time.Since(start))
				tape, err := audio.NewTape(os.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				if _, err := d.Decode(context.Background(), path, tape); err != nil {
					b.Fatal(err)
				}
				ours = min(ours, time.Since(start))
				tape.Close()
			}
			b.ReportMetric(alone.Seconds()/ours.Seconds(), "of-ffmpeg-alone")
			b.ReportMetric(600/ours.Seconds(), "x-real-time")
		})
	}
}
