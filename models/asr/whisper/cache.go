package whisper

import (
	"fmt"

	"github.com/earshot-fm/earshot/models"
)

// block is a tensor of float32 whose first axis is the batch's rows. It is
// changed in place between runs.
type block struct {
	data  []float32
	shape []int64 // shape[0] rows
}

func blockOf(t models.Tensor) (block, error) {
	data, err := models.Elements[float32](t)
	if err != nil {
		return block{}, err
	}
	return block{data, append([]int64(nil), t.Shape()...)}, nil
}

func (b block) rows() int { return int(b.shape[0]) }

func (b block) row(i int) []float32 {
	n := len(b.data) / b.rows()
	return b.data[i*n : (i+1)*n]
}

func (b block) tensor() models.Tensor { return models.NewTensor(b.data, b.shape...) }

// move puts row from in the place of row to.
func (b block) move(to, from int) { copy(b.row(to), b.row(from)) }

// first is the block's first n rows.
func (b block) first(n int) block {
	size := len(b.data) / b.rows()
	return block{b.data[:n*size], append([]int64{int64(n)}, b.shape[1:]...)}
}

// join puts the rows of several blocks of one shape one after another, and
// repeats the last until there are least.
func join(least int, blocks ...block) block {
	rows, size := 0, len(blocks[0].data)/blocks[0].rows()
	for _, b := range blocks {
		rows += b.rows()
	}
	total := max(rows, least)
	out := block{make([]float32, 0, total*size), append([]int64{int64(total)}, blocks[0].shape[1:]...)}
	for _, b := range blocks {
		out.data = append(out.data, b.data...)
	}
	for ; rows < total; rows++ {
		out.data = append(out.data, out.data[(rows-1)*size:rows*size]...)
	}
	return out
}

// cohort is a set of attempts whose caches are of one length, so that the
// merged decoder, which has no mask, can step them together.
type cohort struct {
	attempts []*attempt
	past     int     // tokens in the self-attention's cache
	heard    block   // the encoder's output: [rows, 1500, d]
	self     []block // by input name's place in decoder.selfPast: [rows, heads, past, width]
	cross    []block // likewise: [rows, heads, 1500, width]
}

// merge takes in cohorts of the same length, with at least so many rows.
func (c *cohort) merge(least int, others ...*cohort) {
	all := append([]*cohort{c}, others...)
	gather := func(of func(*cohort) block) block {
		blocks := make([]block, len(all))
		for i, o := range all {
			blocks[i] = of(o).first(len(o.attempts)) // without idle rows
		}
		return join(least, blocks...)
	}
	heard := gather(func(o *cohort) block { return o.heard })
	self, cross := make([]block, len(c.self)), make([]block, len(c.cross))
	for i := range self {
		self[i] = gather(func(o *cohort) block { return o.self[i] })
		cross[i] = gather(func(o *cohort) block { return o.cross[i] })
	}
	c.heard, c.self, c.cross = heard, self, cross
	for _, o := range others {
		c.attempts = append(c.attempts, o.attempts...)
	}
}

// drop lets the attempts that are done go: the last row takes the place of
// each, so that only one row is copied. At least so many rows stay.
func (c *cohort) drop(least int, done func(*attempt) bool) {
	for i := 0; i < len(c.attempts); {
		if !done(c.attempts[i]) {
			i++
			continue
		}
		last := len(c.attempts) - 1
		if i != last {
			c.each(func(b *block) { b.move(i, last) })
			c.attempts[i] = c.attempts[last]
		}
		c.attempts = c.attempts[:last]
	}
	if rows := max(least, len(c.attempts)); rows < c.heard.rows() {
		c.each(func(b *block) { *b = b.first(rows) })
	}
}

func (c *cohort) each(f func(*block)) {
	f(&c.heard)
	for i := range c.self {
		f(&c.self[i])
		f(&c.cross[i])
	}
}

func (c *cohort) String() string {
	return fmt.Sprintf("%d rows after %d tokens", len(c.attempts), c.past)
}
