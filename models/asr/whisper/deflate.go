package whisper

import "slices"

// compressionRatio is how much zlib makes of a text (utils.py): text in a loop
// compresses far better than speech. The threshold on it was chosen with zlib
// at its default level, and compress/zlib makes texts this short up to a tenth
// longer: so deflatedBytes counts what zlib would write.
func compressionRatio(text string) float64 {
	return float64(len(text)) / float64(deflatedBytes([]byte(text)))
}

// zlib's configuration at level 6 (deflate.c, configuration_table).
const (
	goodMatch = 8   // from this length on, a quarter of the chain is searched for a better one
	lazyMatch = 16  // a match of this length is taken as it is
	niceMatch = 128 // the search ends at a match of this length
	maxChain  = 128

	minMatch = 3
	maxMatch = 258
	tooFar   = 4096 // a match of three bytes from further back costs more than it saves
	maxDist  = 1<<15 - maxMatch - minMatch - 1
)

// deflatedBytes is the length of zlib's stream (RFC 1950, 1951) for a text, as
// zlib 1.2 and 1.3 make it in one call at the default level: its lazy search,
// its Huffman trees with their ties, its choice of the block. text: shorter
// than the window of 32 KiB, so that it is one block.
func deflatedBytes(text []byte) int {
	literals, distances, extra := lazyMatches(text)
	literals[endBlock] = 1
	static := 3 + extra
	for symbol, n := range literals {
		static += n * staticLength(symbol)
	}
	for _, n := range distances {
		static += n * 5
	}
	literalLengths, literalBits := huffman(literals[:], 15)
	distanceLengths, distanceBits := huffman(distances[:], 15)
	dynamic := 3 + extra + literalBits + distanceBits + treeBits(literalLengths, distanceLengths)
	const header, checksum = 2, 4
	coded := (min(static, dynamic) + 7) / 8
	if stored := len(text) + 4; stored <= coded {
		return header + 1 + stored + checksum
	}
	return header + coded + checksum
}

const endBlock = 256

func staticLength(symbol int) int {
	switch {
	case symbol < 144:
		return 8
	case symbol < 256:
		return 9
	case symbol < 280:
		return 7
	}
	return 8
}

// lazyMatches counts the symbols of deflate.c's deflate_slow, and the extra
// bits that go with them.
func lazyMatches(text []byte) (literals [286]int, distances [30]int, extra int) {
	// The search looks past the end, where zlib's window holds zeros.
	window := append(slices.Clone(text), make([]byte, maxMatch+minMatch)...)
	head := make([]int, 1<<15)
	chain := make([]int, len(window))
	insert := func(at int) (before int) {
		h := (int(window[at])<<10 ^ int(window[at+1])<<5 ^ int(window[at+2])) & (1<<15 - 1)
		before = head[h]
		chain[at], head[h] = before, at
		return before
	}
	match := func(length, distance int) {
		symbol, bits := lengthSymbol(length)
		literals[symbol]++
		extra += bits
		symbol, bits = distanceSymbol(distance)
		distances[symbol]++
		extra += bits
	}
	length, start, pending := minMatch-1, 0, false
	for at := 0; at < len(text); {
		ahead := len(text) - at
		before := 0 // place 0 is zlib's NIL: what is there is never matched
		if ahead >= minMatch {
			before = insert(at)
		}
		lastLength, lastStart := length, start
		length = minMatch - 1
		if before != 0 && lastLength < lazyMatch && at-before <= maxDist {
			length, start = longestMatch(window, chain, at, before, lastLength, ahead, start)
			if length == minMatch && at-start > tooFar {
				length = minMatch - 1
			}
		}
		switch {
		case lastLength >= minMatch && length <= lastLength:
			match(lastLength, at-1-lastStart)
			for range lastLength - 2 {
				at++
				if at+minMatch <= len(text) {
					insert(at)
				}
			}
			pending, length = false, minMatch-1
			at++
		case pending:
			literals[window[at-1]]++
			at++
		default:
			pending = true
			at++
		}
	}
	if pending {
		literals[text[len(text)-1]]++
	}
	return literals, distances, extra
}

// longestMatch is deflate.c's longest_match: the longest of a chain's that is
// longer than best, else best itself.
func longestMatch(window []byte, chain []int, at, candidate, best, ahead, start int) (length, from int) {
	left, nice := maxChain, min(niceMatch, ahead)
	if best >= goodMatch {
		left /= 4
	}
	oldest := max(0, at-maxDist)
	for {
		n := 0
		for n < maxMatch && at+n < len(window) && window[candidate+n] == window[at+n] {
			n++
		}
		if n > best {
			best, start = n, candidate
			if n >= nice {
				break
			}
		}
		candidate = chain[candidate]
		left--
		if candidate <= oldest || left == 0 {
			break
		}
	}
	return min(best, ahead), start
}

// lengthSymbol gives a match length's symbol and its extra bits (RFC 1951,
// 3.2.5).
func lengthSymbol(length int) (symbol, bits int) {
	if length == maxMatch {
		return 285, 0
	}
	n := length - minMatch
	if n < 8 {
		return 257 + n, 0
	}
	for n>>(bits+3) != 0 {
		bits++
	}
	return 257 + 4*bits + n>>bits, bits
}

func distanceSymbol(distance int) (symbol, bits int) {
	n := distance - 1
	if n < 4 {
		return n, 0
	}
	for n>>(bits+2) != 0 {
		bits++
	}
	return 2*bits + n>>bits, bits
}
