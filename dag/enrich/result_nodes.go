package enrich

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// renderPreview cuts and encodes the chosen span.
func (g *nodes) renderPreview(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var chosen choice
	if err := input(ctx, t, nodeHighlight, &chosen); err != nil {
		return nil, err
	}
	dir, err := scratch(t, g.scratch)
	if err != nil {
		return nil, err
	}
	path, err := localFile(ctx, t, nodeFetch, dir)
	if err != nil {
		return nil, err
	}
	rendered, err := g.ports.Preview.Render(ctx, path, chosen.Span)
	if err != nil {
		return nil, err
	}
	p := episode.Preview{Span: chosen.Span, Score: chosen.Score}
	objects := map[string][]byte{}
	for _, r := range rendered {
		r.Object = g.ports.Publish.ObjectName(r.SHA256, r.Container)
		p.Renditions = append(p.Renditions, r.Rendition)
		objects[r.Object] = r.Content
	}
	return writeBundle(p, objects)
}

// record puts together what all nodes found.
func (g *nodes) record(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var who identity
	var heard Heard
	if err := errors.Join(input(ctx, t, inIdentity, &who), input(ctx, t, nodeDecode, &heard)); err != nil {
		return nil, err
	}
	r := episode.Record{
		Schema:      episode.Schema,
		Episode:     episode.Episode(who),
		SoundEvents: []episode.SoundEvent{},
		Topics:      []episode.Topic{},
		Ads:         []episode.Ad{},
		Loudness:    heard.Loudness,
		Gaps:        []episode.Gap{},
		Warnings:    nonNil(heard.Warnings),
	}
	r.Episode.Duration = heard.Duration
	r.Episode.Enclosure.SHA256 = t.Input(nodeFetch).Hash()
	r.Episode.Enclosure.Bytes = heard.Bytes
	parts := map[string]any{
		nodeLanguage:   &r.Language,
		nodeTranscript: &r.Transcript,
		nodeSpeakers:   &r.Speakers,
		nodeSounds:     &r.SoundEvents,
		nodeTopics:     &r.Topics,
		nodeAds:        &r.Ads,
	}
	for _, node := range recorded {
		if !t.Has(node) {
			r.Gaps = append(r.Gaps, episode.Gap{Node: node, Reason: "not in the graph"})
		} else if reason, gap := t.Input(node).Gap(); gap {
			if node == nodePunctuation && r.Transcript == nil {
				continue // the transcript's own gap says why
			}
			r.Gaps = append(r.Gaps, episode.Gap{Node: node, Reason: reason})
		} else if into := parts[node]; into != nil {
			if err := input(ctx, t, node, into); err != nil {
				return nil, err
			}
		}
	}
	if !missing(t, nodePunctuation) {
		r.Transcript = nil // decoding into it would mix the two
		if err := input(ctx, t, nodePunctuation, &r.Transcript); err != nil {
			return nil, err
		}
	}
	if r.Transcript != nil {
		r.Warnings = append(r.Warnings, r.Transcript.Warnings...)
		r.Transcript.Warnings = nil
	}
	if err := subject(ctx, t, &r); err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, publisherWarnings(t)...)
	var published []episode.Chapter
	if err := input(ctx, t, nodePublisherChapters, &published); err != nil {
		return nil, err
	}
	published = slices.DeleteFunc(published, func(c episode.Chapter) bool { return c.Start >= heard.Duration })
	if len(published) > 0 { // they go before ours
		r.Chapters = published
	}
	if !missing(t, nodePreview) {
		b, err := t.Input(nodePreview).Open(ctx)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		p, err := readBundleIndex(b)
		if err != nil {
			return nil, err
		}
		// Not the bundle's to say: it is the same for every episode with this audio.
		p.Manifest = g.ports.Publish.ManifestName(who.ID)
		r.Preview = &p
	}
	content, err := r.Content()
	return bytes.NewReader(content), err
}

func (g *nodes) publish(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var r episode.Record
	if err := input(ctx, t, nodeRecord, &r); err != nil {
		return nil, err
	}
	objects, err := previewObjects(ctx, t)
	if err != nil {
		return nil, err
	}
	overtaken, err := g.ports.Publish.Publish(ctx, Publication{Record: &r, Objects: objects})
	if overtaken {
		t.Note(noteOvertaken, true)
	}
	return nil, err
}

// previewObjects are the preview's files; none where there is no preview.
func previewObjects(ctx context.Context, t *dag.Task) (map[string][]byte, error) {
	if missing(t, nodePreview) {
		return nil, nil
	}
	b, err := t.Input(nodePreview).Open(ctx)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	_, objects, err := readBundle(b)
	return objects, err
}

func (g *nodes) index(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var r episode.Record
	if err := input(ctx, t, nodeRecord, &r); err != nil {
		return nil, err
	}
	overtaken, err := g.ports.Index.Put(ctx, &r)
	if overtaken {
		t.Note(noteOvertaken, true)
	}
	return nil, err
}

func (g *nodes) announce(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var r episode.Record
	if err := input(ctx, t, nodeRecord, &r); err != nil {
		return nil, err
	}
	report, d := t.Report(), deliveryOf(ctx)
	if overtaken(report) {
		return nil, nil // whoever published the newer version announces it
	}
	r.Run = runOf(report, d.firstSeen, d.received)
	delete(r.Run.Nodes, nodeAnnounce) // what becomes of it is not known yet
	return nil, g.ports.Announce.Announce(ctx, &r)
}

// noteOvertaken marks an effect that found a newer version in place.
const noteOvertaken = "overtaken"

// note puts a model's part into the node's decision.
func (u Use) note(t *dag.Task) {
	t.Note(noteModel, u.Model)
	t.Note(noteDevice, u.Device)
	t.Note(noteItems, u.Items)
	t.Note(noteBatch, u.Batch)
	t.Note(noteWaited, u.Waited)
}

const (
	noteModel   = "model"
	noteDevice  = "device"
	noteItems   = "items"
	noteBatch   = "batch"
	noteWaited  = "waited"
	noteProblem = "problem"
)

// document is a JSON artifact.
func document(v any) (io.Reader, error) {
	b, err := episode.Marshal(v)
	if err != nil {
		return nil, err
	}
	return bytes.NewReader(b), nil
}

// nonNil makes an absent list an empty one: records say [] and never null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// missing tells whether a need is a gap, or not in the graph at all.
func missing(t *dag.Task, name string) bool {
	if !t.Has(name) {
		return true
	}
	_, gap := t.Input(name).Gap()
	return gap
}

// input reads a need that holds JSON; a missing one leaves v as it is.
func input(ctx context.Context, t *dag.Task, name string, v any) error {
	if missing(t, name) {
		return nil
	}
	b, err := t.Input(name).Bytes(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read the artifact of %s: %w", name, err)
	}
	return nil
}
