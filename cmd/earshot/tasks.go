package main

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ads"
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/highlight"
	"github.com/earshot-fm/earshot/models/langid"
	"github.com/earshot-fm/earshot/models/sound"
	"github.com/earshot-fm/earshot/models/topic"
	"github.com/earshot-fm/earshot/models/vad"
)

// tasks gives every node that runs a model its port, and adds the model's
// identity to the node's.
func (p *pipeline) tasks(spec *dag.Spec, runtime models.Runtime, ports *enrich.Ports, identities map[string]string) error {
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		m, err := p.catalog.Get(n.Model)
		if err == nil {
			err = p.task(n.Name, m, ports)
		}
		if err != nil {
			return fmt.Errorf("config: graph.nodes.%s.model: %w", n.Name, err)
		}
		identities[n.Name] = fmt.Sprintf("%s %s %s cpu", m.Manifest.Ref(), m.SHA256, runtime.Build())
	}
	return nil
}

func (p *pipeline) task(node string, m *models.Model, ports *enrich.Ports) (err error) {
	switch node {
	case "speech":
		ports.Speech, err = newSpeech(p.scheduler, m)
	case "language":
		ports.Language, err = newLanguage(p.scheduler, m)
	case "transcript":
		ports.Transcript, err = newTranscript(p.scheduler, m)
	case "sound-events":
		ports.Sounds, err = newSounds(p.scheduler, m)
	case "topics":
		ports.Topics, err = newTopics(p.scheduler, m)
	case "ads":
		ports.Ads, err = newAds(p.scheduler, m)
	case "highlight":
		ports.Highlight, err = newHighlight(p.scheduler, m)
	default:
		err = fmt.Errorf("node %q runs no model", node)
	}
	return err
}

// lineUp makes a task's queue from its model and runner.
func lineUp[In, Out any, R models.Runner[In, Out]](s *gpu.Scheduler, m *models.Model, newRunner func(*models.Model) (R, error)) (*gpu.Queue[In, Out], error) {
	r, err := newRunner(m)
	if err != nil {
		return nil, err
	}
	return gpu.NewQueue[In, Out](s, m, r)
}

// use fits a task's usage to the record's.
func use(u models.Usage) enrich.Use {
	e := enrich.Use{Model: u.Model, Device: u.Device, Items: u.Items, Waited: u.Waited}
	if u.Items > 0 {
		e.Batch = float64(u.Batch) / float64(u.Items)
	}
	return e
}

type speechTask struct{ *vad.Detector }

func newSpeech(s *gpu.Scheduler, m *models.Model) (enrich.SpeechDetector, error) {
	q, err := lineUp(s, m, vad.NewRunner)
	if err != nil {
		return nil, err
	}
	d, err := vad.New(m, q)
	return speechTask{d}, err
}

func (t speechTask) Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, enrich.Use, error) {
	spans, u, err := t.Detector.Detect(ctx, tape)
	return spans, use(u), err
}

type languageTask struct{ *langid.Identifier }

func newLanguage(s *gpu.Scheduler, m *models.Model) (enrich.LanguageIdentifier, error) {
	q, err := lineUp(s, m, langid.NewRunner)
	if err != nil {
		return nil, err
	}
	i, err := langid.New(m, q)
	return languageTask{i}, err
}

func (t languageTask) Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, enrich.Use, error) {
	l, u, err := t.Identifier.Identify(ctx, tape, speech)
	return l, use(u), err
}

type transcriptTask struct{ *asr.Recognizer }

func newTranscript(s *gpu.Scheduler, m *models.Model) (enrich.Transcriber, error) {
	q, err := lineUp(s, m, asr.NewRunner)
	if err != nil {
		return nil, err
	}
	r, err := asr.New(m, q)
	return transcriptTask{r}, err
}

func (t transcriptTask) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, enrich.Use, error) {
	tr, u, err := t.Recognizer.Transcribe(ctx, tape, speech)
	return tr, use(u), err
}

type soundTask struct{ *sound.Detector }

func newSounds(s *gpu.Scheduler, m *models.Model) (enrich.SoundDetector, error) {
	q, err := lineUp(s, m, sound.NewRunner)
	if err != nil {
		return nil, err
	}
	d, err := sound.New(m, q)
	return soundTask{d}, err
}

func (t soundTask) Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, enrich.Use, error) {
	events, u, err := t.Detector.Detect(ctx, tape)
	return events, use(u), err
}

type topicTask struct {
	*topic.Classifier
	languages []string
}

func (t topicTask) Languages() []string { return t.languages }

func newTopics(s *gpu.Scheduler, m *models.Model) (enrich.TopicClassifier, error) {
	q, err := lineUp(s, m, topic.NewRunner)
	if err != nil {
		return nil, err
	}
	c, err := topic.New(m, q)
	return topicTask{c, m.Manifest.Languages}, err
}

func (t topicTask) Classify(ctx context.Context, text enrich.Text) ([]episode.Topic, enrich.Use, error) {
	in := topic.Text{Title: text.Title, Description: text.Description}
	for _, s := range text.Transcript {
		in.Transcript = append(in.Transcript, s.Text)
	}
	topics, u, err := t.Classifier.Classify(ctx, in)
	return topics, use(u), err
}

type adTask struct{ *ads.Finder }

func newAds(s *gpu.Scheduler, m *models.Model) (enrich.AdFinder, error) {
	q, err := lineUp(s, m, ads.NewRunner)
	if err != nil {
		return nil, err
	}
	f, err := ads.New(m, q)
	return adTask{f}, err
}

func (t adTask) Find(ctx context.Context, segments []episode.Segment, sounds []episode.SoundEvent, duration episode.Seconds) ([]episode.Ad, enrich.Use, error) {
	found, u, err := t.Finder.Find(ctx, ads.Evidence{Segments: segments, SoundEvents: sounds, Duration: duration})
	return found, use(u), err
}

type highlightTask struct{ *highlight.Ranker }

func newHighlight(s *gpu.Scheduler, m *models.Model) (enrich.Ranker, error) {
	q, err := lineUp(s, m, highlight.NewRunner)
	if err != nil {
		return nil, err
	}
	r, err := highlight.New(m, q)
	return highlightTask{r}, err
}

func (t highlightTask) Rank(ctx context.Context, candidates []episode.Span, f enrich.Findings) ([]float64, enrich.Use, error) {
	shortTerm := make([]float64, len(f.Heard.ShortTerm))
	for i, v := range f.Heard.ShortTerm {
		shortTerm[i] = float64(v)
	}
	features := highlight.Describe(candidates, highlight.Episode{
		Duration:    f.Heard.Duration,
		Segments:    f.Segments,
		SoundEvents: f.Sounds,
		Topics:      f.Topics,
		Loudness:    f.Heard.Loudness,
		ShortTerm:   shortTerm,
		Soundbites:  f.Soundbites,
	})
	scores, u, err := t.Ranker.Rank(ctx, features)
	return scores, use(u), err
}
