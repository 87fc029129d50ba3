package enrich

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
)

const (
	// passageWords is the least of a passage: with fewer words chance decides
	// what it has in common with the next.
	passageWords = 20
	// blockPassages is how many passages on either side of a gap are compared.
	blockPassages = 3
)

// ChapterOptions are the chapters node's parameters.
type ChapterOptions struct {
	Min episode.Seconds `yaml:"min_seconds"` // of a chapter
}

func (o ChapterOptions) check() error {
	if o.Min <= 0 {
		return fmt.Errorf("config: graph.nodes.chapters.parameters.min_seconds: %v is not above 0", o.Min)
	}
	return nil
}

// passage is consecutive segments of a transcript, from the first to before
// the last one's end.
type passage struct {
	First int             `json:"first"` // segment
	Last  int             `json:"last"`  // segment after it
	Start episode.Seconds `json:"start"`
}

// cutPassages groups segments until each group has passageWords words; what is
// left over joins the last.
func cutPassages(segments []episode.Segment) []passage {
	var out []passage
	words, first := 0, 0
	for i, s := range segments {
		words += len(strings.Fields(s.Text))
		if words >= passageWords {
			out = append(out, passage{first, i + 1, segments[first].Start})
			words, first = 0, i+1
		}
	}
	switch {
	case first == len(segments):
	case len(out) > 0:
		out[len(out)-1].Last = len(segments)
	default:
		out = append(out, passage{first, len(segments), segments[first].Start})
	}
	return out
}

// chapterStarts finds where the subject changes: TextTiling (Hearst 1997) over
// the passages' embeddings. Between each two passages the blocks on either
// side are compared; the deeper the valley of their similarity, the surer the
// change. Valleys deeper than mean + half a deviation become boundaries,
// deepest first, as long as chapters keep their least length. The first start
// is 0; an episode without a boundary has no chapters.
func chapterStarts(passages []passage, vectors [][]float32, duration episode.Seconds, o ChapterOptions) []episode.Seconds {
	if len(passages) < 2*2 || len(vectors) != len(passages) {
		return nil
	}
	similar := make([]float64, len(passages)-1)
	for i := range similar {
		left := blockOf(vectors[max(0, i+1-blockPassages) : i+1])
		right := blockOf(vectors[i+1 : min(len(vectors), i+1+blockPassages)])
		similar[i] = dot(left, right)
	}
	depth := make([]float64, len(similar))
	var mean, square float64
	for i := range similar {
		depth[i] = climb(similar, i, -1) + climb(similar, i, 1) - 2*similar[i]
		mean += depth[i] / float64(len(depth))
		square += depth[i] * depth[i] / float64(len(depth))
	}
	least := mean + math.Sqrt(max(0, square-mean*mean))/2
	order := make([]int, len(depth))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(depth[b], depth[a]) })
	starts := []episode.Seconds{0}
	for _, i := range order {
		at := passages[i+1].Start
		if depth[i] <= least || duration-at < o.Min {
			continue
		}
		if !slices.ContainsFunc(starts, func(s episode.Seconds) bool { return max(s-at, at-s) < o.Min }) {
			starts = append(starts, at)
		}
	}
	if len(starts) == 1 {
		return nil
	}
	slices.Sort(starts)
	return starts
}

// climb is the height of the nearest peak on one side of a valley.
func climb(values []float64, from, step int) float64 {
	top := values[from]
	for i := from + step; i >= 0 && i < len(values) && values[i] >= top; i += step {
		top = values[i]
	}
	return top
}

// blockOf is the direction of some vectors' sum.
func blockOf(vectors [][]float32) []float64 {
	sum := make([]float64, len(vectors[0]))
	for _, v := range vectors {
		for i, x := range v {
			sum[i] += float64(x)
		}
	}
	length := math.Sqrt(dot(sum, sum))
	for i := range sum {
		if length > 0 {
			sum[i] /= length
		}
	}
	return sum
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
