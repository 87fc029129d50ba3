package text

import (
	"errors"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/tokenizer"
)

// Params are the part of a manifest's parameters that says how the model reads
// text: `text: {tokenizer: tokenizer.json, max_tokens: 256, pooling: mean}`.
type Params struct {
	Tokenizer string `yaml:"tokenizer"`  // the file; default tokenizer.json
	MaxTokens int    `yaml:"max_tokens"` // of one item, special tokens counted
	Pooling   string `yaml:"pooling"`    // "mean" of the tokens, "first" ([CLS]), or "none": the output is one row an item
	Output    string `yaml:"output"`     // default: the graph's first
	Raw       bool   `yaml:"raw"`        // vectors are left as long as they are, not made unit length
}

// Pools of Params.
const (
	Mean  = "mean"
	First = "first"
	None  = "none"
)

func (p *Params) check(m *models.Model) error {
	f := &m.Manifest
	if p.Tokenizer == "" {
		p.Tokenizer = "tokenizer.json"
	}
	if len(f.Sessions) != 1 || len(f.Outputs) == 0 {
		return fmt.Errorf("text: %s: %d sessions, %d outputs: want one graph that gives something", f.Ref(), len(f.Sessions), len(f.Outputs))
	}
	if p.Output == "" {
		p.Output = f.Outputs[0].Name
	}
	has := func(ports []models.Port, name string) bool {
		return slices.ContainsFunc(ports, func(p models.Port) bool { return p.Name == name })
	}
	switch {
	case !slices.Contains([]string{Mean, First, None}, p.Pooling):
		return fmt.Errorf("text: %s: parameters.text.pooling: %q: want mean, first or none", f.Ref(), p.Pooling)
	case p.MaxTokens < 3:
		return fmt.Errorf("text: %s: parameters.text.max_tokens: %d: want the most tokens that the model reads at once, 3 or more", f.Ref(), p.MaxTokens)
	case !has(f.Outputs, p.Output):
		return fmt.Errorf("text: %s: parameters.text.output: the graph has no output %q", f.Ref(), p.Output)
	case !has(f.Inputs, "input_ids"):
		return fmt.Errorf("text: %s: inputs: want input_ids, and attention_mask and token_type_ids where the graph has them", f.Ref())
	}
	for _, in := range f.Inputs {
		if !slices.Contains([]string{"input_ids", "attention_mask", "token_type_ids"}, in.Name) || in.Type != "int64" {
			return fmt.Errorf("text: %s: inputs: %s of type %s: want input_ids, attention_mask and token_type_ids, all int64", f.Ref(), in.Name, in.Type)
		}
	}
	return nil
}

// Reader turns texts into the items of a model.
type Reader struct {
	tokens *tokenizer.Tokenizer
	max    int // tokens of an item, without the special ones
}

// NewReader reads the model's tokenizer.
func NewReader(m *models.Model, p Params) (*Reader, error) {
	if err := p.check(m); err != nil {
		return nil, err
	}
	b, err := m.Read(p.Tokenizer)
	if err != nil {
		return nil, err
	}
	t, err := tokenizer.Read(b)
	if err != nil {
		return nil, fmt.Errorf("text: %s: files.%s: %w", m.Manifest.Ref(), p.Tokenizer, err)
	}
	if p.MaxTokens <= t.Specials() {
		return nil, fmt.Errorf("text: %s: parameters.text.max_tokens: %d, and the special tokens alone are %d", m.Manifest.Ref(), p.MaxTokens, t.Specials())
	}
	return &Reader{t.Truncated(0), p.MaxTokens - t.Specials()}, nil
}

// Item is a text, cut to what the model reads at once.
func (r *Reader) Item(text string) Item { return r.around(r.tokens.Encode(text, false)) }

func (r *Reader) around(ids []int) Item {
	all, types := r.tokens.Around(ids[:min(len(ids), r.max)])
	it := Item{make([]int64, len(all)), make([]int64, len(all))}
	for i := range all {
		it.IDs[i], it.Types[i] = int64(all[i]), int64(types[i])
	}
	return it
}

// Windows are items of about tokens tokens each, which together are all of the
// parts. Parts (sentences, segments) stay whole as far as they fit into one.
func (r *Reader) Windows(parts []string, tokens int) []Item {
	tokens = min(tokens, r.max)
	var found []Item
	var open []int
	flush := func() {
		if len(open) > 0 {
			found = append(found, r.around(open))
			open = nil
		}
	}
	for _, part := range parts {
		ids := r.tokens.Encode(part, false)
		if len(open)+len(ids) > tokens {
			flush()
		}
		for len(ids) > tokens {
			// A long part is cut evenly, so that no window is a mere rest.
			n := len(ids) / ((len(ids) + tokens - 1) / tokens)
			found = append(found, r.around(ids[:n]))
			ids = ids[n:]
		}
		open = append(open, ids...)
	}
	flush()
	return found
}

var errNoItems = errors.New("text: no items")
