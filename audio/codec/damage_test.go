package codec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

func FuzzWAV(f *testing.F) {
	header := []byte("RIFF\xff\xff\xff\xffWAVEodd \x01\x00\x00\x00x\x00fmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data\x08\x00\x00\x00")
	f.Add(append(header, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(binary.LittleEndian.AppendUint16(header[:20], 0xfffe))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "a.wav")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		s, err := openWAV(file)
		if err != nil {
			return
		}
		_, channels := s.shape()
		dst := make([]float32, 1024*channels)
		for total := 0; ; {
			n, err := s.next(t.Context(), dst)
			if err != nil {
				return
			}
			if total += n; n%channels != 0 || n == 0 || total > 8*len(b) {
				t.Fatalf("%d samples of %d channels, %d in all from %d bytes", n, channels, total, len(b))
			}
			for _, x := range dst[:n] {
				if x != x {
					t.Fatal("not a number")
				}
			}
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
