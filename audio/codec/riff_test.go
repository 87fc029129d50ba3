package codec

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	goaudio "github.com/go-audio/audio"
	"github.com/go-audio/wav"
)

// What go-audio/wav writes is read here to the bit, and what it reads of a file
// is what is read here.
func TestWAVAgreesWithGoAudio(t *testing.T) {
	d := newTestDecoder(t)
	for _, bits := range []int{8, 16, 24, 32} {
		path := filepath.Join(t.TempDir(), "a.wav")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		half := 1 << (bits - 1)
		samples := make([]int, 2*8000)
		for i := range samples {
			samples[i] = (i*7919*half/8000)%(2*half) - half
			if bits == 8 { // unsigned, alone among the widths
				samples[i] += half
			}
		}
		enc := wav.NewEncoder(out, 8000, bits, 2, 1)
		err = enc.Write(&goaudio.IntBuffer{Format: &goaudio.Format{SampleRate: 8000, NumChannels: 2}, Data: samples, SourceBitDepth: bits})
		if err != nil {
			t.Fatal(err)
		}
		if err := enc.Close(); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		pcm, err := d.Cut(t.Context(), path, 0, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		reference, err := wav.NewDecoder(in).FullPCMBuffer()
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(pcm.Samples) != len(reference.Data) || len(reference.Data) != len(samples) {
			t.Fatalf("%d bits: %d samples here, %d by go-audio, %d written", bits, len(pcm.Samples), len(reference.Data), len(samples))
		}
		for i, x := range reference.Data {
			if bits == 8 {
				x -= half
			}
			if got, want := pcm.Samples[i], float32(x)/float32(half); got != want {
				t.Fatalf("%d bits: sample %d is %v here, %v by go-audio", bits, i, got, want)
			}
		}
	}
}
