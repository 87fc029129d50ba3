package audio

// truePeakPhases is the interpolation filter of ITU-R BS.1770-4, annex 2: four
// phases of twelve taps, for oversampling by four.
var truePeakPhases = [4][12]float32{
	{0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625, 0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500},
	{-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250, 0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375},
	{-0.0189208984375, 0.0330810546875, -0.0582275390625, 0.1015625000000, -0.2003173828125, 0.7797851562500, 0.4650878906250, -0.1665039062500, 0.0891113281250, -0.0517578125000, 0.0292968750000, -0.0291748046875},
	{-0.0083007812500, 0.0148925781250, -0.0266113281250, 0.0476074218750, -0.1022949218750, 0.9721679687500, 0.1373291015625, -0.0594482421875, 0.0332031250000, -0.0196533203125, 0.0109863281250, 0.0017089843750},
}

const (
	truePeakTaps  = 12
	truePeakBlock = 64 // frames looked at together
)

// truePeakGain bounds how far the filter can lift the highest sample it sees:
// the largest sum of magnitudes of a phase.
var truePeakGain = func() float32 {
	var most float32
	for _, phase := range truePeakPhases {
		var sum float32
		for _, h := range phase {
			sum += max(h, -h)
		}
		most = max(most, sum)
	}
	return most * 1.0001
}()

// peakMeter finds the true peak. Most blocks are too quiet to set a new one and
// cost a look at their highest sample.
type peakMeter struct {
	channels int
	highest  float32
	before   []float32 // the last taps-1 frames, interleaved
	top      float32   // the highest sample of the block before
	pending  []float32 // frames of a block not yet full
	window   []float32
}

func newPeakMeter(channels int) *peakMeter {
	return &peakMeter{
		channels: channels,
		before:   make([]float32, channels*(truePeakTaps-1)),
		pending:  make([]float32, 0, channels*truePeakBlock),
		window:   make([]float32, truePeakTaps-1+truePeakBlock),
	}
}

func (p *peakMeter) write(interleaved []float32) {
	size := p.channels * truePeakBlock
	for len(interleaved) > 0 {
		if len(p.pending) == 0 && len(interleaved) >= size {
			p.block(interleaved[:size])
			interleaved = interleaved[size:]
			continue
		}
		n := min(size-len(p.pending), len(interleaved))
		p.pending = append(p.pending, interleaved[:n]...)
		interleaved = interleaved[n:]
		if len(p.pending) == size {
			p.block(p.pending)
			p.pending = p.pending[:0]
		}
	}
}

// peak is the highest magnitude so far, with the frames still pending and what
// the filter has yet to give of them.
func (p *peakMeter) peak() float64 {
	rest := newPeakMeter(p.channels)
	rest.highest, rest.top = p.highest, p.top
	copy(rest.before, p.before)
	rest.write(p.pending)
	rest.write(make([]float32, p.channels*2*truePeakBlock))
	return float64(rest.highest)
}

// block looks at truePeakBlock frames.
func (p *peakMeter) block(interleaved []float32) {
	top := absMax(interleaved)
	p.highest = max(p.highest, top)
	if max(top, p.top)*truePeakGain > p.highest {
		for c := range p.channels {
			w := p.window[:0]
			for i := c; i < len(p.before); i += p.channels {
				w = append(w, p.before[i])
			}
			for i := c; i < len(interleaved); i += p.channels {
				w = append(w, interleaved[i])
			}
			p.highest = max(p.highest, interpolated(w))
		}
	}
	p.top = top
	copy(p.before, interleaved[len(interleaved)-len(p.before):])
}

// truePeakLanes is the filter as the vector form reads it: turned around, since
// convolution runs backwards over time, and each coefficient eight times.
var truePeakLanes = func() (lanes [truePeakTaps][4][8]float32) {
	for tap := range lanes {
		for phase := range lanes[tap] {
			for i := range lanes[tap][phase] {
				lanes[tap][phase][i] = truePeakPhases[phase][truePeakTaps-1-tap]
			}
		}
	}
	return lanes
}()

// interpolatedGeneric is the plain form of interpolated: the same operations in
// the same order, so the same bits.
func interpolatedGeneric(w []float32) float32 {
	var highest float32
	for ; len(w) >= truePeakTaps; w = w[1:] {
		x := (*[truePeakTaps]float32)(w)
		for i := range truePeakPhases {
			h := &truePeakPhases[i]
			var y float32
			for k, v := range x {
				y += float32(h[truePeakTaps-1-k] * v)
			}
			highest = max(highest, y, -y)
		}
	}
	return highest
}
