package feature

import "math"

// normaliseItem is what the training scripts call cmvn: (x - mean per channel) /
// (standard deviation of all of x + 0.001).
func normaliseItem(x []float32, mels int) {
	frames := len(x) / mels
	if frames == 0 {
		return
	}
	mean := channelMeans(x, mels)
	var sum, squares float64
	for _, m := range mean {
		sum += m
	}
	all := sum / float64(mels)
	for _, v := range x {
		d := float64(v) - all
		squares += d * d
	}
	scale := 1 / (math.Sqrt(squares/float64(frames*mels)) + 1e-3)
	for i := range frames {
		row := x[i*mels : (i+1)*mels]
		for c := range row {
			row[c] = float32((float64(row[c]) - mean[c]) * scale)
		}
	}
}

// normaliseChannels is NeMo's per_feature: in each channel, (x - mean) /
// (unbiased standard deviation + 1e-5). A lone frame becomes zeros.
func normaliseChannels(x []float32, mels int) {
	frames := len(x) / mels
	if frames == 0 {
		return
	}
	mean, scale := channelMeans(x, mels), make([]float64, mels)
	for i := range frames {
		for c, v := range x[i*mels : (i+1)*mels] {
			d := float64(v) - mean[c]
			scale[c] += d * d
		}
	}
	for c := range scale {
		scale[c] = 1 / (math.Sqrt(scale[c]/float64(max(1, frames-1))) + 1e-5)
	}
	for i := range frames {
		row := x[i*mels : (i+1)*mels]
		for c := range row {
			row[c] = float32((float64(row[c]) - mean[c]) * scale[c])
		}
	}
}

func channelMeans(x []float32, mels int) []float64 {
	mean := make([]float64, mels)
	frames := len(x) / mels
	for i := range frames {
		for c, v := range x[i*mels : (i+1)*mels] {
			mean[c] += float64(v)
		}
	}
	for c := range mean {
		mean[c] /= float64(frames)
	}
	return mean
}
