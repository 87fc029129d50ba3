package main

import (
	"context"
	"fmt"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ads"
	"github.com/earshot-fm/earshot/models/highlight"
	"github.com/earshot-fm/earshot/models/keyword"
	"github.com/earshot-fm/earshot/models/punctuation"
	"github.com/earshot-fm/earshot/models/topic"
)

// tasks gives every node that runs a model its port, and adds the model's
// identity to the node's.
func (p *pipeline) tasks(w *wiring, spec *dag.Spec, ports *enrich.Ports, identities map[string]string) error {
	for _, n := range spec.Nodes {
		if n.Model == "" || !n.Enabled {
			continue
		}
		m, err := w.catalog.Get(n.Model)
		if err == nil {
			err = fit(host{scheduler: p.scheduler, wiring: w}, n.Name, m, ports)
		}
		if err != nil {
			return fmt.Errorf("config: graph.nodes.%s.model: %w", n.Name, err)
		}
		identities[n.Name] = fmt.Sprintf("%s %s %s %s", m.Manifest.Ref(), m.SHA256, p.hardware.runtime.Build(), p.hardware.class)
	}
	return nil
}

// use fits a task's usage to the record's.
func use(u models.Usage) enrich.Use {
	e := enrich.Use{Model: u.Model, Device: u.Device, Items: u.Items, Waited: u.Waited}
	if u.Items > 0 {
		e.Batch = float64(u.Batch) / float64(u.Items)
	}
	return e
}

// The types below fit the models' packages to the graph's ports. Each family
// of a task has the same method.

type speechTask struct {
	d interface {
		Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, models.Usage, error)
	}
}

func (t speechTask) Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, enrich.Use, error) {
	spans, u, err := t.d.Detect(ctx, tape)
	return spans, use(u), err
}

func speech[In, Out any, R models.Runner[In, Out], T interface {
	Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Speech = speechTask{t}
		return err
	}
}

type languageTask struct {
	i interface {
		Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, models.Usage, error)
	}
}

func (t languageTask) Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, enrich.Use, error) {
	l, u, err := t.i.Identify(ctx, tape, speech)
	return l, use(u), err
}

func language[In, Out any, R models.Runner[In, Out], T interface {
	Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Language = languageTask{t}
		return err
	}
}

type transcriptTask struct {
	r interface {
		Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error)
	}
	languages []string
}

func (t transcriptTask) Languages() []string { return t.languages }

// Plain: a recogniser that does not say so punctuates.
func (t transcriptTask) Plain() bool {
	r, ok := t.r.(interface{ Plain() bool })
	return ok && r.Plain()
}

func (t transcriptTask) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, enrich.Use, error) {
	tr, u, err := t.r.Transcribe(ctx, tape, speech)
	return tr, use(u), err
}

func transcript[In, Out any, R models.Runner[In, Out], T interface {
	Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Transcript = transcriptTask{t, m.Manifest.Languages}
		return err
	}
}

type punctuationTask struct {
	p         *punctuation.Punctuator
	languages []string
}

func (t punctuationTask) Languages() []string { return t.languages }

func (t punctuationTask) Punctuate(ctx context.Context, segments []episode.Segment) ([][]string, enrich.Use, error) {
	written, u, err := t.p.Punctuate(ctx, segments)
	return written, use(u), err
}

func punctuator[In, Out any, R models.Runner[In, Out]](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (*punctuation.Punctuator, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Punctuation = punctuationTask{t, m.Manifest.Languages}
		return err
	}
}

type speakerTask struct {
	f interface {
		Find(ctx context.Context, tape audio.Reader, speech []episode.Span) ([]episode.Turn, models.Usage, error)
	}
}

func (t speakerTask) Find(ctx context.Context, tape audio.Reader, speech []episode.Span) ([]episode.Turn, enrich.Use, error) {
	turns, u, err := t.f.Find(ctx, tape, speech)
	return turns, use(u), err
}

func speakers[In, Out any, R models.Runner[In, Out], T interface {
	Find(ctx context.Context, tape audio.Reader, speech []episode.Span) ([]episode.Turn, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Speakers = speakerTask{t}
		return err
	}
}

type soundTask struct {
	d interface {
		Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, models.Usage, error)
	}
}

func (t soundTask) Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, enrich.Use, error) {
	events, u, err := t.d.Detect(ctx, tape)
	return events, use(u), err
}

func sounds[In, Out any, R models.Runner[In, Out], T interface {
	Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Sounds = soundTask{t}
		return err
	}
}

type topicTask struct {
	c interface {
		Classify(ctx context.Context, text topic.Text) ([]episode.Topic, models.Usage, error)
	}
	languages []string
}

func (t topicTask) Languages() []string { return t.languages }

func (t topicTask) Classify(ctx context.Context, text enrich.Text) ([]episode.Topic, enrich.Use, error) {
	in := topic.Text{Title: text.Title, Description: text.Description}
	for _, s := range text.Transcript {
		in.Transcript = append(in.Transcript, s.Text)
	}
	topics, u, err := t.c.Classify(ctx, in)
	return topics, use(u), err
}

func topics[In, Out any, R models.Runner[In, Out], T interface {
	Classify(ctx context.Context, text topic.Text) ([]episode.Topic, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Topics = topicTask{t, m.Manifest.Languages}
		return err
	}
}

type passageTask struct {
	e interface {
		Encode(ctx context.Context, texts []string) ([][]float32, models.Usage, error)
	}
	languages []string
}

func (t passageTask) Languages() []string { return t.languages }

func (t passageTask) Encode(ctx context.Context, texts []string) ([][]float32, enrich.Use, error) {
	vectors, u, err := t.e.Encode(ctx, texts)
	return vectors, use(u), err
}

func passages[In, Out any, R models.Runner[In, Out], T interface {
	Encode(ctx context.Context, texts []string) ([][]float32, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Passages = passageTask{t, m.Manifest.Languages}
		return err
	}
}

type keywordTask struct {
	f         *keyword.Finder
	languages []string
}

func (t keywordTask) Languages() []string { return t.languages }

func (t keywordTask) Find(ctx context.Context, parts [][]string, n int) ([][]episode.Keyword, enrich.Use, error) {
	found, u, err := t.f.Find(ctx, parts, n)
	return found, use(u), err
}

func keywords[In, Out any, R models.Runner[In, Out]](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (*keyword.Finder, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Keywords = keywordTask{t, m.Manifest.Languages}
		return err
	}
}

type adTask struct {
	f interface {
		Find(ctx context.Context, e ads.Evidence) ([]episode.Ad, models.Usage, error)
	}
}

func (t adTask) Find(ctx context.Context, segments []episode.Segment, sounds []episode.SoundEvent, duration episode.Seconds) ([]episode.Ad, enrich.Use, error) {
	found, u, err := t.f.Find(ctx, ads.Evidence{Segments: segments, SoundEvents: sounds, Duration: duration})
	return found, use(u), err
}

func advertisements[In, Out any, R models.Runner[In, Out], T interface {
	Find(ctx context.Context, e ads.Evidence) ([]episode.Ad, models.Usage, error)
}](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Ads = adTask{t}
		return err
	}
}

type highlightTask struct{ r *highlight.Ranker }

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
		Ads:         f.Ads,
	})
	scores, u, err := t.r.Rank(ctx, features)
	return scores, use(u), err
}

func ranking[In, Out any, R models.Runner[In, Out]](newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (*highlight.Ranker, error)) fitting {
	return func(h host, m *models.Model, ports *enrich.Ports) error {
		t, err := lineUp(h, m, newRunner, newTask)
		ports.Highlight = highlightTask{t}
		return err
	}
}
