package models

import (
	"fmt"
	"io/fs"
)

// Manifest is a model's model.yaml: what it is, its files, how to feed it.
// Catalog decodes it strictly.
type Manifest struct {
	Schema    string            `yaml:"schema"` // "earshot.model/1"
	Name      string            `yaml:"name"`
	Version   int               `yaml:"version"`
	Task      string            `yaml:"task"`      // "speech", "language", "transcript", "punctuation", "sound-events", "topics", "ads", "highlight"
	Family    string            `yaml:"family"`    // which of the task's runners reads it: "ctc-phones", "frame-classifier", …
	Licence   string            `yaml:"licence"`   // SPDX
	Precision string            `yaml:"precision"` // "fp32", "fp16", "int8"
	Languages []string          `yaml:"languages"` // BCP 47, where the model has any
	Files     map[string]string `yaml:"files"`     // file name -> sha256; every file but model.yaml and the card, graphs' external tensors too
	Sessions  []string          `yaml:"sessions"`  // the files that are ONNX graphs to open
	Inputs    []Port            `yaml:"inputs"`    // of the first session
	Outputs   []Port            `yaml:"outputs"`
	Frontend  *Frontend         `yaml:"frontend"` // absent: the model takes no audio features
	Batch     Batch             `yaml:"batch"`
	// Variants are the same model in other precisions ("int8"), each with graphs
	// of its own. A reference pins one: name@version:int8.
	Variants map[string]Variant `yaml:"variants"`
	Labels   []Label            `yaml:"labels"` // of the output's last axis, in order
	// LabelsFile is a file with the labels, in place of Labels, which Load then
	// fills: AudioSet's class_labels_indices.csv, or one name a line.
	LabelsFile string         `yaml:"labels_file"`
	Params     map[string]any `yaml:"parameters"` // the task's own, decoded by DecodeParams

	pinned bool // to one of Variants, whose Precision, Sessions and Batch these are
}

// Ref names a model in records and configuration: name@version, and of a
// variant name@version:precision.
func (m *Manifest) Ref() string {
	if m.pinned {
		return fmt.Sprintf("%s@%d:%s", m.Name, m.Version, m.Precision)
	}
	return fmt.Sprintf("%s@%d", m.Name, m.Version)
}

// Variant is a model in another precision than its own: other graphs, all else
// the same.
type Variant struct {
	Sessions []string `yaml:"sessions"` // in the place of the manifest's, one for one, with the same ports
	Batch    *Batch   `yaml:"batch"`    // in the place of the manifest's; absent: that one
}

// Port is one input or output of a graph. A dimension is a number or a name
// ("batch", "frames"); the name stands for any size.
type Port struct {
	Name  string   `yaml:"name" json:"name"`
	Type  string   `yaml:"type" json:"type"` // "float32", "int64", "int32", "uint8", "bool"
	Shape []string `yaml:"shape" json:"shape"`
}

// Batch says how items may be put together.
type Batch struct {
	MaxItems int     `yaml:"max_items"`
	MaxCost  float64 `yaml:"max_cost"` // in the runner's unit of cost; 0: no bound
	Fixed    bool    `yaml:"fixed"`    // the output depends on the batch: always run with max_items, padded
	Alone    bool    `yaml:"alone"`    // an item's output is the same bits alone: it is not run beside a copy of itself
}

// Least is how many rows a run of the model has. A lone item runs beside a copy
// of itself where the kernels for one row round otherwise than those for many:
// a batch's size must not show in an item's output.
func (b Batch) Least() int {
	if b.Alone {
		return 1
	}
	return 2
}

// Label is one class of a classifier.
type Label struct {
	Name      string  `yaml:"name"`
	ID        string  `yaml:"id"`        // in the taxonomy: "/m/09x0r", "483", "en"
	Threshold float64 `yaml:"threshold"` // score from which the class counts as present; 0: the task's default
}

// Frontend configures the log-mel front end (audio/feature). All kinds but
// "logmel" are presets: of the rest they take mels alone.
type Frontend struct {
	Kind       string  `yaml:"kind"`        // "logmel", "whisper", "nemo", "ced"
	SampleRate int     `yaml:"sample_rate"` // Hz
	FFT        int     `yaml:"fft"`         // samples
	Window     int     `yaml:"window"`      // samples, periodic Hann
	Hop        int     `yaml:"hop"`         // samples
	Mels       int     `yaml:"mels"`
	MinHz      float64 `yaml:"min_hz"`
	MaxHz      float64 `yaml:"max_hz"`
	Scale      string  `yaml:"scale"`     // "htk"
	Floor      float64 `yaml:"floor"`     // added to the mel power before the natural logarithm
	Normalise  string  `yaml:"normalise"` // "none", or "item": mean per mel channel, then one deviation + 1e-3
	Pad        string  `yaml:"pad"`       // "nemo" alone: "constant", or "reflect" as older versions of NeMo pad
}

// Model is a manifest with its files, checked against their sha256.
type Model struct {
	Manifest Manifest
	Files    fs.FS
	SHA256   string // of model.yaml, which holds the hashes of all other files; of a variant, of that and its precision

	external map[string][]string // a graph's file -> the files with its external tensors
	unpinned *Model              // the model whose variant this is; nil: it is none
}
