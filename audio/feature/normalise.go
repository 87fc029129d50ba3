package feature

// #cgo noescape earshot_highest
// #cgo nocallback earshot_highest
// #cgo noescape earshot_raise
// #cgo nocallback earshot_raise
// #cgo noescape earshot_sums
// #cgo nocallback earshot_sums
// #cgo noescape earshot_scale
// #cgo nocallback earshot_scale
// #include "level.h"
import "C"

import "math"

// whisperRange is the last step of Whisper's front end: nothing lies more than
// 8 below the item's highest value (80 dB), then (x+4)/4.
func whisperRange(logmel []float32) { raise(logmel, highest(logmel)-8, 4, 0.25) }

// limitDecibels is torchaudio's AmplitudeToDB(top_db=120): nothing lies more
// than 120 dB below the item's highest value.
func limitDecibels(logmel []float32) { raise(logmel, highest(logmel)-120, 0, 1) }

// highest is the highest of x that is a number.
func highest(x []float32) float32 {
	if len(x) == 0 {
		return float32(math.Inf(-1))
	}
	return float32(C.earshot_highest((*C.float)(&x[0]), C.int64_t(len(x))))
}

// raise raises what is below floor to it, then makes (x + add)·factor.
func raise(x []float32, floor, add, factor float32) {
	if len(x) > 0 {
		C.earshot_raise((*C.float)(&x[0]), C.int64_t(len(x)), C.float(floor), C.float(add), C.float(factor))
	}
}

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
	scale := make([]float64, mels)
	for c := range scale {
		scale[c] = 1 / (math.Sqrt(squares/float64(frames*mels)) + 1e-3)
	}
	scaleChannels(x, mean, scale)
}

// normaliseChannels is NeMo's per_feature: in each channel, (x - mean) /
// (unbiased standard deviation + 1e-5). A lone frame becomes zeros.
func normaliseChannels(x []float32, mels int) {
	frames := len(x) / mels
	if frames == 0 {
		return
	}
	mean, scale := channelMeans(x, mels), make([]float64, mels)
	C.earshot_sums((*C.float)(&x[0]), C.int64_t(frames), C.int(mels), (*C.double)(&mean[0]), (*C.double)(&scale[0]))
	for c := range scale {
		scale[c] = 1 / (math.Sqrt(scale[c]/float64(max(1, frames-1))) + 1e-5)
	}
	scaleChannels(x, mean, scale)
}

// channelMeans are of at least one frame.
func channelMeans(x []float32, mels int) []float64 {
	mean := make([]float64, mels)
	frames := len(x) / mels
	C.earshot_sums((*C.float)(&x[0]), C.int64_t(frames), C.int(mels), nil, (*C.double)(&mean[0]))
	for c := range mean {
		mean[c] /= float64(frames)
	}
	return mean
}

func scaleChannels(x []float32, mean, scale []float64) {
	mels := len(mean)
	C.earshot_scale((*C.float)(&x[0]), C.int64_t(len(x)/mels), C.int(mels), (*C.double)(&mean[0]), (*C.double)(&scale[0]))
}
