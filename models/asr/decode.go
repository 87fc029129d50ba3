package asr

import (
	"cmp"
	"math"
	"slices"
)

// search is what the beam search knows of the language. It never changes and
// serves any number of decoders.
type search struct {
	tree    *tree
	grammar *ngram
	options searchOptions
}

type searchOptions struct {
	beam       int
	threshold  float32 // hypotheses this far below the best are dropped
	lmWeight   float32 // of the grammar's natural log-probabilities
	wordScore  float32 // added for every word
	pauseSteps int     // so many blank steps may end a sentence; 0: only the piece's end does
}

// heard is a word in a piece: steps [start, end), and how sure the network was
// of its phones.
type heard struct {
	word       int32 // index into the lexicon
	start, end int32
	confidence float64 // geometric mean of its phones' probabilities
}

// hypothesis is one way to have heard the piece up to a step, with all that
// decides how it may go on.
type hypothesis struct {
	score  float32
	lm     int32   // the grammar's state
	node   int32   // in the tree; 0 between words
	trace  int32   // its last finished word in decoder.traces, -1: none
	word   int32   // the word that the last label finished and that has no trace yet, -1: none
	start  int32   // step of the first phone of the word under way
	sum    float32 // of the word's phones' log-probabilities, each at its best step
	last   float32 // the last phone's share of sum
	phones int16
	label  uint8 // the last label: 0 blank
}

func (h *hypothesis) key() uint64 { return uint64(h.lm)<<32 | uint64(h.node)<<8 | uint64(h.label) }

// trace is a finished word, and the one before it.
type trace struct {
	before     int32
	word       int32
	start, end int32
	confidence float32
}

// decoder holds the memory of one search. It is reused from piece to piece and
// belongs to one goroutine at a time.
type decoder struct {
	beam, next []hypothesis
	traces     []trace
	scores     []float32

	// An open-addressing table from a hypothesis's key to its place in next.
	slots      []int32
	stamps     []uint32
	generation uint32
}

func newDecoder() *decoder {
	return &decoder{slots: make([]int32, 1<<14), stamps: make([]uint32, 1<<14)}
}

// decode finds the likeliest words: the best path, over all word sequences of
// the lexicon and all their CTC alignments (Graves et al. 2006), of the
// network's log-probability + lmWeight · the grammar's + wordScore per word.
// The beam keeps the best options.beam hypotheses of a step.
// logp: [steps, classes], natural logarithms, class 0 the blank.
func (d *decoder) decode(s *search, logp []float32, classes int) []heard {
	d.traces = d.traces[:0]
	d.beam = append(d.beam[:0], hypothesis{lm: wordStart, trace: -1, word: -1})
	blanks := 0
	for step := int32(0); int(step) < len(logp)/classes; step++ {
		row := logp[int(step)*classes:][:classes]
		if row[0] > -.1 {
			blanks++
		} else {
			blanks = 0
		}
		pause := s.options.pauseSteps > 0 && blanks >= s.options.pauseSteps
		d.expand(s, row, step, pause)
		d.prune(&s.options, step)
	}
	return d.best(s)
}

// expand fills next with what each hypothesis becomes when it hears row.
func (d *decoder) expand(s *search, row []float32, step int32, pause bool) {
	d.clear()
	o, t := &s.options, s.tree
	top := slices.Max(row)
	floor := float32(math.Inf(-1))
	for i := range d.beam {
		floor = max(floor, d.beam[i].score)
	}
	floor += top - o.threshold
	for i := range d.beam {
		h := &d.beam[i]
		if n := *h; n.score+row[0] >= floor {
			n.label = 0
			n.score += row[0]
			d.add(&n)
			if pause && n.node == 0 && n.lm != wordStart {
				end, _ := s.grammar.score(n.lm, wordEnd)
				n.score += o.lmWeight * end
				n.lm = wordStart
				d.add(&n)
			}
		}
		if n := *h; n.label != 0 && n.score+row[n.label] >= floor {
			p := row[n.label]
			n.score += p
			if n.node != 0 && p > n.last {
				n.sum += p - n.last
				n.last = p
			}
			d.add(&n)
		}
		for c := t.firstChild[h.node]; c < t.firstChild[h.node+1]; c++ {
			phone := t.phone[c]
			score := h.score + row[phone] + o.lmWeight*(t.best[c]-t.best[h.node])
			if score < floor || phone == h.label { // a phone twice needs a blank between
				continue
			}
			n := *h
			n.score, n.node, n.label, n.last = score, c, phone, row[phone]
			if h.node == 0 {
				n.start, n.sum, n.phones = step, 0, 0
			}
			n.sum += row[phone]
			n.phones++
			if t.firstChild[c] < t.firstChild[c+1] {
				d.add(&n)
			}
			n.node = 0
			for _, word := range t.words[t.firstWord[c]:t.firstWord[c+1]] {
				says, lm := s.grammar.score(h.lm, word)
				n.lm, n.word = lm, word-firstWord
				n.score = score + o.lmWeight*(says-t.best[c]) + o.wordScore
				d.add(&n)
			}
		}
	}
}

// add puts n into next, where of hypotheses with one future the best stays.
func (d *decoder) add(n *hypothesis) {
	key := n.key()
	mask := uint64(len(d.slots) - 1)
	at := (key * 0x9e3779b97f4a7c15) >> 20 & mask
	for d.stamps[at] == d.generation {
		other := &d.next[d.slots[at]]
		if other.key() == key {
			if n.score > other.score {
				*other = *n
			}
			return
		}
		at = (at + 1) & mask
	}
	d.stamps[at], d.slots[at] = d.generation, int32(len(d.next))
	d.next = append(d.next, *n)
	if 2*len(d.next) > len(d.slots) {
		d.grow()
	}
}

func (d *decoder) clear() {
	d.next = d.next[:0]
	d.generation++
	if d.generation == 0 { // the stamps of 2^32 steps ago would count again
		clear(d.stamps)
		d.generation = 1
	}
}

func (d *decoder) grow() {
	d.slots, d.stamps = make([]int32, 2*len(d.slots)), make([]uint32, 2*len(d.slots))
	d.generation = 1
	mask := uint64(len(d.slots) - 1)
	for i := range d.next {
		at := (d.next[i].key() * 0x9e3779b97f4a7c15) >> 20 & mask
		for d.stamps[at] == d.generation {
			at = (at + 1) & mask
		}
		d.stamps[at], d.slots[at] = d.generation, int32(i)
	}
}

// prune makes the best of next the new beam, and gives the words they finished
// their traces.
func (d *decoder) prune(o *searchOptions, step int32) {
	best := float32(math.Inf(-1))
	d.scores = d.scores[:0]
	for i := range d.next {
		best = max(best, d.next[i].score)
		d.scores = append(d.scores, d.next[i].score)
	}
	least := best - o.threshold
	if len(d.scores) > o.beam {
		least = max(least, nthLargest(d.scores, o.beam-1))
	}
	d.beam = d.beam[:0]
	for i := range d.next {
		n := &d.next[i]
		if n.score < least {
			continue
		}
		if n.word >= 0 {
			d.traces = append(d.traces, trace{
				before: n.trace, word: n.word, start: n.start, end: step + 1,
				confidence: n.sum / float32(n.phones),
			})
			n.trace, n.word = int32(len(d.traces)-1), -1
		}
		d.beam = append(d.beam, *n)
	}
}

// best ends the search: the likeliest hypothesis that is between words, with
// the grammar's word for the end; if every hypothesis is within a word, the
// words before it.
func (d *decoder) best(s *search) []heard {
	trace, top, whole := int32(-1), float32(math.Inf(-1)), false
	for i := range d.beam {
		h := &d.beam[i]
		score := h.score
		if h.node == 0 && h.lm != wordStart {
			end, _ := s.grammar.score(h.lm, wordEnd)
			score += s.options.lmWeight * end
		}
		if between := h.node == 0; between && !whole || between == whole && score > top {
			trace, top, whole = h.trace, score, between
		}
	}
	var words []heard
	for ; trace >= 0; trace = d.traces[trace].before {
		w := &d.traces[trace]
		words = append(words, heard{w.word, w.start, w.end, math.Exp(float64(w.confidence))})
	}
	slices.Reverse(words)
	return words
}

// nthLargest returns the value that n others in a exceed or equal; it reorders
// a (Hoare's selection).
func nthLargest(a []float32, n int) float32 {
	for low, high := 0, len(a)-1; ; {
		if low >= high {
			return a[n]
		}
		pivot := median(a[low], a[(low+high)/2], a[high])
		i, j := low, high
		for i <= j {
			for a[i] > pivot {
				i++
			}
			for a[j] < pivot {
				j--
			}
			if i <= j {
				a[i], a[j] = a[j], a[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			high = j
		case n >= i:
			low = i
		default:
			return a[n]
		}
	}
}

func median[T cmp.Ordered](a, b, c T) T { return max(min(a, b), min(max(a, b), c)) }
