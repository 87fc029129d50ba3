package audio

import "math"

// Floors of what the meters report: BS.1770's absolute gate, and a true peak
// that no 16-bit recording can come near.
const (
	FloorLUFS = -70.0
	FloorDBTP = -100.0
)

// Loudness is what a Meter heard.
type Loudness struct {
	// IntegratedLUFS is the gated loudness of the whole, by ITU-R BS.1770-4;
	// FloorLUFS when no block passes the absolute gate.
	IntegratedLUFS float64
	// TruePeakDBTP is the highest level between the samples of any channel, by
	// ITU-R BS.1770-4 annex 2; FloorDBTP at the least.
	TruePeakDBTP float64
	// ShortTermLUFS has one value for each whole or begun second i: the ungated
	// loudness of [i-1, i+2) s, as far as there is audio; FloorLUFS at the
	// least.
	ShortTermLUFS []float64
}

// Meter measures loudness and true peak of audio that arrives in chunks, at its
// own rate and channels. It keeps eight bytes for each 100 ms. It belongs to
// one goroutine.
type Meter struct {
	rate, channels int
	weights        []float64
	filters        []kFilter
	peak           *peakMeter

	frames int64
	next   int64     // the frame that begins the next step
	sum    float64   // weighted energy of the step begun
	steps  []float64 // weighted energy of each 100 ms, one after the other
	starts func(step int) int64
}

// NewMeter makes a meter for a rate in Hz and a number of channels (both
// positive).
func NewMeter(rate, channels int) *Meter {
	m := &Meter{
		rate: rate, channels: channels,
		weights: make([]float64, channels),
		filters: make([]kFilter, channels),
		peak:    newPeakMeter(channels),
		starts:  func(step int) int64 { return int64(step) * int64(rate) / 10 },
	}
	for i, role := range channelRoles(channels) {
		m.weights[i] = role.loudnessWeight()
		m.filters[i] = newKFilter(float64(rate))
	}
	m.next = m.starts(1)
	return m
}

// Write takes whole frames of interleaved audio, [frames, channels].
func (m *Meter) Write(interleaved []float32) {
	m.peak.write(interleaved)
	for len(interleaved) >= m.channels {
		n := int(min(int64(len(interleaved)/m.channels), m.next-m.frames))
		m.sum += m.energy(interleaved[:n*m.channels])
		interleaved = interleaved[n*m.channels:]
		m.frames += int64(n)
		if m.frames == m.next {
			m.steps = append(m.steps, m.sum)
			m.sum = 0
			m.next = m.starts(len(m.steps) + 1)
		}
	}
}

// energy filters frames and returns the weighted sum of squares.
func (m *Meter) energy(interleaved []float32) float64 {
	if m.channels == 2 {
		return kEnergyStereo(&m.filters[0], &m.filters[1], interleaved)
	}
	var sum float64
	for c := range m.channels {
		sum += m.weights[c] * m.filters[c].energy(interleaved[c:], m.channels)
	}
	return sum
}

// Loudness reports on all that was written until now.
func (m *Meter) Loudness() Loudness {
	return Loudness{
		IntegratedLUFS: max(FloorLUFS, m.integrated()),
		TruePeakDBTP:   max(FloorDBTP, 20*math.Log10(m.peak.peak())),
		ShortTermLUFS:  m.shortTerm(),
	}
}

// integrated is the loudness with both gates of BS.1770-4: blocks of 400 ms, of
// which each shares 300 ms with the one before. Audio shorter than a block is
// one block.
func (m *Meter) integrated() float64 {
	var blocks []float64
	if len(m.steps) < 4 {
		var sum float64
		for _, s := range m.steps {
			sum += s
		}
		if m.frames == 0 {
			return math.Inf(-1)
		}
		blocks = []float64{(sum + m.sum) / float64(m.frames)}
	} else {
		blocks = make([]float64, len(m.steps)-3)
		for i := range blocks {
			sum := m.steps[i] + m.steps[i+1] + m.steps[i+2] + m.steps[i+3]
			blocks[i] = sum / float64(m.starts(i+4)-m.starts(i))
		}
	}
	absolute := power(FloorLUFS)
	relative := meanAbove(blocks, absolute) / 10 // 10 LU below
	return lufs(meanAbove(blocks, max(absolute, relative)))
}

func (m *Meter) shortTerm() []float64 {
	seconds := int((m.frames + int64(m.rate) - 1) / int64(m.rate))
	out := make([]float64, seconds)
	for i := range out {
		from, to := max(0, 10*(i-1)), min(10*(i+2), len(m.steps))
		var sum float64
		for _, s := range m.steps[min(from, to):to] {
			sum += s
		}
		length := m.starts(to) - m.starts(min(from, to))
		if to == len(m.steps) {
			sum += m.sum
			length += m.frames - m.starts(len(m.steps))
		}
		out[i] = max(FloorLUFS, lufs(sum/float64(max(1, length))))
	}
	return out
}

func lufs(meanSquare float64) float64 { return -0.691 + 10*math.Log10(meanSquare) }

func power(lufs float64) float64 { return math.Pow(10, (lufs+0.691)/10) }

func meanAbove(blocks []float64, gate float64) float64 {
	var sum float64
	var n int
	for _, b := range blocks {
		if b > gate {
			sum += b
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
