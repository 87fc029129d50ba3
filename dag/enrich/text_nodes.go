package enrich

import (
	"context"
	"errors"
	"io"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

func (g *nodes) topics(ctx context.Context, t *dag.Task) (io.Reader, error) {
	about, transcript, err := g.text(ctx, t, "topic model", g.ports.Topics.Languages())
	if err != nil {
		return nil, err
	}
	topics, use, err := g.ports.Topics.Classify(ctx, Text{about.Title, about.Description, transcript.Segments})
	if err != nil {
		return nil, err
	}
	use.note(t)
	return document(nonNil(topics))
}

func (g *nodes) ads(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var transcript episode.Transcript
	var sounds []episode.SoundEvent
	var heard Heard
	if err := errors.Join(
		input(ctx, t, nodeTranscript, &transcript),
		input(ctx, t, nodeSounds, &sounds),
		input(ctx, t, nodeDecode, &heard),
	); err != nil {
		return nil, err
	}
	ads, use, err := g.ports.Ads.Find(ctx, transcript.Segments, sounds, heard.Duration)
	if err != nil {
		return nil, err
	}
	use.note(t)
	return document(nonNil(ads))
}

// highlight chooses the span that the preview plays.
func (g *nodes) highlight(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var speech []episode.Span
	var transcript episode.Transcript
	var ads []episode.Ad
	var f Findings
	if err := errors.Join(
		input(ctx, t, nodeDecode, &f.Heard),
		input(ctx, t, nodeSpeech, &speech),
		input(ctx, t, nodeTranscript, &transcript),
		input(ctx, t, nodeSounds, &f.Sounds),
		input(ctx, t, nodeTopics, &f.Topics),
		input(ctx, t, nodeAds, &ads),
		input(ctx, t, inSoundbites, &f.Soundbites),
	); err != nil {
		return nil, err
	}
	f.Ads = ads
	f.Segments = transcript.Segments
	if len(f.Segments) == 0 {
		for _, s := range speech {
			f.Segments = append(f.Segments, episode.Segment{Span: s})
		}
	}
	var walls []episode.Span
	for _, a := range ads {
		if a.Confidence >= sureAd {
			walls = append(walls, a.Span)
		}
	}
	cs := candidates(f.Heard.Duration, answer(f.Segments, f.Sounds), walls, f.Soundbites, g.preview)
	scores, use, err := g.ports.Highlight.Rank(ctx, cs, f)
	if err != nil {
		return nil, err
	}
	use.note(t)
	best := 0
	for i := range scores {
		if scores[i] > scores[best] { // the earliest of equals
			best = i
		}
	}
	t.Note("candidates", len(cs))
	return document(choice{cs[best], episode.Score(scores[best])})
}

// choice is the highlight node's artifact.
type choice struct {
	episode.Span
	Score episode.Score `json:"score"`
}
