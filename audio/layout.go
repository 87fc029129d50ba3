package audio

// A channelRole says what a channel is for, by the number of channels and the
// usual order of the WAVE format.
type channelRole uint8

const (
	front channelRole = iota
	centre
	lowFrequency
	surround
)

func channelRoles(channels int) []channelRole {
	switch channels {
	case 1, 2:
		return []channelRole{front, front}[:channels]
	case 3:
		return []channelRole{front, front, centre}
	case 4:
		return []channelRole{front, front, surround, surround}
	case 5:
		return []channelRole{front, front, centre, surround, surround}
	case 6:
		return []channelRole{front, front, centre, lowFrequency, surround, surround}
	case 8:
		return []channelRole{front, front, centre, lowFrequency, surround, surround, surround, surround}
	}
	return make([]channelRole, channels)
}

// loudnessWeight is G of ITU-R BS.1770-4, table 3.
func (r channelRole) loudnessWeight() float64 {
	switch r {
	case lowFrequency:
		return 0
	case surround:
		return 1.41
	}
	return 1
}

// monoWeight follows ITU-R BS.775: the centre and the surrounds 3 dB below the
// fronts of a stereo pair, no LFE.
func (r channelRole) monoWeight() float32 {
	switch r {
	case lowFrequency:
		return 0
	case centre:
		return 1.4142135
	case surround:
		return 0.70710677
	}
	return 1
}

// Downmix turns interleaved audio into one channel: the mean of a stereo pair;
// with more channels the weights of ITU-R BS.775, scaled so that it cannot
// overshoot. It belongs to one goroutine.
type Downmix struct {
	weights []float32
}

// NewDownmix makes the mix for a number of channels.
func NewDownmix(channels int) *Downmix {
	d := &Downmix{weights: make([]float32, channels)}
	var sum float32
	for i, role := range channelRoles(channels) {
		d.weights[i] = role.monoWeight()
		sum += d.weights[i]
	}
	for i := range d.weights {
		d.weights[i] /= sum
	}
	return d
}

// Append appends the mono samples of whole frames of interleaved audio to dst.
func (d *Downmix) Append(dst, interleaved []float32) []float32 {
	switch n := len(d.weights); n {
	case 1:
		return append(dst, interleaved...)
	case 2:
		for i := 0; i+1 < len(interleaved); i += 2 {
			dst = append(dst, 0.5*(interleaved[i]+interleaved[i+1]))
		}
	default:
		for ; len(interleaved) >= n; interleaved = interleaved[n:] {
			var sum float32
			for c, w := range d.weights {
				sum += float32(w * interleaved[c])
			}
			dst = append(dst, sum)
		}
	}
	return dst
}
