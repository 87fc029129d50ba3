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
	tokens     int     // so many of a step's likeliest labels may begin; 0: all
	threshold  float32 // hypotheses this far below the best are dropped
	lmWeight   float32 // of the grammar's natural log-probabilities
	wordScore  float32 // added for every word
	pauseSteps int     // so many blank steps may end a sentence; 0: only the piece's end does
	sum        bool    // all alignments of the same words count, not the likeliest alone
	blank      int32
	silence    int32   // the label that words may be apart by, besides the blank; noLabel: none
	silScore   float32 // added for every step of it
}

// noLabel is no class of any network.
const noLabel = -1

// heard is a word in a piece: steps [start, end), and how sure the network was
// of its labels.
type heard struct {
	word       int32 // index into the lexicon
	start, end int32
	confidence float64 // geometric mean of its labels' probabilities
}

// hypothesis is one way to have heard the piece up to a step, with all that
// decides how it may go on.
type hypothesis struct {
	score   float32
	peak    float32 // the likeliest of what was summed to score
	lm      int32   // the grammar's state
	node    int32   // in the tree; 0 between words
	trace   int32   // its last finished word in decoder.traces, -1: none
	word    int32   // the word that the last label finished and that has no trace yet, -1: none
	start   int32   // step of the first label of the word under way
	label   int32   // the last label
	sum     float32 // of the word's labels' log-probabilities, each at its best step
	last    float32 // the last label's share of sum
	labels  int16   // of the word under way
	history uint64  // of the words so far, where alignments are summed: a hash
}

// key is what hypotheses with one future have in common. Within a word the
// label is the blank or the node's.
func (h *hypothesis) key(s *search) (past, place uint64) {
	past = uint64(h.lm)
	if s.options.sum {
		past = h.history
	}
	switch {
	case h.node == 0:
		return past, uint64(uint32(h.label))<<2 | 2
	case h.label == s.options.blank:
		return past, uint64(h.node)<<2 | 1
	}
	return past, uint64(h.node) << 2
}

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
	ranked     []float32

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
// network's log-probability + lmWeight · the grammar's + wordScore per word;
// with options.sum over all word sequences alone, their alignments summed
// (prefix beam search, Hannun et al. 2014).
// The beam keeps the best options.beam hypotheses of a step.
// logp: [steps, classes], natural logarithms.
func (d *decoder) decode(s *search, logp []float32, classes int) []heard {
	d.run(s, logp, classes)
	words, _ := d.bestOf(s)
	return words
}

// run takes the beam through all steps of logp.
func (d *decoder) run(s *search, logp []float32, classes int) {
	d.traces = d.traces[:0]
	d.beam = append(d.beam[:0], hypothesis{lm: wordStart, trace: -1, word: -1, label: s.options.blank})
	blanks := 0
	for step := int32(0); int(step) < len(logp)/classes; step++ {
		row := logp[int(step)*classes:][:classes]
		if row[s.options.blank] > -.1 {
			blanks++
		} else {
			blanks = 0
		}
		pause := s.options.pauseSteps > 0 && blanks >= s.options.pauseSteps
		d.expand(s, row, step, pause)
		d.prune(s, step)
	}
}

// expand fills next with what each hypothesis becomes when it hears row.
func (d *decoder) expand(s *search, row []float32, step int32, pause bool) {
	d.clear()
	o := &s.options
	least := d.leastLikely(o.tokens, row)
	floor := float32(math.Inf(-1))
	for i := range d.beam {
		floor = max(floor, d.beam[i].score)
	}
	floor += slices.Max(row) + max(0, o.silScore) - o.threshold
	for i := range d.beam {
		h := &d.beam[i]
		if n := *h; n.score+row[o.blank] >= floor {
			n.label = o.blank
			n.more(row[o.blank])
			d.add(s, &n)
			if pause && n.node == 0 && n.lm != wordStart {
				end, _ := s.grammar.score(n.lm, wordEnd)
				n.more(o.lmWeight * end)
				n.lm = wordStart
				d.add(s, &n)
			}
		}
		switch {
		case h.node == 0 && o.silence != noLabel:
			if n := *h; n.score+row[o.silence]+o.silScore >= floor {
				n.label = o.silence
				n.more(row[o.silence] + o.silScore)
				d.add(s, &n)
			}
		case h.label != o.blank && h.score+row[h.label] >= floor:
			n := *h
			p := row[n.label]
			n.more(p)
			if n.node != 0 && p > n.last {
				n.sum += p - n.last
				n.last = p
			}
			d.add(s, &n)
		}
		d.begin(s, h, row, step, floor, least)
	}
}

// more changes a hypothesis's score.
func (h *hypothesis) more(by float32) {
	h.score += by
	h.peak += by
}

// begin adds what h becomes by hearing a new label of row.
func (d *decoder) begin(s *search, h *hypothesis, row []float32, step int32, floor, least float32) {
	o, t := &s.options, s.tree
	for c := t.firstChild[h.node]; c < t.firstChild[h.node+1]; c++ {
		label := t.label[c]
		by := row[label] + o.lmWeight*(t.best[c]-t.best[h.node])
		if label == o.silence {
			by += o.silScore
		}
		// A label twice needs a blank between.
		if h.score+by < floor || label == h.label || row[label] < least {
			continue
		}
		n := *h
		n.more(by)
		n.node, n.label, n.last = c, label, row[label]
		if h.node == 0 {
			n.start, n.sum, n.labels = step, 0, 0
		}
		n.sum += row[label]
		n.labels++
		if t.firstChild[c] < t.firstChild[c+1] {
			d.add(s, &n)
		}
		n.node = 0
		score, peak := n.score, n.peak
		for _, word := range t.words[t.firstWord[c]:t.firstWord[c+1]] {
			says, lm := s.grammar.score(h.lm, s.tree.number[word])
			n.lm, n.word, n.score, n.peak = lm, word, score, peak
			n.more(o.lmWeight*(says-t.best[c]) + o.wordScore)
			if o.sum {
				n.history = (h.history ^ uint64(word+1)) * 0x9e3779b97f4a7c15
				n.history ^= n.history >> 29
			}
			d.add(s, &n)
		}
	}
}

// leastLikely is the probability from which a label is among a step's best.
func (d *decoder) leastLikely(tokens int, row []float32) float32 {
	if tokens == 0 || tokens >= len(row) {
		return float32(math.Inf(-1))
	}
	d.ranked = append(d.ranked[:0], row...)
	return nthLargest(d.ranked, tokens-1)
}

// add puts n into next. Hypotheses with one future become one: that of the best
// of them, with its score or with the sum of theirs.
func (d *decoder) add(s *search, n *hypothesis) {
	past, place := n.key(s)
	mask := uint64(len(d.slots) - 1)
	at := slot(past, place) & mask
	for d.stamps[at] == d.generation {
		other := &d.next[d.slots[at]]
		if p, q := other.key(s); p == past && q == place {
			total := max(other.score, n.score)
			if s.options.sum {
				total = logAdd(other.score, n.score)
			}
			if n.peak > other.peak {
				*other = *n
			}
			other.score = total
			return
		}
		at = (at + 1) & mask
	}
	d.stamps[at], d.slots[at] = d.generation, int32(len(d.next))
	d.next = append(d.next, *n)
	if 2*len(d.next) > len(d.slots) {
		d.grow(s)
	}
}

func slot(past, place uint64) uint64 {
	return (past*0xff51afd7ed558ccd ^ place) * 0x9e3779b97f4a7c15 >> 20
}

// logAdd is log(exp(a) + exp(b)).
func logAdd(a, b float32) float32 {
	return max(a, b) + float32(math.Log1p(math.Exp(-math.Abs(float64(a-b)))))
}

func (d *decoder) clear() {
	d.next = d.next[:0]
	d.generation++
	if d.generation == 0 { // the stamps of 2^32 steps ago would count again
		clear(d.stamps)
		d.generation = 1
	}
}

func (d *decoder) grow(s *search) {
	d.slots, d.stamps = make([]int32, 2*len(d.slots)), make([]uint32, 2*len(d.slots))
	d.generation = 1
	mask := uint64(len(d.slots) - 1)
	for i := range d.next {
		at := slot(d.next[i].key(s)) & mask
		for d.stamps[at] == d.generation {
			at = (at + 1) & mask
		}
		d.stamps[at], d.slots[at] = d.generation, int32(i)
	}
}

// prune makes the best of next the new beam, and gives the words they finished
// their traces.
func (d *decoder) prune(s *search, step int32) {
	o := &s.options
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
				confidence: n.sum / float32(n.labels),
			})
			n.trace, n.word = int32(len(d.traces)-1), -1
		}
		d.beam = append(d.beam, *n)
	}
}

// bestOf ends the search: the likeliest hypothesis that is between words, with
// the grammar's word for the end; if every hypothesis is within a word, the
// words before it; and its score.
func (d *decoder) bestOf(s *search) ([]heard, float32) {
	d.finish(s)
	trace, top := int32(-1), float32(math.Inf(-1))
	for i := range d.next {
		if h := &d.next[i]; h.score > top {
			trace, top = h.trace, h.score
		}
	}
	var words []heard
	for ; trace >= 0; trace = d.traces[trace].before {
		w := &d.traces[trace]
		words = append(words, heard{w.word, w.start, w.end, math.Exp(float64(w.confidence))})
	}
	slices.Reverse(words)
	return words, top
}

// finish fills next with the hypotheses that are between words, the grammar's
// word for the end added; with all, where none is.
func (d *decoder) finish(s *search) {
	d.clear()
	whole := slices.ContainsFunc(d.beam, func(h hypothesis) bool { return h.node == 0 })
	for i := range d.beam {
		n := d.beam[i]
		if whole && n.node != 0 {
			continue
		}
		// Where pauses end sentences, what begins after one may end too.
		if n.node == 0 && (n.lm != wordStart || s.options.pauseSteps == 0) {
			end, _ := s.grammar.score(n.lm, wordEnd)
			n.more(s.options.lmWeight * end)
		}
		n.label = s.options.blank
		d.add(s, &n)
	}
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
