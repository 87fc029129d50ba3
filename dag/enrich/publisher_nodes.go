package enrich

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// TranscriptOptions are the transcript node's parameters.
type TranscriptOptions struct {
	// Publisher says when the publisher's own transcript stands in for the
	// recogniser's. Never: it is not even fetched. Fallback: where no recogniser
	// knows the language, so that what is recognised depends on the audio alone.
	// Prefer: wherever it fits the audio.
	Publisher string `yaml:"publisher"`
}

const (
	publisherNever    = "never"
	publisherFallback = "fallback"
	publisherPrefer   = "prefer"
)

func (o TranscriptOptions) check() error {
	if !slices.Contains([]string{publisherNever, publisherFallback, publisherPrefer}, o.Publisher) {
		return fmt.Errorf("config: graph.nodes.transcript.parameters.publisher: %q: want never, fallback or prefer", o.Publisher)
	}
	return nil
}

// sourcePublisher is the source of what the publisher wrote.
const sourcePublisher = "publisher"

// captions is the publisher-transcript node's artifact.
type captions struct {
	Language string            `json:"language,omitempty"` // as the feed says
	Segments []episode.Segment `json:"segments"`
}

// publisherTranscript fetches the transcript that the feed links to.
func (g *nodes) publisherTranscript(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var given linked
	var language episode.Language
	if err := errors.Join(input(ctx, t, inCaptions, &given), input(ctx, t, nodeLanguage, &language)); err != nil {
		return nil, err
	}
	if g.transcriptOptions.Publisher == publisherFallback && g.ports.Transcript != nil && slices.Contains(g.ports.Transcript.Languages(), language.Code) {
		return nil, dag.LastingGap("the language %q is recognised", language.Code)
	}
	links := given.Links
	slices.SortStableFunc(links, func(a, b episode.Link) int {
		return cmp.Or(cmp.Compare(otherLanguage(a.Language, language.Code), otherLanguage(b.Language, language.Code)), cmp.Compare(captionRank(b), captionRank(a)))
	})
	var problems []error
	for _, l := range links {
		doc, err := g.ports.Documents.Read(ctx, l.URL)
		if err == nil {
			var segments []episode.Segment
			if segments, err = episode.ReadCaptions(doc); err == nil {
				return document(captions{l.Language, segments})
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, episode.ErrNoCaptions) && captionRank(l) < 0 {
			continue // text to read was promised, and no times
		}
		problems = append(problems, fmt.Errorf("%s: %w", cmp.Or(l.Type, "no type"), err))
	}
	if len(problems) == 0 {
		return nil, dag.LastingGap("the publisher gives none with times")
	}
	return nil, documentGap(t, problems...)
}

// publisherChapters fetches the chapters that the feed links to.
func (g *nodes) publisherChapters(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var given linked
	if err := input(ctx, t, inChapters, &given); err != nil {
		return nil, err
	}
	if len(given.Links) == 0 {
		return nil, dag.LastingGap("the publisher gives none")
	}
	doc, err := g.ports.Documents.Read(ctx, given.Links[0].URL)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, documentGap(t, err)
	}
	chapters, err := episode.ReadChapters(doc)
	if err != nil {
		return nil, documentGap(t, err)
	}
	for i := range chapters {
		chapters[i].Source = sourcePublisher
	}
	return document(chapters)
}

// The gaps of documents that the publisher links to. Reasons are part of keys,
// and so the same whatever the server's words; those are a note.
const (
	gapUnusable  = "what the publisher gives cannot be used"
	gapUnfetched = "what the publisher gives could not be fetched"
)

// documentGap is the gap of documents that cannot be used.
func documentGap(t *dag.Task, problems ...error) error {
	t.Note(noteProblem, errors.Join(problems...).Error())
	for _, err := range problems {
		// Another answer of the server may do; one that cannot be read will not.
		_, permanent := errors.AsType[*dag.Failure](err)
		if !permanent && !errors.Is(err, episode.ErrNoCaptions) && !errors.Is(err, episode.ErrNoChapters) {
			return dag.Gap(gapUnfetched)
		}
	}
	return dag.LastingGap(gapUnusable)
}

// publisherWarnings tell the record of documents that were given in vain.
func publisherWarnings(t *dag.Task) []episode.Warning {
	var out []episode.Warning
	for _, node := range []string{nodePublisherTranscript, nodePublisherChapters} {
		if !t.Has(node) {
			continue
		}
		switch reason, _ := t.Input(node).Gap(); reason {
		case gapUnusable:
			out = append(out, episode.Warning{Node: node, Code: "publisher-document-unusable", Detail: reason})
		case gapUnfetched:
			out = append(out, episode.Warning{Node: node, Code: "publisher-document-unfetched", Detail: reason})
		}
	}
	return out
}

// captionRank orders a feed's links by how well their types hold times. Those
// below zero are for reading, and looked at last: some publishers call every
// text so.
func captionRank(l episode.Link) int {
	switch kind, _, _ := strings.Cut(strings.ToLower(l.Type), ";"); strings.TrimSpace(kind) {
	case "application/json", "application/vnd.podcasting+json":
		return 3
	case "text/vtt":
		return 2
	case "application/x-subrip", "application/srt", "text/srt", "":
		return 1
	case "text/html", "text/plain":
		return -1
	}
	return 0
}

// otherLanguage is 0 when a link's language may be the one that is spoken.
func otherLanguage(link, spoken string) int {
	if link == "" || spoken == "" || spoken == episode.Undetermined || primary(link) == primary(spoken) {
		return 0
	}
	return 1
}

// primary is a BCP 47 tag's language without its script and region.
func primary(tag string) string {
	tag, _, _ = strings.Cut(strings.ToLower(strings.ReplaceAll(tag, "_", "-")), "-")
	return tag
}

// misfit says why a publisher's transcript cannot be of this audio; empty when
// it can. Advertisements that a server put into the audio shift all that comes
// after them: it shows at the end.
func (c *captions) misfit(language episode.Language, speech []episode.Span, duration episode.Seconds) string {
	if otherLanguage(c.Language, language.Code) != 0 {
		return fmt.Sprintf("it is in %q, and %q is spoken", c.Language, language.Code)
	}
	last := c.Segments[len(c.Segments)-1].End
	characters := 0
	tolerance := max(10, 0.02*duration)
	if last > duration+2 {
		return fmt.Sprintf("it goes on to %.0f s, and the audio ends at %.0f s", float64(last), float64(duration))
	}
	if end := speech[len(speech)-1].End; last < end-tolerance {
		return fmt.Sprintf("it ends at %.0f s, and somebody speaks until %.0f s", float64(last), float64(end))
	}
	var said, spoken, heard episode.Seconds
	for _, v := range speech {
		heard += v.Len()
	}
	for _, s := range c.Segments {
		said += s.Len()
		characters += utf8.RuneCountInString(s.Text)
		for _, v := range speech {
			spoken += s.Overlap(v)
		}
	}
	// Slow speech has four characters a second in Chinese and ten in English; no
	// one says fifty.
	switch rate := float64(characters) / float64(heard); {
	case spoken < said/2:
		return fmt.Sprintf("somebody speaks in %.0f %% of its time", 100*float64(spoken/said))
	case rate < 1:
		return fmt.Sprintf("it has %d characters for %.0f s of speech", characters, float64(heard))
	case rate > 50:
		return fmt.Sprintf("nobody can say its %d characters in %.0f s of speech", characters, float64(heard))
	}
	return ""
}

// published gives the transcript node the publisher's transcript, if there is
// one that fits; else what to say of it.
func (g *nodes) published(ctx context.Context, t *dag.Task, language episode.Language, speech []episode.Span) (*episode.Transcript, *episode.Warning, error) {
	if missing(t, nodePublisherTranscript) {
		return nil, nil, nil
	}
	var c captions
	if err := input(ctx, t, nodePublisherTranscript, &c); err != nil || len(c.Segments) == 0 {
		return nil, nil, err
	}
	samples, err := tapeOf(t).Len(ctx)
	if err != nil {
		return nil, nil, err
	}
	duration := episode.Seconds(float64(samples) / tapeRate)
	if why := c.misfit(language, speech, duration); why != "" {
		return nil, &episode.Warning{Node: nodeTranscript, Code: "publisher-transcript-misfit", Detail: "the publisher's transcript is not of this audio: " + why}, nil
	}
	code := language.Code
	if code == "" || code == episode.Undetermined {
		code = cmp.Or(primary(c.Language), episode.Undetermined)
	}
	return &episode.Transcript{Language: code, Source: sourcePublisher, Segments: within(c.Segments, duration)}, nil, nil
}

// within cuts off what lies after the end of the audio, by the little that a
// fitting transcript may.
func within(segments []episode.Segment, duration episode.Seconds) []episode.Segment {
	segments = slices.DeleteFunc(segments, func(s episode.Segment) bool { return s.Start >= duration })
	for i := range segments {
		s := &segments[i]
		s.End = min(s.End, duration)
		for j := range s.Words {
			s.Words[j].Start, s.Words[j].End = min(s.Words[j].Start, duration), min(s.Words[j].End, duration)
		}
	}
	return segments
}
