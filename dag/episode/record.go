package episode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Schema names the record's shape; it changes only with a new major version.
const Schema = "earshot.record/1"

// Record is the result for one episode. Everything but Run is its content:
// what was heard. Two runs that heard the same have byte-identical content.
type Record struct {
	Schema      string       `json:"schema"`
	Episode     Episode      `json:"episode"`
	Language    *Language    `json:"language,omitempty"`
	Transcript  *Transcript  `json:"transcript,omitempty"`
	Speakers    []Turn       `json:"speakers,omitempty"`
	SoundEvents []SoundEvent `json:"sound_events"`
	Topics      []Topic      `json:"topics"`
	Chapters    []Chapter    `json:"chapters"`
	Keywords    []Keyword    `json:"keywords"`
	Embedding   *Embedding   `json:"embedding,omitempty"`
	Ads         []Ad         `json:"ads"`
	Loudness    *Loudness    `json:"loudness,omitempty"`
	Preview     *Preview     `json:"preview,omitempty"`
	Gaps        []Gap        `json:"gaps"`
	Warnings    []Warning    `json:"warnings"`
	Run         *Run         `json:"run,omitempty"`
}

// Content returns the record's content as canonical JSON, without its run.
func (r *Record) Content() ([]byte, error) {
	c := *r
	c.Run = nil
	return Marshal(&c)
}

// Marshal writes v as the indented JSON in which records, transcripts and
// manifests are stored: the same value gives the same bytes.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("episode: write %T as JSON: %w", v, err)
	}
	return b.Bytes(), nil
}

// Episode is the part of a record that says which episode and which edition.
type Episode struct {
	ID          ID         `json:"id"`
	Podcast     string     `json:"podcast"`
	Title       string     `json:"title"`
	Description string     `json:"description,omitempty"`
	Revision    Revision   `json:"revision"`
	Generation  Generation `json:"generation"`
	PublishedAt time.Time  `json:"published_at,omitzero"`
	Explicit    *bool      `json:"explicit,omitempty"`
	Enclosure   Enclosure  `json:"enclosure"`
	Duration    Seconds    `json:"duration"`
}

// Check reports the first field that makes it no edition of an episode, as a
// *FieldError.
func (e *Episode) Check() error {
	if e.Generation < 0 {
		return &FieldError{"generation", fmt.Sprintf("%d is negative", e.Generation)}
	}
	return checkEdition(e.ID, e.Revision)
}

// Version is the episode's place in the index's order.
func (e *Episode) Version() Version { return Version{e.Revision, e.Generation} }

// Language is what is spoken, as BCP 47 tags.
type Language struct {
	Code       string              `json:"code"` // "und": speech in no language the model knows, or no speech
	Confidence Score               `json:"confidence"`
	Candidates []LanguageCandidate `json:"candidates"` // best first, at most five
}

// LanguageCandidate is one language with its probability.
type LanguageCandidate struct {
	Code       string `json:"code"`
	Confidence Score  `json:"confidence"`
}

// Undetermined is the BCP 47 tag for a language that could not be told.
const Undetermined = "und"

// Transcript is what was said, when.
type Transcript struct {
	Language string `json:"language"`
	Source   string `json:"source"` // "recognised", or "publisher"
	// WordTimes says where words' times come from when the model does not give
	// them by itself: "cross-attention", or "interpolated" within segments.
	WordTimes string    `json:"word_times,omitempty"`
	Segments  []Segment `json:"segments"`
	// Warnings say what was left out or doubted. A record has them among its own.
	Warnings []Warning `json:"warnings,omitempty"`
}

// Segment is a stretch of speech between two pauses; where the text was
// punctuated, also between two ends of sentences.
type Segment struct {
	Span
	Text       string `json:"text"`
	Confidence Score  `json:"confidence"`
	Words      []Word `json:"words,omitempty"`
}

// Word is one word as it was recognised. Its segment's text may have it with
// capitals and a mark.
type Word struct {
	Span
	Text       string `json:"text"`
	Confidence Score  `json:"confidence"`
}

// Turn is what one speaker says in one go.
type Turn struct {
	Speaker string `json:"speaker"` // "S1", "S2", …, as they first speak: the same voice has the same name within an episode
	Span
}

// SoundEvent is a sound by its AudioSet name and ontology id.
type SoundEvent struct {
	Label string `json:"label"`
	ID    string `json:"id"`
	Span
	Confidence Score `json:"confidence"`
}

// Audience says whether it is people who answer what was said: applause,
// cheering or laughter.
func (e *SoundEvent) Audience() bool {
	return e.Label == "Applause" || e.Label == "Cheering" || e.Label == "Laughter"
}

// Topic is an entry of a taxonomy.
type Topic struct {
	Taxonomy string `json:"taxonomy"` // "iab-3.1"
	ID       string `json:"id"`
	Name     string `json:"name"`
	Score    Score  `json:"score"`
}

// Keyword is a word or a pair of words that the episode says and others seldom
// do.
type Keyword struct {
	Text  string `json:"text"`
	Score Score  `json:"score"`
}

// Embedding places an episode among others: a vector of unit length. The inner
// product of two that one model made says how alike the episodes are.
type Embedding struct {
	Model  string      `json:"model"` // name@version
	Values []Component `json:"values"`
}

// Component is one value of an embedding; it marshals with five decimals.
type Component float64

// MarshalJSON writes c rounded to five decimals.
func (c Component) MarshalJSON() ([]byte, error) {
	return json.Marshal(round(float64(c), 1e5))
}

// Chapter starts at a time and lasts until the next.
type Chapter struct {
	Start  Seconds `json:"start"`
	Title  string  `json:"title"`
	Source string  `json:"source,omitempty"` // "publisher": it is the publisher's own
}

// Ad is a span that advertises.
type Ad struct {
	Span
	Confidence Score `json:"confidence"`
}

// Loudness is the episode's, by ITU-R BS.1770.
type Loudness struct {
	IntegratedLUFS Decibels `json:"integrated_lufs"`
	TruePeakDBTP   Decibels `json:"true_peak_dbtp"`
}

// Decibels is a level; it marshals with one decimal.
type Decibels float64

// MarshalJSON writes d rounded to a tenth.
func (d Decibels) MarshalJSON() ([]byte, error) {
	return json.Marshal(round(float64(d), 10))
}

// Preview is the stretch of the episode that stands for it, ready to play.
type Preview struct {
	Span
	Score      Score       `json:"score"`
	Manifest   string      `json:"manifest"` // object name at the origin
	Renditions []Rendition `json:"renditions"`
}

// Rendition is one encoding of a preview.
type Rendition struct {
	Codec        string   `json:"codec"`     // "vorbis", "aac"
	Container    string   `json:"container"` // "ogg", "m4a"
	BitrateKbps  int      `json:"bitrate_kbps"`
	Object       string   `json:"object"` // content-addressed name at the origin
	SHA256       string   `json:"sha256"`
	Bytes        int64    `json:"bytes"`
	Duration     Seconds  `json:"duration"`
	SampleRate   int      `json:"sample_rate"` // Hz
	Channels     int      `json:"channels"`
	LoudnessLUFS Decibels `json:"loudness_lufs"`  // measured on the decoded rendition
	TruePeakDBTP Decibels `json:"true_peak_dbtp"` // likewise
}

// Gap names a node that gave nothing, and why.
type Gap struct {
	Node   string `json:"node"`
	Reason string `json:"reason"`
}

// Warning says that something was worked around.
type Warning struct {
	Node   string `json:"node"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}
