package feature

import "slices"

// whisperFrames is how many frames Whisper hears at once: 30 s.
const whisperFrames = 3000

// Streams tells whether a frame depends on its own samples alone, so that the
// frames of a recording may be computed in pieces.
func (c Config) Streams() bool { return c.Kind == KindLogMel }

// resolved fills in what a kind sets.
func (c Config) resolved() Config {
	preset, ok := presets[c.Kind]
	if !ok {
		return c
	}
	preset.Mels = c.Mels
	if c.Pad != "" {
		preset.Pad = c.Pad
	}
	return preset
}

// presets are the front ends that models were published with; Mels is the
// model's.
var presets = map[string]Config{
	KindWhisper: {
		Kind: KindWhisper, SampleRate: 16000, FFT: 400, Window: 400, Hop: 160,
		MaxHz: 8000, Scale: "slaney", Floor: 1e-10, Normalise: NormaliseNone, Pad: PadReflect,
	},
	KindNeMo: {
		Kind: KindNeMo, SampleRate: 16000, FFT: 512, Window: 400, Hop: 160,
		MaxHz: 8000, Scale: "slaney", Floor: 0x1p-24, Normalise: NormaliseNone, Pad: PadConstant,
	},
	KindCED: {
		Kind: KindCED, SampleRate: 16000, FFT: 512, Window: 512, Hop: 160,
		MaxHz: 8000, Scale: "htk", Floor: 1e-10, Normalise: NormaliseNone, Pad: PadReflect,
	},
}

// centredFrames is how many frames a preset makes of so many samples.
func (c Config) centredFrames(samples int) int {
	switch {
	case c.Kind == KindWhisper:
		return max(whisperFrames, samples/c.Hop)
	case samples == 0:
		return 0
	case c.Kind == KindNeMo && c.Pad == PadConstant:
		return samples / c.Hop
	}
	return 1 + samples/c.Hop
}

// appendCentred appends the frames whose windows are centred on multiples of
// the hop, the item padded at both ends.
func (f *FrontEnd) appendCentred(logmel, samples []float32) []float32 {
	c := &f.config
	frames := c.Frames(len(samples))
	if frames == 0 {
		return logmel
	}
	length := len(samples)
	if c.Kind == KindWhisper {
		length = max(length, whisperFrames*c.Hop)
	}
	w := f.scratch.Get().(*workspace)
	defer f.scratch.Put(w)
	half := c.Window / 2
	padded := slices.Grow(w.padded[:0], length+2*half)[:length+2*half]
	w.padded = padded
	inside := padded[half : half+length]
	if c.Kind == KindNeMo {
		emphasise(inside, samples)
	} else {
		copy(inside, samples)
	}
	clear(padded[:half])
	clear(padded[half+len(samples):])
	if c.Pad == PadReflect {
		reflect(padded, half)
	}
	return f.append(logmel, padded, frames, w)
}

// emphasise writes NeMo's pre-emphasis, x[i] - 0.97·x[i-1]; the first sample stays.
func emphasise(out, x []float32) {
	var before float32
	for i, v := range x[:len(out)] {
		out[i] = v - float32(0.97*before)
		before = v
	}
}

// reflect mirrors what lies inside the margins into them, the outermost sample
// not repeated; what is shorter than a margin swings to and fro, as numpy's pad.
func reflect(padded []float32, margin int) {
	inside := padded[margin : len(padded)-margin]
	period := max(1, 2*(len(inside)-1))
	at := func(i int) float32 {
		i %= period
		if i < 0 {
			i += period
		}
		return inside[min(i, period-i)]
	}
	if len(inside) == 1 {
		at = func(int) float32 { return inside[0] }
	}
	for i := range margin {
		padded[i] = at(i - margin)
		padded[margin+len(inside)+i] = at(len(inside) + i)
	}
}
