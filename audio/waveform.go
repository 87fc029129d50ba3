package audio

import "math"

// WaveformRate is how many points a waveform has for each second.
const WaveformRate = 20

// Waveform is the shape of a recording, for pictures: the highest magnitude of
// any channel in each twentieth of a second, 255 being full scale.
type Waveform struct {
	Peaks []uint8
}

// WaveformMeter draws the waveform of audio that arrives in chunks. It belongs
// to one goroutine.
type WaveformMeter struct {
	rate, channels int
	frames, next   int64
	highest        float32
	peaks          []uint8
}

// NewWaveformMeter makes one for a rate in Hz and a number of channels.
func NewWaveformMeter(rate, channels int) *WaveformMeter {
	return &WaveformMeter{rate: rate, channels: channels, next: int64(rate) / WaveformRate}
}

// Write takes whole frames of interleaved audio, [frames, channels].
func (w *WaveformMeter) Write(interleaved []float32) {
	for len(interleaved) >= w.channels {
		n := int(min(int64(len(interleaved)/w.channels), w.next-w.frames))
		w.highest = max(w.highest, absMax(interleaved[:n*w.channels]))
		interleaved = interleaved[n*w.channels:]
		w.frames += int64(n)
		if w.frames == w.next {
			w.peaks = append(w.peaks, quantise(w.highest))
			w.highest = 0
			w.next = int64(len(w.peaks)+1) * int64(w.rate) / WaveformRate
		}
	}
}

// Waveform reports on all that was written until now.
func (w *WaveformMeter) Waveform() Waveform {
	peaks := append([]uint8(nil), w.peaks...)
	if w.frames > int64(len(w.peaks))*int64(w.rate)/WaveformRate {
		peaks = append(peaks, quantise(w.highest))
	}
	return Waveform{Peaks: peaks}
}

func quantise(x float32) uint8 {
	return uint8(math.Round(255 * float64(min(1, max(0, x)))))
}
