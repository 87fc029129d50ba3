package enrich

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
)

// keywordsKept is how many keywords an episode gets.
const keywordsKept = 10

// embedded is the passages node's artifact.
type embedded struct {
	Model    string              `json:"model"`
	Passages []passage           `json:"passages"`
	Vectors  []byte              `json:"vectors"` // f32, little-endian, one vector a passage
	Episode  []episode.Component `json:"episode"` // the direction of them all; empty: nothing was understood
}

// passages embeds the transcript, passage by passage, and what is said about
// the episode.
func (g *nodes) passages(ctx context.Context, t *dag.Task) (io.Reader, error) {
	about, transcript, err := g.text(ctx, t, "embedding model", g.ports.Passages.Languages())
	if err != nil {
		return nil, err
	}
	e := embedded{Passages: nonNil(cutPassages(transcript.Segments)), Episode: []episode.Component{}}
	texts := []string{strings.TrimSpace(about.Title + "\n" + about.Description)}
	for _, p := range e.Passages {
		texts = append(texts, spoken(transcript.Segments[p.First:p.Last]))
	}
	vectors, use, err := g.ports.Passages.Encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	use.note(t)
	e.Model = use.Model
	var b bytes.Buffer
	for _, v := range vectors[1:] {
		_ = binary.Write(&b, binary.LittleEndian, v) // a Buffer takes all
	}
	e.Vectors = b.Bytes()
	direction := blockOf(vectors)
	if dot(direction, direction) > 0 {
		for _, x := range direction {
			e.Episode = append(e.Episode, episode.Component(x))
		}
	}
	return document(e)
}

// chapters are the starts of the episode's chapters; their titles come with
// the keywords.
func (g *nodes) chapters(ctx context.Context, t *dag.Task) (io.Reader, error) {
	var e embedded
	var heard Heard
	if err := errors.Join(input(ctx, t, nodePassages, &e), input(ctx, t, nodeDecode, &heard)); err != nil {
		return nil, err
	}
	vectors, err := e.vectors()
	if err != nil {
		return nil, err
	}
	return document(nonNil(chapterStarts(e.Passages, vectors, heard.Duration, g.chapterOptions)))
}

func (e embedded) vectors() ([][]float32, error) {
	if len(e.Passages) == 0 {
		return nil, nil
	}
	all := make([]float32, len(e.Vectors)/4)
	if err := binary.Read(bytes.NewReader(e.Vectors), binary.LittleEndian, all); err != nil || len(all) == 0 || len(all)%len(e.Passages) != 0 {
		return nil, fmt.Errorf("read the artifact of %s: %d bytes are no vectors of %d passages", nodePassages, len(e.Vectors), len(e.Passages))
	}
	return slices.Collect(slices.Chunk(all, len(all)/len(e.Passages))), nil
}

// telling is the keywords node's artifact.
type telling struct {
	Episode  []episode.Keyword   `json:"episode"`
	Chapters [][]episode.Keyword `json:"chapters"` // one list a chapter
}

// keywords finds the words that tell what the episode, and each chapter of it,
// is about.
func (g *nodes) keywords(ctx context.Context, t *dag.Task) (io.Reader, error) {
	about, transcript, err := g.text(ctx, t, "keyword model", g.ports.Keywords.Languages())
	if err != nil {
		return nil, err
	}
	var starts []episode.Seconds
	if err := input(ctx, t, nodeChapters, &starts); err != nil {
		return nil, err
	}
	// The publisher's own words count twice: what they say, they mean.
	whole := []string{about.Title, about.Description, about.Title, about.Description}
	for _, s := range transcript.Segments {
		whole = append(whole, s.Text)
	}
	found, use, err := g.ports.Keywords.Find(ctx, [][]string{whole}, keywordsKept)
	if err != nil {
		return nil, err
	}
	k := telling{Episode: nonNil(found[0]), Chapters: [][]episode.Keyword{}}
	if len(starts) > 0 {
		parts := make([][]string, len(starts))
		for _, s := range transcript.Segments {
			i, exact := slices.BinarySearch(starts, s.Start)
			if !exact {
				i--
			}
			parts[max(0, i)] = append(parts[max(0, i)], s.Text)
		}
		var more Use
		if k.Chapters, more, err = g.ports.Keywords.Find(ctx, parts, 2); err != nil {
			return nil, err
		}
		use.Items += more.Items
		use.Waited += more.Waited
	}
	use.note(t)
	return document(k)
}

// text is what is known of the episode in words, for a model that reads the
// given languages; none at all is a gap.
func (g *nodes) text(ctx context.Context, t *dag.Task, model string, languages []string) (about, episode.Transcript, error) {
	var a about
	var language episode.Language
	var transcript episode.Transcript
	if err := errors.Join(
		input(ctx, t, inAbout, &a),
		input(ctx, t, nodeLanguage, &language),
		input(ctx, t, nodeTranscript, &transcript),
	); err != nil {
		return a, transcript, err
	}
	// Title and description may serve where nothing was recognised, but not in
	// a language that the model cannot read.
	unknown := language.Code == "" || language.Code == episode.Undetermined
	if !unknown && !slices.Contains(languages, language.Code) {
		return a, transcript, dag.LastingGap("no %s for language %q", model, language.Code)
	}
	return a, transcript, nil
}

// chaptered gives the chapters their titles: their two most telling words.
func chaptered(starts []episode.Seconds, words [][]episode.Keyword) []episode.Chapter {
	chapters := []episode.Chapter{}
	for i, at := range starts {
		title := fmt.Sprintf("Part %d", i+1)
		if i < len(words) && len(words[i]) > 0 {
			var texts []string
			for _, k := range words[i] {
				texts = append(texts, k.Text)
			}
			title = capital(strings.Join(texts, ", "))
		}
		chapters = append(chapters, episode.Chapter{Start: at, Title: title})
	}
	return chapters
}

func capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

func spoken(segments []episode.Segment) string {
	texts := make([]string, len(segments))
	for i, s := range segments {
		texts[i] = s.Text
	}
	return strings.Join(texts, " ")
}

// subject puts embedding, keywords and chapters into a record.
func subject(ctx context.Context, t *dag.Task, r *episode.Record) error {
	var e embedded
	var k telling
	var starts []episode.Seconds
	if err := errors.Join(
		input(ctx, t, nodePassages, &e),
		input(ctx, t, nodeKeywords, &k),
		input(ctx, t, nodeChapters, &starts),
	); err != nil {
		return err
	}
	if len(e.Episode) > 0 {
		r.Embedding = &episode.Embedding{Model: e.Model, Values: e.Episode}
	}
	r.Keywords = nonNil(k.Episode)
	r.Chapters = chaptered(starts, k.Chapters)
	return nil
}
