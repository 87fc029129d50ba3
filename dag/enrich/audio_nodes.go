package enrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// fetch downloads the enclosure. Its live value is the path of the local file,
// which spares decode and preview reading it back from the store.
func (g *nodes) fetch(ctx context.Context, t *dag.Task) (io.Reader, error) {
	address := deliveryOf(ctx).address
	dir, err := scratch(t, g.scratch)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "enclosure")
	err = g.ports.Fetch.Fetch(ctx, address, path, func(done, total int64) {
		t.Progress(float64(done), float64(total))
	})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t.Publish(path)
	return f, nil
}

// decode measures the audio and, while it does, publishes the tape.
func (g *nodes) decode(ctx context.Context, t *dag.Task) (io.Reader, error) {
	dir, err := scratch(t, g.scratch)
	if err != nil {
		return nil, err
	}
	path, err := localFile(ctx, t, nodeFetch, dir)
	if err != nil {
		return nil, err
	}
	tape, err := audio.NewTape(dir)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = tape.Close() })
	t.Publish(tape)
	heard, err := g.ports.Audio.Decode(ctx, path, tape)
	if err != nil {
		tape.Finish(err) // whoever reads the tape must not wait for more
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	heard.Bytes = info.Size()
	for i := range heard.Warnings {
		heard.Warnings[i].Node = nodeDecode
	}
	return document(heard)
}

func (g *nodes) speech(ctx context.Context, t *dag.Task) (io.Reader, error) {
	spans, use, err := g.ports.Speech.Detect(ctx, tapeOf(t))
	if err != nil {
		return nil, err
	}
	use.note(t)
	return document(nonNil(spans))
}

func (g *nodes) language(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var speech []episode.Span
	var declared string
	if err := errors.Join(input(ctx, t, nodeSpeech, &speech), input(ctx, t, inDeclared, &declared)); err != nil {
		return nil, err
	}
	l, use, err := g.ports.Language.Identify(ctx, tapeOf(t), speech)
	if err != nil {
		return nil, err
	}
	use.note(t)
	l.Candidates = nonNil(l.Candidates)
	return document(settled(l, declared))
}

const (
	// plausible is the least confidence at which a publisher's word settles
	// what the model left open: feeds are declared in one language and hold
	// others.
	plausible episode.Score = 0.1
	// declaredOdds is how much likelier than any one other language the
	// declared one is, before anything was heard: one feed in twenty holds
	// another, and that may be one of many.
	declaredOdds episode.Score = 40
)

// settled weighs what the model heard against what the publisher declares
// (Bayes' rule). Where the model could not tell, the declared language must be
// among its candidates.
func settled(l episode.Language, declared string) episode.Language {
	at := slices.IndexFunc(l.Candidates, func(c episode.LanguageCandidate) bool { return c.Code == declared })
	if at < 0 || l.Code == declared {
		return l
	}
	c := l.Candidates[at]
	switch {
	case l.Code == episode.Undetermined && c.Confidence >= plausible:
		l.Code, l.Confidence = c.Code, c.Confidence
	case l.Code != episode.Undetermined && declaredOdds*c.Confidence > l.Confidence:
		l.Code, l.Confidence = c.Code, declaredOdds*c.Confidence/(declaredOdds*c.Confidence+1-c.Confidence)
	}
	return l
}

func (g *nodes) transcript(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var speech []episode.Span
	var language episode.Language
	if err := errors.Join(input(ctx, t, nodeSpeech, &speech), input(ctx, t, nodeLanguage, &language)); err != nil {
		return nil, err
	}
	if len(speech) == 0 {
		return nil, dag.LastingGap("nobody speaks")
	}
	published, warning, err := g.published(ctx, t, language, speech)
	if err != nil {
		return nil, err
	}
	if published != nil {
		return document(*published)
	}
	if !slices.Contains(g.ports.Transcript.Languages(), language.Code) {
		if warning != nil {
			return nil, dag.LastingGap("no recogniser for language %q, and %s", language.Code, warning.Detail)
		}
		return nil, dag.LastingGap("no recogniser for language %q", language.Code)
	}
	transcript, use, err := g.ports.Transcript.Transcribe(ctx, tapeOf(t), speech)
	if err != nil {
		return nil, err
	}
	use.note(t)
	transcript.Language = language.Code
	transcript.Segments = nonNil(transcript.Segments)
	if warning != nil {
		transcript.Warnings = append(transcript.Warnings, *warning)
	}
	for i := range transcript.Warnings {
		transcript.Warnings[i].Node = nodeTranscript
	}
	return document(transcript)
}

func (g *nodes) speakers(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var speech []episode.Span
	if err := input(ctx, t, nodeSpeech, &speech); err != nil {
		return nil, err
	}
	turns, use, err := g.ports.Speakers.Find(ctx, tapeOf(t), speech)
	if err != nil {
		return nil, err
	}
	use.note(t)
	return document(nonNil(turns))
}

func (g *nodes) sounds(ctx context.Context, t *dag.Task) (io.Reader, error) {
	events, use, err := g.ports.Sounds.Detect(ctx, tapeOf(t))
	if err != nil {
		return nil, err
	}
	use.note(t)
	return document(nonNil(events))
}

// tapeRate is the tape's, in Hz.
const tapeRate = audio.TapeRate

// tapeOf is the tape that decode publishes in this run.
func tapeOf(t *dag.Task) audio.Reader { return t.Input(nodeDecode).Live().(*audio.Tape) }

// localFile gives the path of a need's bytes on local disk: the file that its
// node left there in this run, or a copy from the store.
func localFile(ctx context.Context, t *dag.Task, need, dir string) (string, error) {
	in := t.Input(need)
	if path, ok := in.Live().(string); ok {
		return path, nil
	}
	r, err := in.Open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	path := filepath.Join(dir, need)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(f, r); err != nil {
		_ = f.Close()
		return "", fmt.Errorf("copy %s to local disk: %w", need, err)
	}
	return path, f.Close()
}

// scratch makes a folder that lives until no node uses what the task published.
func scratch(t *dag.Task, dir string) (string, error) {
	d, err := os.MkdirTemp(dir, t.Node()+"-")
	if err != nil {
		return "", fmt.Errorf("make a scratch folder: %w", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d) })
	return d, nil
}
