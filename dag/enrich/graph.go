package enrich

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// The nodes by name.
const (
	nodeFetch      = "fetch"
	nodeDecode     = "decode"
	nodeSpeech     = "speech"
	nodeLanguage   = "language"
	nodeTranscript = "transcript"
	nodeSpeakers   = "speakers"
	nodeSounds     = "sound-events"
	nodeTopics     = "topics"
	nodePassages   = "passages"
	nodeChapters   = "chapters"
	nodeKeywords   = "keywords"
	nodeAds        = "ads"
	nodeHighlight  = "highlight"
	nodePreview    = "preview"
	nodeRecord     = "record"
	nodePublish    = "publish"
	nodeIndex      = "index"
	nodeAnnounce   = "announce"

	nodePunctuation         = "punctuation"
	nodePublisherTranscript = "publisher-transcript"
	nodePublisherChapters   = "publisher-chapters"
)

// DefaultGraph is the built-in graph's YAML.
//
//go:embed graph.yaml
var DefaultGraph []byte

// PreviewOptions bound a preview's length: the highlight node's parameters.
type PreviewOptions struct {
	Min    episode.Seconds `yaml:"min_seconds"`
	Target episode.Seconds `yaml:"target_seconds"`
	Max    episode.Seconds `yaml:"max_seconds"`
}

func (o PreviewOptions) check() error {
	if o.Min <= 0 || o.Min > o.Target || o.Target > o.Max {
		return fmt.Errorf("config: graph.nodes.highlight.parameters: 0 < min_seconds ≤ target_seconds ≤ max_seconds does not hold for %v, %v, %v", o.Min, o.Target, o.Max)
	}
	return nil
}

// nodes holds what the nodes' functions use.
type nodes struct {
	ports          Ports
	preview        PreviewOptions
	chapterOptions ChapterOptions
	scratch        string

	transcriptOptions TranscriptOptions
}

// kind is what a node of the configuration can be: what its function reads,
// and the function.
type kind struct {
	name     string
	version  int      // of the code: grows when the same needs give another output
	live     []string // needs whose live value it reads: always required
	requires []string // a gap among them makes the node a gap
	optional []string // a gap among them is worked around
	task     string   // of its model; "": it runs none
	extra    bool     // it may be without a model: none is built in
	effect   bool
	onDemand bool
	absent   func(Ports) bool // no driver or model fits its port
	run      func(*nodes) dag.Func
}

var kinds = []kind{
	{name: nodeFetch, version: 1, requires: []string{inEnclosure}, onDemand: true,
		run: func(g *nodes) dag.Func { return g.fetch }},
	{name: nodeDecode, version: 1, requires: []string{nodeFetch},
		run: func(g *nodes) dag.Func { return g.decode }},
	{name: nodeSpeech, version: 1, live: []string{nodeDecode}, task: "speech",
		absent: func(p Ports) bool { return p.Speech == nil },
		run:    func(g *nodes) dag.Func { return g.speech }},
	{name: nodeLanguage, version: 3, live: []string{nodeDecode}, requires: []string{nodeSpeech, inDeclared}, task: "language",
		absent: func(p Ports) bool { return p.Language == nil },
		run:    func(g *nodes) dag.Func { return g.language }},
	{name: nodeTranscript, version: 3, live: []string{nodeDecode}, requires: []string{nodeSpeech, nodeLanguage}, optional: []string{nodePublisherTranscript}, task: "transcript",
		absent: func(p Ports) bool { return p.Transcript == nil },
		run:    func(g *nodes) dag.Func { return g.transcript }},
	{name: nodePunctuation, version: 1, requires: []string{nodeTranscript}, task: "punctuation",
		absent: func(p Ports) bool { return p.Punctuation == nil },
		run:    func(g *nodes) dag.Func { return g.punctuation }},
	{name: nodeSpeakers, version: 1, live: []string{nodeDecode}, requires: []string{nodeSpeech}, task: "speakers", extra: true,
		absent: func(p Ports) bool { return p.Speakers == nil },
		run:    func(g *nodes) dag.Func { return g.speakers }},
	{name: nodePublisherTranscript, version: 3, requires: []string{inCaptions}, optional: []string{nodeLanguage},
		absent: func(p Ports) bool { return p.Documents == nil },
		run:    func(g *nodes) dag.Func { return g.publisherTranscript }},
	{name: nodePublisherChapters, version: 3, requires: []string{inChapters},
		absent: func(p Ports) bool { return p.Documents == nil },
		run:    func(g *nodes) dag.Func { return g.publisherChapters }},
	{name: nodeSounds, version: 1, live: []string{nodeDecode}, task: "sound-events",
		absent: func(p Ports) bool { return p.Sounds == nil },
		run:    func(g *nodes) dag.Func { return g.sounds }},
	{name: nodeTopics, version: 2, requires: []string{inAbout}, optional: []string{nodeLanguage, nodeTranscript}, task: "topics",
		absent: func(p Ports) bool { return p.Topics == nil },
		run:    func(g *nodes) dag.Func { return g.topics }},
	{name: nodePassages, version: 2, requires: []string{inAbout}, optional: []string{nodeLanguage, nodeTranscript}, task: "passages",
		absent: func(p Ports) bool { return p.Passages == nil },
		run:    func(g *nodes) dag.Func { return g.passages }},
	{name: nodeChapters, version: 1, requires: []string{nodePassages, nodeDecode},
		run: func(g *nodes) dag.Func { return g.chapters }},
	{name: nodeKeywords, version: 1, requires: []string{inAbout}, optional: []string{nodeLanguage, nodeTranscript, nodeChapters}, task: "keywords",
		absent: func(p Ports) bool { return p.Keywords == nil },
		run:    func(g *nodes) dag.Func { return g.keywords }},
	{name: nodeAds, version: 3, requires: []string{nodeDecode, nodeTranscript}, optional: []string{nodeSounds}, task: "ads",
		absent: func(p Ports) bool { return p.Ads == nil },
		run:    func(g *nodes) dag.Func { return g.ads }},
	{name: nodeHighlight, version: 3, requires: []string{inSoundbites, nodeDecode}, task: "highlight",
		optional: []string{nodeSpeech, nodeTranscript, nodeSounds, nodeTopics, nodeAds},
		absent:   func(p Ports) bool { return p.Highlight == nil },
		run:      func(g *nodes) dag.Func { return g.highlight }},
	{name: nodePreview, version: 1, requires: []string{nodeFetch, nodeHighlight},
		run: func(g *nodes) dag.Func { return g.renderPreview }},
	{name: nodeRecord, version: 3, requires: []string{inIdentity, nodeFetch, nodeDecode}, optional: append([]string{nodePublisherTranscript, nodePublisherChapters}, recorded...),
		run: func(g *nodes) dag.Func { return g.record }},
	{name: nodePublish, version: 1, requires: []string{nodeRecord}, optional: []string{nodePreview}, effect: true,
		run: func(g *nodes) dag.Func { return g.publish }},
	{name: nodeIndex, version: 1, requires: []string{nodeRecord}, optional: []string{nodePublish}, effect: true,
		run: func(g *nodes) dag.Func { return g.index }},
	{name: nodeAnnounce, version: 1, requires: []string{nodeRecord}, optional: []string{nodeIndex}, effect: true,
		absent: func(p Ports) bool { return p.Announce == nil },
		run:    func(g *nodes) dag.Func { return g.announce }},
}

// recorded are the nodes whose finding, or gap, is in the record.
var recorded = []string{nodeSpeech, nodeLanguage, nodeTranscript, nodePunctuation, nodeSpeakers, nodeSounds, nodeTopics, nodePassages, nodeChapters, nodeKeywords, nodeAds, nodeHighlight, nodePreview}

var inputs = []string{inEnclosure, inAbout, inSoundbites, inDeclared, inIdentity, inCaptions, inChapters}

// Vocabulary is what a graph's YAML may say, given the catalog's models by
// task.
func Vocabulary(models map[string][]string) dag.Vocabulary {
	v := dag.Vocabulary{Nodes: map[string]dag.Word{}, Inputs: inputs, Models: models}
	for _, k := range kinds {
		w := dag.Word{Requires: slices.Concat(k.live, k.requires), Accepts: k.optional, Task: k.task, Modelless: k.extra}
		switch k.name {
		case nodeHighlight:
			w.Parameters = func() any { return &PreviewOptions{Min: 30, Target: 60, Max: 90} }
		case nodeChapters:
			w.Parameters = func() any { return &ChapterOptions{Min: 60} }
		case nodeTranscript:
			w.Parameters = func() any { return &TranscriptOptions{Publisher: publisherPrefer} }
		}
		v.Nodes[k.name] = w
	}
	return v
}

// Check reports what parameters of a specification contradict one another.
func Check(spec *dag.Spec) error {
	for _, s := range spec.Nodes {
		if o, ok := s.Parameters.(interface{ check() error }); ok {
			if err := o.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// build makes the graph that a specification describes. identities says for
// each node what its model, engine and codec are.
func (g *nodes) build(spec *dag.Spec, identities map[string]string) (*dag.Graph, error) {
	if err := Check(spec); err != nil {
		return nil, err
	}
	var built []dag.Node
	for _, s := range spec.Nodes {
		k := kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == s.Name })]
		n := dag.Node{Name: k.name, Effect: k.effect, OnDemand: k.onDemand, Func: k.run(g)}
		for _, need := range s.Needs {
			n.Needs = append(n.Needs, dag.Need{
				Name:     need,
				Live:     slices.Contains(k.live, need),
				Optional: slices.Contains(k.optional, need),
			})
		}
		n.Version = fmt.Sprintf("%s/%d", k.name, k.version)
		if id := identities[k.name]; id != "" {
			n.Version += " " + id
		}
		if k.name == nodePunctuation && !g.plain() {
			n.Version += " as it is" // which the transcript's bytes do not tell
		}
		switch o := s.Parameters.(type) {
		case *PreviewOptions:
			g.preview = *o
		case *ChapterOptions:
			g.chapterOptions = *o
		case *TranscriptOptions:
			g.transcriptOptions = *o
		}
		if s.Parameters != nil {
			b, err := json.Marshal(s.Parameters)
			if err != nil {
				return nil, fmt.Errorf("config: graph.nodes.%s.parameters: %w", s.Name, err)
			}
			n.Version += " " + string(b)
		}
		switch {
		case !s.Enabled:
			n.Off = "turned off in the configuration"
		case k.extra && s.Model == "":
			n.Off = "no model configured"
		case k.absent != nil && k.absent(g.ports):
			n.Off = "nothing configured for it"
		case k.name == nodePublisherTranscript && publisherOption(spec) == publisherNever:
			n.Off = "graph.nodes.transcript.parameters.publisher is never"
		}
		built = append(built, n)
	}
	return dag.New(inputs, built...)
}

// publisherOption is what the transcript node's parameters say of the
// publisher's transcript.
func publisherOption(spec *dag.Spec) string {
	for _, s := range spec.Nodes {
		if o, ok := s.Parameters.(*TranscriptOptions); ok {
			return o.Publisher
		}
	}
	return publisherNever
}
