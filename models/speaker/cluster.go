package speaker

import (
	"cmp"
	"math"
	"slices"
)

// point is an embedding of unit length that stands for so many windows.
type point struct {
	at     []float64
	weight float64
}

// merge is one step of a dendrogram: clusters a and b (the lowest of their
// points) become one at a height.
type merge struct {
	a, b   int
	height float64
}

// dendrogram joins points by average linkage over cosine distances: the
// distance of two clusters is the mean distance of their members, weighted.
// Merges come in the order of their heights. It follows chains of nearest
// neighbours (Murtagh 1983), which gives the same tree as joining the nearest
// pair each time, in time and memory of the square of the number of points.
func dendrogram(points []point) []merge {
	n := len(points)
	distance := make([]float32, n*n)
	for i := range n {
		for j := range i {
			d := float32(1 - dot(points[i].at, points[j].at))
			distance[i*n+j], distance[j*n+i] = d, d
		}
	}
	weight, alive := make([]float64, n), make([]bool, n)
	for i, p := range points {
		weight[i], alive[i] = p.weight, true
	}
	var merges []merge
	var chain []int
	for len(merges) < n-1 {
		if len(chain) == 0 {
			chain = append(chain, slices.Index(alive, true))
		}
		top := chain[len(chain)-1]
		nearest, least := -1, float32(math.Inf(1))
		if len(chain) > 1 { // of equals the one before, or the chain would turn in circles
			nearest = chain[len(chain)-2]
			least = distance[top*n+nearest]
		}
		for j := range n {
			if alive[j] && j != top && distance[top*n+j] < least {
				nearest, least = j, distance[top*n+j]
			}
		}
		if len(chain) < 2 || nearest != chain[len(chain)-2] {
			chain = append(chain, nearest)
			continue
		}
		chain = chain[:len(chain)-2]
		a, b := min(top, nearest), max(top, nearest)
		merges = append(merges, merge{a, b, float64(least)})
		alive[b] = false
		total := weight[a] + weight[b]
		for j := range n {
			if alive[j] && j != a {
				d := float32((weight[a]*float64(distance[a*n+j]) + weight[b]*float64(distance[b*n+j])) / total)
				distance[a*n+j], distance[j*n+a] = d, d
			}
		}
		weight[a] = total
	}
	slices.SortStableFunc(merges, func(x, y merge) int { return cmp.Compare(x.height, y.height) })
	return merges
}

// cut makes clusters of n points: those joined at a height of at most
// threshold, and above it while there are more than most clusters. It gives
// each point its cluster, numbered as they first appear, and how many there
// are.
func cut(n int, merges []merge, threshold float64, most int) (labels []int, clusters int) {
	parent := make([]int, n)
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i, m := range merges {
		if m.height > threshold && n-i <= most {
			break
		}
		parent[root(m.b)] = root(m.a)
	}
	labels = make([]int, n)
	number := map[int]int{}
	for i := range n {
		r := root(i)
		if _, ok := number[r]; !ok {
			number[r] = len(number)
		}
		labels[i] = number[r]
	}
	return labels, len(number)
}

const (
	// stretchWindows are clustered by themselves first: five minutes of speech.
	stretchWindows = 400
	// mostCentres bounds what the stretches leave for the last clustering, and
	// so its memory: 16 MB.
	mostCentres = 2000
)

// cluster gives each embedding its cluster. Up to two stretches are clustered
// at once; of a longer episode first each stretch, then the stretches' clusters
// by their centres, so that eleven hours need no more memory than one.
func cluster(embeddings []Embedding, threshold float64) (labels []int, clusters int) {
	points := make([]point, len(embeddings))
	for i, e := range embeddings {
		points[i] = point{unit(e), 1}
	}
	if len(points) <= 2*stretchWindows {
		return cut(len(points), dendrogram(points), threshold, math.MaxInt)
	}
	size := max(stretchWindows, (len(points)+mostCentres-1)/mostCentres)
	stretches := (len(points) + size - 1) / size
	most := max(1, mostCentres/stretches)
	var centres []point
	member := make([]int, len(points)) // of the centre
	for at := 0; at < len(points); at += size {
		stretch := points[at:min(at+size, len(points))]
		own, n := cut(len(stretch), dendrogram(stretch), threshold, most)
		for i, label := range own {
			member[at+i] = len(centres) + label
		}
		centres = append(centres, centresOf(stretch, own, n)...)
	}
	joined, clusters := cut(len(centres), dendrogram(centres), threshold, math.MaxInt)
	labels = make([]int, len(points))
	for i, c := range member {
		labels[i] = joined[c]
	}
	return labels, clusters
}

// centresOf are the clusters' directions, with their weight.
func centresOf(points []point, labels []int, clusters int) []point {
	out := make([]point, clusters)
	for i, p := range points {
		c := &out[labels[i]]
		if c.at == nil {
			c.at = make([]float64, len(p.at))
		}
		for k, v := range p.at {
			c.at[k] += p.weight * v
		}
		c.weight += p.weight
	}
	for i := range out {
		normalise(out[i].at)
	}
	return out
}

func unit(e Embedding) []float64 {
	out := make([]float64, len(e))
	for i, v := range e {
		out[i] = float64(v)
	}
	normalise(out)
	return out
}

func normalise(v []float64) {
	length := math.Sqrt(dot(v, v))
	if length == 0 {
		return
	}
	for i := range v {
		v[i] /= length
	}
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
