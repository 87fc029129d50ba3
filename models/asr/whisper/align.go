package whisper

import (
	"fmt"
	"math"
	"slices"
)

// timedWord is a word with its place in the window, in seconds.
type timedWord struct {
	text        string // with the space before it
	tokens      []int
	start, end  float64
	probability float64
}

// medianWidth is the width, in the encoder's frames, of the filter over the
// attention (timing.py).
const medianWidth = 7

// align times the words of a transcript by where the decoder attends in the
// audio while it says each token: one more run over the whole text, then
// dynamic time warping (openai-whisper, timing.py, find_alignment).
func (l *loop) align(a *attempt, h Heard) ([]timedWord, error) {
	kept, _, _ := cutSegments(l.words, &h, 0, 0, !a.item.Seeks)
	var text []int
	for _, s := range kept {
		for _, t := range s.tokens {
			if t < l.words.eot {
				text = append(text, t)
			}
		}
	}
	if len(text) == 0 {
		return []timedWord{}, nil
	}
	start, err := l.words.start(a.item.Language, l.params.Task)
	if err != nil {
		return nil, err
	}
	tokens := slices.Concat(start, []int{l.words.noStamps}, text, []int{l.words.eot})
	if len(tokens) > l.words.context {
		return nil, fmt.Errorf("whisper: %d tokens to align, and the decoder has positions for %d", len(tokens), l.words.context)
	}
	ids := make([]int64, len(tokens))
	for i, t := range tokens {
		ids[i] = int64(t)
	}
	o, err := l.decoder.open(l.ctx, l.sessions, [][]int64{ids}, a.heard)
	if err != nil {
		return nil, err
	}
	logits := o.logits.row(0)
	size := len(logits) / len(tokens)
	probabilities := make([]float64, len(text))
	for i, t := range text {
		probabilities[i] = softmax(logits[(len(start)+i)*size:][:l.words.eot])[t]
	}
	heads := l.alignmentHeads(o.cross)
	if len(heads) == 0 {
		return nil, fmt.Errorf("whisper: %s: alignment_heads: none of %v is in the graph's cross-attentions", generationFile, l.words.alignment)
	}
	frames := min(max(a.item.Frames, 0)/stampFrames, int(a.heard.shape[1]))
	if frames == 0 {
		return []timedWord{}, nil
	}
	matrix := attention(heads, len(tokens), int(a.heard.shape[1]), frames)
	// Rows from the token before the text to the text's last.
	matrix = matrix[len(start)*frames : (len(tokens)-1)*frames]
	jumps := warp(matrix, len(text)+1, frames)
	words := splitWords(l.words, a.item.Language, text)
	at := 0
	for i := range words {
		w := &words[i]
		from, to := at, at+len(w.tokens)
		w.start, w.end = float64(jumps[from])*stampSeconds, float64(jumps[to])*stampSeconds
		for _, p := range probabilities[from:to] {
			w.probability += p
		}
		w.probability /= float64(to - from)
		at = to
	}
	return words, nil
}

// alignmentHeads picks the heads that follow the audio: those that the model's
// publisher names, else all of the later half of the layers. Each: [tokens, 1500].
func (l *loop) alignmentHeads(cross []block) [][]float32 {
	var heads [][]float32
	add := func(layer, head int) {
		if layer < 0 || layer >= len(cross) || head < 0 || head >= int(cross[layer].shape[1]) {
			return
		}
		size := len(cross[layer].data) / int(cross[layer].shape[1])
		heads = append(heads, cross[layer].data[head*size:(head+1)*size])
	}
	for _, h := range l.words.alignment {
		add(h[0], h[1])
	}
	if len(l.words.alignment) > 0 {
		return heads
	}
	for layer := len(cross) / 2; layer < len(cross); layer++ {
		for head := range int(cross[layer].shape[1]) {
			add(layer, head)
		}
	}
	return heads
}

// attention averages heads after each is cut to the frames of audio,
// normalised over the tokens, and smoothed by a median over the frames:
// [tokens, frames].
func attention(heads [][]float32, tokens, all, frames int) []float32 {
	sum := make([]float32, tokens*frames)
	weights := make([]float64, tokens*frames)
	smooth := make([]float32, frames)
	for _, head := range heads {
		for t := range tokens {
			// The graph's softmax went over all frames: without those beyond
			// the audio it is the same up to its sum, of which single precision
			// may leave nothing.
			row, total := head[t*all:][:frames], 0.0
			for _, w := range row {
				total += float64(w)
			}
			for f, w := range row {
				weights[t*frames+f] = float64(w) / max(total, math.SmallestNonzeroFloat32)
			}
		}
		for f := range frames {
			mean, squares := 0.0, 0.0
			for t := range tokens {
				mean += weights[t*frames+f]
			}
			mean /= float64(tokens)
			for t := range tokens {
				d := weights[t*frames+f] - mean
				squares += d * d
			}
			deviation := math.Sqrt(squares / float64(tokens))
			for t := range tokens {
				weights[t*frames+f] = (weights[t*frames+f] - mean) / max(deviation, math.SmallestNonzeroFloat32)
			}
		}
		for t := range tokens {
			median(smooth, weights[t*frames:(t+1)*frames])
			for f, w := range smooth {
				sum[t*frames+f] += w / float32(len(heads))
			}
		}
	}
	return sum
}

// median filters x over medianWidth frames, mirrored at its ends.
func median(out []float32, x []float64) {
	const half = medianWidth / 2
	if len(x) <= half {
		for i, v := range x {
			out[i] = float32(v)
		}
		return
	}
	var w [medianWidth]float64
	for i := range x {
		for j := range w {
			k := i + j - half
			if k < 0 {
				k = -k
			} else if k >= len(x) {
				k = 2*(len(x)-1) - k
			}
			w[j] = x[k]
		}
		slices.Sort(w[:])
		out[i] = float32(w[half])
	}
}

// warp finds the path through [rows, frames] that never goes back and gathers
// the most attention, and gives the frame at which it enters each row. Costs
// are single precision and ties are broken as in the reference's dtw_cpu, so
// that the path is the same.
func warp(attention []float32, rows, frames int) []int {
	const diagonal, up, left = 0, 1, 2
	width := frames + 1
	cost := make([]float32, (rows+1)*width)
	trace := make([]uint8, (rows+1)*width)
	for i := range cost {
		cost[i] = float32(math.Inf(1))
	}
	cost[0] = 0
	for j := 1; j <= frames; j++ {
		for i := 1; i <= rows; i++ {
			c0, c1, c2 := cost[(i-1)*width+j-1], cost[(i-1)*width+j], cost[i*width+j-1]
			c, t := c2, uint8(left)
			if c0 < c1 && c0 < c2 {
				c, t = c0, diagonal
			} else if c1 < c0 && c1 < c2 {
				c, t = c1, up
			}
			cost[i*width+j] = float32(float64(-attention[(i-1)*frames+j-1]) + float64(c))
			trace[i*width+j] = t
		}
	}
	for j := range width {
		trace[j] = left
	}
	for i := range rows + 1 {
		trace[i*width] = up
	}
	enters := make([]int, rows)
	for i, j := rows, frames; i > 0 || j > 0; {
		if i > 0 {
			enters[i-1] = j - 1 // the last one set is the first of the row's frames
		}
		switch trace[i*width+j] {
		case diagonal:
			i, j = i-1, j-1
		case up:
			i--
		default:
			j--
		}
	}
	return enters
}
