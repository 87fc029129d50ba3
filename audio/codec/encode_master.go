package codec

import (
	"fmt"
	"math"
	"time"

	"github.com/earshot-fm/earshot/audio"
)

const (
	// maxGain is how far quiet sound is lifted, in dB: beyond it one hears the
	// recording's noise. What lies below silenceLUFS is left as it is.
	maxGain     = 30.0
	silenceLUFS = -60.0
	// codecRoom is what the first take leaves between its peaks and the limit,
	// in dB, for what a lossy codec adds to them.
	codecRoom = 1.0
	// loudnessSlack is how far a rendition may lie from the target, in LU,
	// before it is made again: half of what the promise allows.
	loudnessSlack = 0.5
)

// master is a preview's sound before it is levelled.
type master struct {
	rate, channels int
	samples        []float32 // interleaved, faded
	peaks          []float32 // by frame, see truePeaks
	lufs           float64
	options        LadderOptions
}

// take says how a master is levelled: to which loudness, under which ceiling.
type take struct {
	lufs    float64
	ceiling float64 // dBTP
}

// newMaster fits sound to what the codecs take, fades its ends and measures it.
func newMaster(pcm PCM, o LadderOptions) (*master, error) {
	if err := checkShape(pcm.Rate, pcm.Channels); err != nil {
		return nil, err
	}
	if len(pcm.Samples) == 0 || len(pcm.Samples)%pcm.Channels != 0 {
		return nil, fmt.Errorf("codec: a preview of %d samples in %d channels: no whole frames to encode", len(pcm.Samples), pcm.Channels)
	}
	samples, channels := foldToStereo(pcm.Samples, pcm.Channels)
	samples, rate, err := fitRate(samples, channels, pcm.Rate)
	if err != nil {
		return nil, err
	}
	fadeEnds(samples, channels, int(o.Fade*time.Duration(rate)/time.Second))
	m := &master{rate: rate, channels: channels, samples: samples, options: o}
	m.lufs = m.loudness(samples)
	m.peaks = truePeaks(samples, channels, float32(decibels(m.firstTake().ceiling-m.gain(o.TargetLUFS))))
	return m, nil
}

func (m *master) loudness(samples []float32) float64 {
	meter := audio.NewMeter(m.rate, m.channels)
	meter.Write(samples)
	return meter.Loudness().IntegratedLUFS
}

func (m *master) firstTake() take {
	return take{lufs: m.options.TargetLUFS, ceiling: m.options.PeakDBTP - codecRoom}
}

// gain is what brings the master to a loudness, in dB, within maxGain.
func (m *master) gain(lufs float64) float64 {
	if m.lufs < silenceLUFS {
		return min(0, lufs-m.lufs)
	}
	return min(maxGain, lufs-m.lufs)
}

// render levels the master: a gain, and the limiter where the gain lifts peaks
// over the ceiling. What the limiter takes from the loudness more gain gives
// back, in at most four steps.
func (m *master) render(t take) []float32 {
	gain := m.gain(t.lufs)
	out := make([]float32, len(m.samples))
	for step := 0; ; step++ {
		limited := applyGain(out, m.samples, m.peaks, m.channels, m.rate, gain, t.ceiling)
		if !limited || step == 4 || gain >= maxGain || m.lufs < silenceLUFS {
			return out
		}
		missing := t.lufs - m.loudness(out)
		if math.Abs(missing) < 0.1 {
			return out
		}
		gain = min(maxGain, gain+missing)
	}
}

// correct gives the take that a rendition should be made from instead: the same
// one if it is within the promise. From the third attempt on, the loudness
// yields as well.
func (m *master) correct(t take, r Rendition, attempt int) take {
	over := r.TruePeak - m.options.PeakDBTP
	if over > 0 {
		t.ceiling -= over + 0.1
		if attempt >= 2 {
			t.lufs -= over + 0.1
		}
		return t
	}
	missing := m.options.TargetLUFS - r.LUFS
	capped := m.lufs < silenceLUFS || m.gain(t.lufs) >= maxGain
	if attempt == 0 && !capped && math.Abs(missing) > loudnessSlack {
		t.lufs += missing
	}
	return t
}

func decibels(db float64) float64 { return math.Pow(10, db/20) }

// fadeEnds fades the first and the last frames along a quarter of a sine, whose
// square, the power, rises evenly; never more than a quarter of the whole.
func fadeEnds(samples []float32, channels, frames int) {
	total := len(samples) / channels
	frames = min(frames, total/4)
	for i := range frames {
		gain := float32(math.Sin(math.Pi / 2 * (float64(i) + 0.5) / float64(frames)))
		head, tail := samples[i*channels:(i+1)*channels], samples[(total-1-i)*channels:(total-i)*channels]
		for c := range channels {
			head[c] *= gain
			tail[c] *= gain
		}
	}
}

// fitRate resamples to the lowest of codecRates that is not below rate. It does
// not change its argument.
func fitRate(samples []float32, channels, rate int) ([]float32, int, error) {
	fit := codecRates[len(codecRates)-1]
	for _, r := range codecRates {
		if r >= rate {
			fit = r
			break
		}
	}
	if fit == rate {
		return append([]float32(nil), samples...), rate, nil
	}
	var out []float32
	one := make([]float32, len(samples)/channels)
	for c := range channels {
		r, err := audio.NewResampler(rate, fit)
		if err != nil {
			return nil, 0, fmt.Errorf("codec: a preview at %d Hz: %w", rate, err)
		}
		for i := range one {
			one[i] = samples[i*channels+c]
		}
		converted := r.Flush(r.Write(nil, one))
		if out == nil {
			out = make([]float32, len(converted)*channels)
		}
		for i, s := range converted {
			out[i*channels+c] = s
		}
	}
	return out, fit, nil
}

// stereoFold has, for each number of channels in the order of the WAVE format,
// what each gives to the left: ITU-R BS.775, table 2; the right is its mirror.
// A side is 1 for left, -1 for right, 0 for the middle.
var stereoFold = map[int][]foldedChannel{
	3: {{1, 1}, {-1, 1}, {0, half}},
	4: {{1, 1}, {-1, 1}, {1, half}, {-1, half}},
	5: {{1, 1}, {-1, 1}, {0, half}, {1, half}, {-1, half}},
	6: {{1, 1}, {-1, 1}, {0, half}, {0, 0}, {1, half}, {-1, half}},
	7: {{1, 1}, {-1, 1}, {0, half}, {0, 0}, {0, half}, {1, half}, {-1, half}},
	8: {{1, 1}, {-1, 1}, {0, half}, {0, 0}, {1, half}, {-1, half}, {1, half}, {-1, half}},
}

type foldedChannel struct {
	side   int
	weight float32
}

const half = 0.70710677 // of the power

// foldToStereo folds three channels and more; with an order that is not known
// each channel goes to both sides.
func foldToStereo(samples []float32, channels int) ([]float32, int) {
	if channels <= 2 {
		return samples, channels
	}
	fold := stereoFold[channels]
	if fold == nil {
		fold = make([]foldedChannel, channels)
		for c := range fold {
			fold[c] = foldedChannel{0, 1}
		}
	}
	out := make([]float32, len(samples)/channels*2)
	for i := range len(out) / 2 {
		for c, f := range fold {
			s := f.weight * samples[i*channels+c]
			if f.side >= 0 {
				out[2*i] += s
			}
			if f.side <= 0 {
				out[2*i+1] += s
			}
		}
	}
	return out, 2
}
