package elastic

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
	"github.com/earshot-fm/earshot/workers/index/tokens"
)

// episodeSource is what is kept of an episode, or of its removal.
type episodeSource struct {
	ID           episode.ID          `json:"id"`
	Edition      edition             `json:"edition"`
	Revision     episode.Revision    `json:"revision"`
	Removed      bool                `json:"removed"`
	Podcast      string              `json:"podcast,omitempty"`
	Language     string              `json:"language,omitempty"`
	Languages    []string            `json:"languages,omitempty"` // a tag and what it is a kind of
	Published    *int64              `json:"published,omitempty"` // ms since 1970
	Topic        []string            `json:"topic,omitempty"`
	Topics       []string            `json:"topics,omitempty"` // labelKeys
	Event        []string            `json:"event,omitempty"`
	Events       []string            `json:"events,omitempty"`
	Segments     int                 `json:"segments"`
	Space        string              `json:"space,omitempty"`  // embeddings in it compare
	Vector       string              `json:"vector,omitempty"` // little-endian float32, base64
	Words        *episodeWords       `json:"words,omitempty"`
	Titles       map[string]string   `json:"titles,omitempty"` // by analyzer
	Descriptions map[string]string   `json:"descriptions,omitempty"`
	Stems        map[string][]string `json:"stems,omitempty"`
	Document     json.RawMessage     `json:"document,omitempty"`
}

type episodeWords struct {
	Title       string `json:"title"`
	Description string `json:"description"`
	Speech      string `json:"speech"`
}

// segmentSource is one segment of one edition.
type segmentSource struct {
	Episode episode.ID        `json:"episode"`
	Edition edition           `json:"edition"`
	N       int               `json:"n"`
	Start   float64           `json:"start"` // seconds
	End     float64           `json:"end"`
	Words   string            `json:"words,omitempty"`
	Text    map[string]string `json:"text"` // one, by analyzer, or unanalyzed
}

// unanalyzed is where a segment's text is whose language no analyzer knows.
const unanalyzed = "other"

// longestAnalyzed is the most of a text, in bytes, whose words are found in
// their other forms: highlighting analyzes it again, which Elasticsearch
// refuses for more than a million characters.
const longestAnalyzed = 100_000

// edition names what one Put has put, and by it its segments: the version, and
// a hash of the document, so that the same document twice is one edition, and
// another under the same version is another.
type edition string

func newEdition(number int64, document []byte) edition {
	hash := sha256.Sum256(document)
	return edition(fmt.Sprintf("%016x-%s", number, hex.EncodeToString(hash[:8])))
}

// older reports whether e is of an older version. Editions of different
// episodes do not compare.
func (e edition) older(than edition) bool { return e[:16] < than[:16] }

// segmentID is a segment's document. It begins with the episode's, since
// editions of two episodes may be named alike.
func segmentID(id episode.ID, e edition, n int) string { return fmt.Sprintf("%s:%s:%d", id, e, n) }

// encoded is a document as items of a bulk request.
type encoded struct {
	id       episode.ID
	number   int64
	edition  edition
	episode  episodeSource
	segments []segmentSource
}

// encode makes what is kept of a document. Its error is a *index.Refused.
func encode(d index.Document) (e encoded, err error) {
	n, err := number(d.Version)
	if err == nil && (d.ID == "" || len(d.ID) > 256) {
		err = fmt.Errorf("%.60q is no episode id", d.ID)
	}
	var body []byte
	if err == nil {
		body, err = json.Marshal(d)
	}
	if err != nil {
		return e, &index.Refused{ID: d.ID, Reason: err.Error()}
	}
	e = encoded{id: d.ID, number: n, edition: newEdition(n, body)}
	a := analyzer(d.Language)
	speech := make([]string, len(d.Segments))
	e.segments = make([]segmentSource, len(d.Segments))
	stems := []string{d.Title, d.Description}
	for i, s := range d.Segments {
		speech[i] = tokens.Join(s.Text)
		stems = append(stems, s.Text)
		kept := a
		if a == "" || len(s.Text) > longestAnalyzed {
			kept = unanalyzed
		}
		e.segments[i] = segmentSource{Episode: d.ID, Edition: e.edition, N: i, Start: float64(s.Start), End: float64(s.End), Words: speech[i], Text: map[string]string{kept: s.Text}}
	}
	e.episode = episodeSource{
		ID: d.ID, Edition: e.edition, Revision: d.Version.Revision, Segments: len(d.Segments),
		Podcast: d.Podcast, Language: d.Language, Languages: ancestry(d.Language),
		Words:    &episodeWords{tokens.Join(d.Title), tokens.Join(d.Description), strings.Join(speech, " ")},
		Document: body,
	}
	if !d.PublishedAt.IsZero() {
		ms := d.PublishedAt.UnixMilli()
		e.episode.Published = &ms
	}
	for _, t := range d.Topics {
		e.episode.Topic = append(e.episode.Topic, t.Name)
		e.episode.Topics = append(e.episode.Topics, labelKeys(t.Name, t.ID)...)
	}
	for _, s := range d.SoundEvents {
		e.episode.Event = append(e.episode.Event, s.Label)
		e.episode.Events = append(e.episode.Events, labelKeys(s.Label, s.ID)...)
	}
	if v := d.Embedding; v != nil && len(v.Values) > 0 {
		e.episode.Space, e.episode.Vector = space(v), base64.StdEncoding.EncodeToString(pack(v.Values))
	}
	if a != "" {
		e.episode.Titles = map[string]string{a: head(d.Title)}
		e.episode.Descriptions = map[string]string{a: head(d.Description)}
		e.episode.Stems = map[string][]string{a: stems}
	}
	return e, nil
}

// encodeRemoval makes what is kept of a removal. Its error is a *index.Refused.
func encodeRemoval(id episode.ID, r episode.Revision) (encoded, error) {
	n, err := removalNumber(r)
	if err != nil {
		return encoded{}, &index.Refused{ID: id, Reason: err.Error()}
	}
	e := newEdition(n, nil)
	return encoded{id: id, number: n, edition: e, episode: episodeSource{ID: id, Edition: e, Revision: r, Removed: true}}, nil
}

// head is as much of a text as is analyzed.
func head(text string) string {
	if len(text) <= longestAnalyzed {
		return text
	}
	return strings.ToValidUTF8(text[:longestAnalyzed], "")
}

// labelKeys are what a topic or sound event is found by: its name, folded, and
// its id.
func labelKeys(name, id string) []string { return []string{"name " + tokens.Join(name), "id " + id} }

// space names what embeddings must share to be compared.
func space(e *episode.Embedding) string { return fmt.Sprintf("%s/%d", e.Model, len(e.Values)) }

// pack writes a vector as little-endian float32.
func pack(values []episode.Component) []byte {
	b := make([]byte, 0, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(v)))
	}
	return b
}

// item is one action of a bulk request, as it is sent.
type item struct {
	action, source string // source is empty where the action has none
	segment        bool
}

// Source implements the client library's BulkableRequest.
func (i item) Source() ([]string, error) {
	if i.source == "" {
		return []string{i.action}, nil
	}
	return []string{i.action, i.source}, nil
}

func (i item) String() string { return i.action }
func (i item) bytes() int     { return len(i.action) + len(i.source) + 2 }

// action is what a bulk request's line says is to be done.
type action struct {
	Index       string `json:"_index"`
	ID          string `json:"_id"`
	Routing     string `json:"routing,omitempty"`
	Version     *int64 `json:"version,omitempty"` // 0 is one
	VersionType string `json:"version_type,omitempty"`
	// RequireAlias: an index that is not there is a fault, and is not made with
	// a mapping that somebody guessed.
	RequireAlias bool `json:"require_alias,omitempty"`
}

// target is where items go: by the writers' aliases, or into a pair of indices
// that is being filled.
type target struct {
	episodes, segments string
	aliases            bool
	versionType        string
}

const (
	newerOrSame = "external_gte"
	newerOnly   = "external"
)

func (t target) episodeItem(e encoded) item {
	return newItem("index", action{Index: t.episodes, ID: string(e.id), Version: &e.number, VersionType: t.versionType, RequireAlias: t.aliases}, e.episode)
}

func (t target) segmentItems(e encoded) []item {
	items := make([]item, len(e.segments))
	for i, s := range e.segments {
		items[i] = newItem("index", action{Index: t.segments, ID: segmentID(e.id, e.edition, i), Routing: string(e.id), RequireAlias: t.aliases}, s)
		items[i].segment = true
	}
	return items
}

// deletion removes the n-th segment of an edition.
func (t target) deletion(id episode.ID, e edition, n int) item {
	i := newItem("delete", action{Index: t.segments, ID: segmentID(id, e, n), Routing: string(id)}, nil)
	i.segment = true
	return i
}

func newItem(verb string, a action, source any) item {
	i := item{action: line(map[string]action{verb: a})}
	if source != nil {
		i.source = line(source)
	}
	return i
}

// line writes JSON without a line's end, and without the detour of <, > and &
// through \u escapes, since transcripts have many.
func line(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("index: elasticsearch: a document that was JSON no longer is: %v", err)) // encode has marshalled all of it
	}
	return strings.TrimSuffix(b.String(), "\n")
}
