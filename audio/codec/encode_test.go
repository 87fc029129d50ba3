package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func newTestEncoder(t testing.TB) *Encoder {
	t.Helper()
	d, err := NewDecoder(Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(d)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// talk is noise and tones that come and go as syllables do, with a low and a
// high voice that lie apart in the stereo image. level is of the peaks, linear.
func talk(rate, channels int, seconds, level float64) PCM {
	random := rand.New(rand.NewPCG(1, uint64(rate*channels)))
	frames := int(seconds * float64(rate))
	p := PCM{Rate: rate, Channels: channels, Samples: make([]float32, frames*channels)}
	var slow float64
	for i := range frames {
		at := float64(i) / float64(rate)
		syllable := math.Pow(math.Sin(math.Pi*3.3*at), 2) * (0.4 + 0.6*math.Pow(math.Sin(math.Pi*0.31*at), 2))
		slow = 0.9*slow + 0.1*random.NormFloat64()
		voice := 0.5*math.Sin(2*math.Pi*140*at) + 0.25*math.Sin(2*math.Pi*420*at) + 0.3*slow
		for c := range channels {
			apart := 0.2 * math.Sin(2*math.Pi*float64(700+300*c)*at)
			p.Samples[i*channels+c] = float32(level * syllable * (voice + apart))
		}
	}
	return p
}

func changed(p PCM, change func(i int, s float32) float32) PCM {
	for i, s := range p.Samples {
		p.Samples[i] = change(i, s)
	}
	return p
}

// play decodes a rendition anew, as a player would.
func play(t *testing.T, e *Encoder, r Rendition) PCM {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rendition."+r.Container)
	if err := os.WriteFile(path, r.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	pcm, err := e.decoder.Cut(t.Context(), path, 0, time.Hour/12)
	if err != nil {
		t.Fatal(err)
	}
	return pcm
}

func TestEveryRenditionHasThePromisedLoudnessPeakAndLength(t *testing.T) {
	e := newTestEncoder(t)
	cases := []struct {
		name           string
		pcm            PCM
		rate, channels int
		rungs          string
	}{
		{"quiet, stereo, 44.1 kHz", talk(44100, 2, 6, 0.03), 44100, 2, "vorbis 96, vorbis 160, vorbis 320, aac 96, aac 160"},
		{"loud and clipped, stereo, 48 kHz", changed(talk(48000, 2, 6, 6), func(_ int, s float32) float32 { return max(-1, min(1, s)) }),
			48000, 2, "vorbis 96, vorbis 160, vorbis 320, aac 96, aac 160"},
		{"peaky, mono, 44.1 kHz", changed(talk(44100, 1, 6, 0.1), func(i int, s float32) float32 {
			if i%9973 < 3 {
				return 1 - 2*float32(i%2)
			}
			return s
		}), 44100, 1, "vorbis 96, vorbis 160, vorbis 240, aac 96, aac 160"},
		{"telephone, mono, 8 kHz", talk(8000, 1, 6, 0.5), 8000, 1, "vorbis 42, aac 48"},
		{"mono, 22.05 kHz", talk(22050, 1, 6, 0.5), 22050, 1, "vorbis 90, aac 96, aac 132"},
		{"studio, stereo, 96 kHz", talk(96000, 2, 4, 0.5), 48000, 2, "vorbis 96, vorbis 160, vorbis 320, aac 96, aac 160"},
		{"surround, 48 kHz", talk(48000, 6, 4, 0.5), 48000, 2, "vorbis 96, vorbis 160, vorbis 320, aac 96, aac 160"},
		{"shorter than a loudness block", talk(44100, 2, 0.25, 0.5), 44100, 2, "vorbis 96, vorbis 160, vorbis 320, aac 96, aac 160"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			given := append([]float32(nil), c.pcm.Samples...)
			renditions, err := e.Ladder(t.Context(), c.pcm, LadderOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range given {
				if c.pcm.Samples[i] != s {
					t.Fatalf("the caller's sample %d was changed", i)
				}
			}
			var rungs []string
			for _, r := range renditions {
				rungs = append(rungs, fmt.Sprintf("%s %d", r.Codec, r.Kbps))
				heard := play(t, e, r)
				loudness := measured(heard)
				t.Logf("%s %d kbit/s: %.2f LUFS, %.2f dBTP, %v, %d bytes", r.Codec, r.Kbps, loudness.IntegratedLUFS, loudness.TruePeakDBTP, heard.Duration(), len(r.Bytes))
				if math.Abs(loudness.IntegratedLUFS+16) > 1 || loudness.TruePeakDBTP > -1 {
					t.Errorf("%s %d kbit/s: %.2f LUFS (-16 ± 1), %.2f dBTP (at most -1)", r.Codec, r.Kbps, loudness.IntegratedLUFS, loudness.TruePeakDBTP)
				}
				if math.Abs(loudness.IntegratedLUFS-r.LUFS) > 0.01 || math.Abs(loudness.TruePeakDBTP-r.TruePeak) > 0.01 || heard.Duration() != r.Duration {
					t.Errorf("%s %d kbit/s says %.2f LUFS, %.2f dBTP, %v", r.Codec, r.Kbps, r.LUFS, r.TruePeak, r.Duration)
				}
				if off := heard.Duration() - c.pcm.Duration(); off.Abs() > 50*time.Millisecond {
					t.Errorf("%s %d kbit/s: %v long, the sound is %v", r.Codec, r.Kbps, heard.Duration(), c.pcm.Duration())
				}
				if heard.Rate != c.rate || heard.Channels != c.channels || r.SampleRate != c.rate || r.Channels != c.channels {
					t.Errorf("%s %d kbit/s: %d Hz, %d channels", r.Codec, r.Kbps, heard.Rate, heard.Channels)
				}
			}
			if got := strings.Join(rungs, ", "); got != c.rungs {
				t.Errorf("the ladder is %s; want %s", got, c.rungs)
			}
		})
	}
}

func TestTrebleAndStereoSurvive(t *testing.T) {
	e := newTestEncoder(t)
	pcm := talk(44100, 2, 4, 0.4)
	for i := range len(pcm.Samples) / 2 {
		at := float64(i) / 44100
		pcm.Samples[2*i] += float32(0.05 * math.Sin(2*math.Pi*9500*at))
		pcm.Samples[2*i+1] += float32(0.05 * math.Sin(2*math.Pi*12500*at))
	}
	renditions, err := e.Ladder(t.Context(), pcm, LadderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := toneOfSide(pcm, 12500, 1) / toneOfSide(pcm, 140, 0)
	for _, r := range renditions {
		heard := play(t, e, r)
		after := toneOfSide(heard, 12500, 1) / toneOfSide(heard, 140, 0)
		apart := toneOfSide(heard, 12500, 1) / toneOfSide(heard, 12500, 0)
		if after < 0.7*before || after > 1.4*before {
			t.Errorf("%s %d kbit/s: 12.5 kHz is %.2f of what it was", r.Codec, r.Kbps, after/before)
		}
		if apart < 10 {
			t.Errorf("%s %d kbit/s: the right's tone is only %.1f times as strong on the right", r.Codec, r.Kbps, apart)
		}
	}
}

// toneOfSide is the amplitude of a frequency in one channel.
func toneOfSide(p PCM, hz float64, channel int) float64 {
	var re, im float64
	n := len(p.Samples) / p.Channels
	for i := range n {
		s := float64(p.Samples[i*p.Channels+channel])
		re += s * math.Cos(2*math.Pi*hz*float64(i)/float64(p.Rate))
		im += s * math.Sin(2*math.Pi*hz*float64(i)/float64(p.Rate))
	}
	return math.Hypot(re, im) / float64(n)
}

func TestTheSameSoundGivesTheSameBytes(t *testing.T) {
	e := newTestEncoder(t)
	pcm := talk(48000, 2, 3, 0.9)
	first, err := e.Ladder(t.Context(), pcm, LadderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := newTestEncoder(t).Ladder(t.Context(), pcm, LadderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if !bytes.Equal(first[i].Bytes, second[i].Bytes) {
			t.Errorf("%s %d kbit/s differs from run to run", first[i].Codec, first[i].Kbps)
		}
	}
}

func TestSilenceStaysSilent(t *testing.T) {
	e := newTestEncoder(t)
	random := rand.New(rand.NewPCG(3, 4))
	hiss := func(level float64) PCM {
		return changed(PCM{Rate: 44100, Channels: 2, Samples: make([]float32, 2*44100*2)}, func(int, float32) float32 {
			return float32(level * random.NormFloat64())
		})
	}
	for _, c := range []struct {
		name string
		pcm  PCM
		most float64 // LUFS
	}{
		{"digital silence", hiss(0), -70},
		{"the hiss of an amplifier", hiss(2e-4), -60},
		{"a whisper far away", hiss(1.5e-3), -20},
		{"one frame", PCM{Rate: 44100, Channels: 2, Samples: []float32{0.1, 0.1}}, -15},
	} {
		t.Run(c.name, func(t *testing.T) {
			renditions, err := e.Ladder(t.Context(), c.pcm, LadderOptions{Rungs: []Rung{{Vorbis, 96}, {AAC, 96}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range renditions {
				if r.LUFS > c.most || r.TruePeak > -1 {
					t.Errorf("%s: %.1f LUFS (at most %.0f), %.1f dBTP", r.Codec, r.LUFS, c.most, r.TruePeak)
				}
			}
		})
	}
}

func TestFadesBeginAndEndInSilence(t *testing.T) {
	samples := make([]float32, 2*1000)
	for i := range samples {
		samples[i] = 1
	}
	fadeEnds(samples, 2, 100)
	if samples[0] > 0.02 || samples[len(samples)-1] > 0.02 || samples[2*500] != 1 {
		t.Errorf("ends at %v and %v, middle %v", samples[0], samples[len(samples)-1], samples[1000])
	}
	if power := samples[2*50] * samples[2*50]; math.Abs(float64(power)-0.5) > 0.02 {
		t.Errorf("half way the power is %.3f", power)
	}
	short := []float32{1, 1, 1}
	fadeEnds(short, 1, 100)
	if short[1] != 1 {
		t.Error("the fades of a very short sound meet")
	}
}

func TestACancelledLadderLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	e := newTestEncoder(t)
	pcm := talk(44100, 2, 60, 0.5)
	reason := errors.New("the episode was taken down")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := e.Ladder(ctx, pcm, LadderOptions{})
		done <- err
	}()
	for len(e.slots) == 0 {
		runtime.Gosched()
	}
	cancel(reason)
	if err := <-done; !errors.Is(err, reason) {
		t.Errorf("got %v; want the cause of the context", err)
	}
	if len(e.slots) != 0 {
		t.Error("a slot stayed taken")
	}
}

func TestImpossibleLaddersSayWhatIsWrong(t *testing.T) {
	e := newTestEncoder(t)
	sound := talk(44100, 2, 0.5, 0.5)
	for _, c := range []struct {
		pcm  PCM
		o    LadderOptions
		want string
	}{
		{sound, LadderOptions{Rungs: []Rung{{"mp3", 96}}}, `no codec "mp3" (has vorbis, aac)`},
		{sound, LadderOptions{Rungs: []Rung{{AAC, 8}}}, "aac at 8 kbit/s (48 is the least)"},
		{PCM{Rate: 44100, Channels: 2}, LadderOptions{}, "no whole frames"},
		{PCM{Rate: 44100, Channels: 2, Samples: make([]float32, 3)}, LadderOptions{}, "no whole frames"},
		{PCM{Rate: 0, Channels: 2, Samples: make([]float32, 2)}, LadderOptions{}, "2 channels at 0 Hz"},
	} {
		if _, err := e.Ladder(t.Context(), c.pcm, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v; want %q", err, c.want)
		}
	}
	none, err := NewDecoder(Options{FFmpeg: NoFFmpeg})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewEncoder(none); err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("without ffmpeg: %v", err)
	}
}

func TestFFmpegTakesWhatTheLadderAllows(t *testing.T) {
	e := newTestEncoder(t)
	for _, rate := range codecRates {
		for _, channels := range []int{1, 2} {
			renditions, err := e.Ladder(t.Context(), talk(rate, channels, 0.6, 0.5), LadderOptions{Rungs: []Rung{{Vorbis, 1000}, {AAC, 1000}, {Vorbis, 48}, {AAC, 48}}})
			if err != nil {
				t.Errorf("%d Hz, %d channels: %v", rate, channels, err)
				continue
			}
			for _, r := range renditions {
				if math.Abs(r.LUFS+16) > 1 || r.TruePeak > -1 {
					t.Errorf("%d Hz, %d channels, %s %d kbit/s: %.2f LUFS, %.2f dBTP", rate, channels, r.Codec, r.Kbps, r.LUFS, r.TruePeak)
				}
			}
		}
	}
}
