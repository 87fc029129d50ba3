package whisper

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/earshot-fm/earshot/models"
)

// decoder drives the merged decoder's graph: what its ports are called, and
// its two kinds of step.
type decoder struct {
	file     string
	self     []string // past_key_values.{i}.decoder.{key,value}
	cross    []string // past_key_values.{i}.encoder.{key,value}
	heads    int64
	width    int64
	position bool // the graph also takes cache_position
	layers   int
	attends  bool // the graph gives cross_attentions.{i}
}

const (
	pastPrefix    = "past_key_values."
	presentPrefix = "present."
	crossPrefix   = "cross_attentions."
)

// newDecoder reads the names of the graph's ports.
func newDecoder(m *models.Model, file string) (decoder, error) {
	d := decoder{file: file}
	b, err := m.Read(file)
	if err != nil {
		return d, err
	}
	g, err := models.ReadGraph(b)
	if err != nil {
		return d, fmt.Errorf("files.%s: %w", file, err)
	}
	known := map[string]bool{"input_ids": false, "encoder_hidden_states": false, "use_cache_branch": false}
	for _, p := range g.Inputs {
		if _, ok := known[p.Name]; ok {
			known[p.Name] = true
			continue
		}
		switch {
		case p.Name == "cache_position":
			d.position = true
		case strings.HasPrefix(p.Name, pastPrefix) && strings.Contains(p.Name, ".decoder."):
			d.self = append(d.self, p.Name)
			if err := d.shape(p); err != nil {
				return d, fmt.Errorf("files.%s: %w", file, err)
			}
		case strings.HasPrefix(p.Name, pastPrefix) && strings.Contains(p.Name, ".encoder."):
			d.cross = append(d.cross, p.Name)
		default:
			return d, fmt.Errorf("files.%s: the graph's input %q is not one of a merged decoder (Optimum: decoder_model_merged.onnx)", file, p.Name)
		}
	}
	for name, found := range known {
		if !found {
			return d, fmt.Errorf("files.%s: the graph has no input %q: export with a merged decoder (Optimum: decoder_model_merged.onnx)", file, name)
		}
	}
	if len(d.self) == 0 || len(d.self) != len(d.cross) {
		return d, fmt.Errorf("files.%s: the graph has %d past_key_values of the decoder and %d of the encoder, want the same and some", file, len(d.self), len(d.cross))
	}
	d.layers = len(d.self) / 2
	attends := 0
	for _, p := range g.Outputs {
		if strings.HasPrefix(p.Name, crossPrefix) {
			attends++
		}
	}
	d.attends = attends == d.layers
	return d, nil
}

// shape reads heads and width off a port [batch, heads, past, width].
func (d *decoder) shape(p models.Port) error {
	if len(p.Shape) != 4 {
		return fmt.Errorf("the graph's input %q has shape %v, want [batch, heads, past, width]", p.Name, p.Shape)
	}
	heads, err := strconv.ParseInt(p.Shape[1], 10, 64)
	if err != nil {
		return fmt.Errorf("the graph's input %q does not say its number of heads: shape %v", p.Name, p.Shape)
	}
	width, err := strconv.ParseInt(p.Shape[3], 10, 64)
	if err != nil {
		return fmt.Errorf("the graph's input %q does not say its width: shape %v", p.Name, p.Shape)
	}
	d.heads, d.width = heads, width
	return nil
}

// opened is what a first step gives for each row.
type opened struct {
	logits block // [rows, tokens, vocabulary]
	cohort cohort
	cross  []block // cross_attentions, [rows, heads, tokens, 1500], where the graph gives them
}

// open runs prompts of one length over the encoder's output, without a past.
func (d *decoder) open(ctx context.Context, sessions models.Sessions, prompts [][]int64, heard block) (opened, error) {
	rows, n := len(prompts), len(prompts[0])
	ids := make([]int64, 0, rows*n)
	for _, p := range prompts {
		ids = append(ids, p...)
	}
	in := map[string]models.Tensor{
		"input_ids":             models.NewTensor(ids, int64(rows), int64(n)),
		"encoder_hidden_states": heard.tensor(),
		"use_cache_branch":      models.NewTensor([]bool{false}, 1),
	}
	for _, name := range append(append([]string(nil), d.self...), d.cross...) {
		in[name] = models.NewTensor([]float32{}, int64(rows), d.heads, 0, d.width)
	}
	d.positions(in, 0, n)
	out, err := d.run(ctx, sessions, in)
	if err != nil {
		return opened{}, fmt.Errorf("whisper: begin %d transcripts: %w", rows, err)
	}
	o := opened{cohort: cohort{past: n, heard: heard}}
	if o.logits, err = d.output(out, "logits", int64(rows), int64(n), -1); err != nil {
		return o, err
	}
	for _, name := range d.self {
		b, err := d.output(out, present(name), int64(rows), d.heads, int64(n), d.width)
		if err != nil {
			return o, err
		}
		o.cohort.self = append(o.cohort.self, b)
	}
	for _, name := range d.cross {
		b, err := d.output(out, present(name), int64(rows), d.heads, heard.shape[1], d.width)
		if err != nil {
			return o, err
		}
		o.cohort.cross = append(o.cohort.cross, b)
	}
	for i := range d.layers {
		if !d.attends {
			break
		}
		b, err := d.output(out, crossPrefix+strconv.Itoa(i), int64(rows), -1, int64(n), heard.shape[1])
		if err != nil {
			return o, err
		}
		o.cross = append(o.cross, b)
	}
	return o, nil
}

// step runs one more token for each row of a cohort, and gives the logits:
// [rows, vocabulary].
func (d *decoder) step(ctx context.Context, sessions models.Sessions, c *cohort) (block, error) {
	rows := c.heard.rows()
	ids := make([]int64, rows)
	for i := range ids {
		ids[i] = int64(c.attempts[min(i, len(c.attempts)-1)].last())
	}
	in := map[string]models.Tensor{
		"input_ids":             models.NewTensor(ids, int64(rows), 1),
		"encoder_hidden_states": c.heard.tensor(),
		"use_cache_branch":      models.NewTensor([]bool{true}, 1),
	}
	for i := range d.self {
		in[d.self[i]], in[d.cross[i]] = c.self[i].tensor(), c.cross[i].tensor()
	}
	d.positions(in, c.past, 1)
	out, err := d.run(ctx, sessions, in)
	if err != nil {
		return block{}, fmt.Errorf("whisper: decode %s: %w", c, err)
	}
	for i, name := range d.self {
		if c.self[i], err = d.output(out, present(name), int64(rows), d.heads, int64(c.past+1), d.width); err != nil {
			return block{}, err
		}
	}
	c.past++
	return d.output(out, "logits", int64(rows), 1, -1)
}

func present(past string) string { return presentPrefix + strings.TrimPrefix(past, pastPrefix) }

func (d *decoder) positions(in map[string]models.Tensor, from, n int) {
	if !d.position {
		return
	}
	at := make([]int64, n)
	for i := range at {
		at[i] = int64(from + i)
	}
	in["cache_position"] = models.NewTensor(at, int64(n))
}

func (d *decoder) run(ctx context.Context, sessions models.Sessions, in map[string]models.Tensor) (map[string]models.Tensor, error) {
	s, ok := sessions[d.file]
	if !ok {
		return nil, fmt.Errorf("no session %q is open", d.file)
	}
	return s.Run(ctx, in)
}

// output takes an output of a shape; -1 stands for any size.
func (d *decoder) output(out map[string]models.Tensor, name string, want ...int64) (block, error) {
	t, ok := out[name]
	if !ok {
		return block{}, fmt.Errorf("whisper: %s has no output %q", d.file, name)
	}
	got := t.Shape()
	fits := len(got) == len(want)
	for i := 0; fits && i < len(want); i++ {
		fits = want[i] < 0 || got[i] == want[i]
	}
	if !fits {
		return block{}, fmt.Errorf("whisper: %s: output %q has shape %v, want %v", d.file, name, got, want)
	}
	b, err := blockOf(t)
	if err != nil {
		return block{}, fmt.Errorf("whisper: %s: output %q: %w", d.file, name, err)
	}
	return b, nil
}
