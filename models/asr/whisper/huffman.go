package whisper

// huffman gives the code lengths of zlib's trees.c (build_tree, gen_bitlen) for
// symbols of given frequencies, none longer than longest, and the bits that
// all symbols take together. Two symbols at least get a code. The order in
// which equals are joined matters: the lengths themselves are written too.
func huffman(frequencies []int, longest int) (lengths []int, bits int) {
	n := len(frequencies)
	t := tree{weight: make([]int, 2*n), depth: make([]int, 2*n), parent: make([]int, 2*n)}
	counts := make([]int, n)
	last := -1
	for i, f := range frequencies {
		counts[i], t.weight[i] = f, f
		if f > 0 {
			t.heap = append(t.heap, i)
			last = i
		}
	}
	for len(t.heap) < 2 {
		i := 0
		if last < 2 {
			last++
			i = last
		}
		t.weight[i] = 1 // counted in the tree alone: nothing is written for it
		t.heap = append(t.heap, i)
	}
	for i := len(t.heap)/2 - 1; i >= 0; i-- {
		t.sink(i)
	}
	var order []int // nodes as they were taken, two by two
	node := n
	for {
		a := t.heap[0]
		t.heap[0] = t.heap[len(t.heap)-1]
		t.heap = t.heap[:len(t.heap)-1]
		t.sink(0)
		b := t.heap[0]
		order = append(order, a, b)
		t.weight[node] = t.weight[a] + t.weight[b]
		t.depth[node] = max(t.depth[a], t.depth[b]) + 1
		t.parent[a], t.parent[b] = node, node
		t.heap[0] = node
		node++
		t.sink(0)
		if len(t.heap) == 1 {
			break
		}
	}
	lengths = t.limit(append(order, t.heap[0]), n, longest)
	for i, f := range counts {
		bits += f * lengths[i]
	}
	return lengths, bits
}

type tree struct {
	weight, depth, parent []int
	heap                  []int
}

// sink is trees.c's pqdownheap.
func (t *tree) sink(i int) {
	if len(t.heap) == 0 {
		return
	}
	smaller := func(a, b int) bool {
		return t.weight[a] < t.weight[b] || t.weight[a] == t.weight[b] && t.depth[a] <= t.depth[b]
	}
	v := t.heap[i]
	for j := 2*i + 1; j < len(t.heap); j = 2*j + 1 {
		if j+1 < len(t.heap) && smaller(t.heap[j+1], t.heap[j]) {
			j++
		}
		if smaller(v, t.heap[j]) {
			break
		}
		t.heap[i] = t.heap[j]
		i = j
	}
	t.heap[i] = v
}

// limit is gen_bitlen: lengths from the root down, and where they pass the
// longest, leaves moved to make room.
func (t *tree) limit(order []int, symbols, longest int) []int {
	length := make([]int, len(t.weight))
	count := make([]int, longest+1)
	overflow := 0
	for i := len(order) - 2; i >= 0; i-- { // the last is the root
		node := order[i]
		bits := length[t.parent[node]] + 1
		if bits > longest {
			bits = longest
			overflow++
		}
		length[node] = bits
		if node < symbols {
			count[bits]++
		}
	}
	if overflow == 0 {
		return length[:symbols]
	}
	for ; overflow > 0; overflow -= 2 {
		bits := longest - 1
		for count[bits] == 0 {
			bits--
		}
		count[bits]--
		count[bits+1] += 2
		count[longest]--
	}
	at := 0
	for bits := longest; bits > 0; bits-- {
		for n := count[bits]; n > 0; at++ {
			if node := order[at]; node < symbols {
				length[node] = bits
				n--
			}
		}
	}
	return length[:symbols]
}

// The codes of code lengths (RFC 1951, 3.2.7) and the order they are sent in.
const (
	repeatLast = 16
	zerosShort = 17
	zerosLong  = 18
)

var lengthOrder = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// treeBits is what the two trees themselves take in a dynamic block.
func treeBits(literals, distances []int) int {
	var frequencies [19]int
	extra := 0
	for _, lengths := range [][]int{literals, distances} {
		for len(lengths) > 1 && lengths[len(lengths)-1] == 0 {
			lengths = lengths[:len(lengths)-1]
		}
		extra += scanLengths(lengths, &frequencies)
	}
	lengths, bits := huffman(frequencies[:], 7)
	last := len(lengthOrder) - 1
	for last >= 3 && lengths[lengthOrder[last]] == 0 {
		last--
	}
	return bits + extra + 3*(last+1) + 5 + 5 + 4
}

// scanLengths is trees.c's scan_tree: counts the codes that write a tree's
// lengths, and gives their extra bits. Runs do not go on from one tree to the
// next.
func scanLengths(lengths []int, frequencies *[19]int) (extra int) {
	previous, count := -1, 0
	longest, least := 7, 4
	if lengths[0] == 0 {
		longest, least = 138, 3
	}
	for i, current := range lengths {
		next := 0xffff // trees.c's guard
		if i+1 < len(lengths) {
			next = lengths[i+1]
		}
		count++
		if count < longest && current == next {
			continue
		}
		switch {
		case count < least:
			frequencies[current] += count
		case current != 0:
			if current != previous {
				frequencies[current]++
			}
			frequencies[repeatLast]++
			extra += 2
		case count <= 10:
			frequencies[zerosShort]++
			extra += 3
		default:
			frequencies[zerosLong]++
			extra += 7
		}
		count, previous = 0, current
		switch {
		case next == 0:
			longest, least = 138, 3
		case current == next:
			longest, least = 6, 3
		default:
			longest, least = 7, 4
		}
	}
	return extra
}
