package enrich

import (
	"context"
	"time"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/episode"
)

// Ports are the abilities the graph's nodes call. Each is safe for concurrent
// use by many episodes. Errors may be dag's Retry, Reject or Gap; any other is
// a Retry. A nil task port (Speech to Highlight) makes its node a gap.
type Ports struct {
	Fetch       Fetcher
	Documents   Documents // nil: the publisher's transcript and chapters are gaps
	Audio       Audio
	Speech      SpeechDetector
	Language    LanguageIdentifier
	Transcript  Transcriber
	Punctuation Punctuator
	Speakers    SpeakerFinder
	Sounds      SoundDetector
	Topics      TopicClassifier
	Passages    PassageEncoder
	Keywords    KeywordFinder
	Ads         AdFinder
	Highlight   Ranker
	Preview     Renderer
	Publish     Publisher
	Index       Indexer
	Announce    Announcer
}

// Fetcher brings an enclosure to local disk.
type Fetcher interface {
	// Fetch writes the file at an address to path. progress is told the bytes
	// so far and in all, 0 where that is not known.
	Fetch(ctx context.Context, url, path string, progress func(done, total int64)) error
}

// Documents reads what a feed links to beside the audio.
type Documents interface {
	// Read gives a whole document, bounded in size. A Reject means that the
	// address will never give it.
	Read(ctx context.Context, url string) ([]byte, error)
}

// Audio decodes enclosures.
type Audio interface {
	// Decode writes the file's audio to the tape as 16 kHz mono, and finishes
	// it, while it measures the audio at its own rate and channels.
	Decode(ctx context.Context, path string, tape *audio.Tape) (Heard, error)
	// Build identifies the decoders: part of every audio node's key.
	Build() string
}

// Heard is what decoding tells of an episode: the decode node's artifact.
type Heard struct {
	Format     string             `json:"format"`
	Bytes      int64              `json:"bytes"`       // of the file; set by the node
	SampleRate int                `json:"sample_rate"` // Hz
	Channels   int                `json:"channels"`
	Duration   episode.Seconds    `json:"duration"`
	Loudness   *episode.Loudness  `json:"loudness,omitempty"` // nil: too quiet to be gated
	ShortTerm  []episode.Decibels `json:"short_term"`         // LUFS, one a second
	Waveform   audio.Waveform     `json:"waveform"`
	Warnings   []episode.Warning  `json:"warnings,omitempty"`
}

// Use is a model's part in a node, for the record's run.
type Use struct {
	Model  string // name@version
	Device string
	Items  int
	Batch  float64       // mean size of the batches that the items ran in
	Waited time.Duration // summed over items
}

// SpeechDetector finds where somebody speaks.
type SpeechDetector interface {
	Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, Use, error)
}

// LanguageIdentifier tells the language spoken in the given spans.
type LanguageIdentifier interface {
	Identify(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Language, Use, error)
}

// Transcriber recognises speech in the languages it knows.
type Transcriber interface {
	Languages() []string // BCP 47
	// Plain tells whether its texts are bare words: no capitals, no punctuation.
	Plain() bool
	Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, Use, error)
}

// Punctuator writes bare words as people read them.
type Punctuator interface {
	Languages() []string // BCP 47
	// Punctuate gives each segment's words, in order, with capitals and with the
	// mark after them. The segments are one transcript.
	Punctuate(ctx context.Context, segments []episode.Segment) ([][]string, Use, error)
}

// SpeakerFinder tells voices apart within the given spans.
type SpeakerFinder interface {
	// Find gives the speakers' turns in order, without overlaps.
	Find(ctx context.Context, tape audio.Reader, speech []episode.Span) ([]episode.Turn, Use, error)
}

// SoundDetector finds sounds by their AudioSet names.
type SoundDetector interface {
	Detect(ctx context.Context, tape audio.Reader) ([]episode.SoundEvent, Use, error)
}

// Text is what is known of an episode in words.
type Text struct {
	Title       string
	Description string
	Transcript  []episode.Segment // nil: none
}

// TopicClassifier says what an episode is about.
type TopicClassifier interface {
	Languages() []string // BCP 47
	Classify(ctx context.Context, text Text) ([]episode.Topic, Use, error)
}

// PassageEncoder embeds texts.
type PassageEncoder interface {
	Languages() []string // BCP 47
	// Encode gives each text's embedding, in order: vectors of one width, of
	// unit length, or zero where nothing was understood.
	Encode(ctx context.Context, texts []string) ([][]float32, Use, error)
}

// KeywordFinder finds the words that tell what texts are about.
type KeywordFinder interface {
	Languages() []string // BCP 47
	// Find gives the keywords of each part of a text, at most n each, best
	// first. A part is a list of segments.
	Find(ctx context.Context, parts [][]string, n int) ([][]episode.Keyword, Use, error)
}

// AdFinder finds advertisements.
type AdFinder interface {
	Find(ctx context.Context, segments []episode.Segment, sounds []episode.SoundEvent, duration episode.Seconds) ([]episode.Ad, Use, error)
}

// Findings are all that the earlier nodes found, for the ranker.
type Findings struct {
	Heard      Heard
	Segments   []episode.Segment // without words where there is no transcript
	Sounds     []episode.SoundEvent
	Topics     []episode.Topic
	Ads        []episode.Ad
	Soundbites []episode.Soundbite
}

// Ranker scores spans by how well each would stand for the episode.
type Ranker interface {
	// Rank returns one score in [0, 1] for each candidate, in order.
	Rank(ctx context.Context, candidates []episode.Span, f Findings) ([]float64, Use, error)
}

// Renderer cuts and encodes a preview.
type Renderer interface {
	// Render cuts the span from an enclosure at its own rate and channels and
	// gives the ladder of renditions, Object empty.
	Render(ctx context.Context, path string, span episode.Span) ([]RenderedAudio, error)
	// Build identifies the encoders: part of the preview's key.
	Build() string
}

// RenderedAudio is one rendition and its bytes.
type RenderedAudio struct {
	episode.Rendition
	Content []byte
}

// Publisher makes a preview playable at the origin.
type Publisher interface {
	// ObjectName is where bytes with this SHA-256 are published.
	ObjectName(sha256, extension string) string
	// ManifestName is where an episode's manifest is published.
	ManifestName(id episode.ID) string
	// Publish puts the objects and then the manifest in place, and returns
	// when both can be read back with their hashes. It is idempotent. When a
	// newer version is published already it changes nothing and reports
	// overtaken. A record without a preview makes that of an older version
	// unplayable.
	Publish(ctx context.Context, p Publication) (overtaken bool, err error)
}

// Publication is what Publish makes public.
type Publication struct {
	Record  *episode.Record
	Objects map[string][]byte // by the preview's renditions' object names; nil: no preview
}

// Indexer makes a record searchable.
type Indexer interface {
	// Put makes the record readable by its id with its version. It is
	// idempotent. When a newer version is there already it changes nothing
	// and reports overtaken.
	Put(ctx context.Context, r *episode.Record) (overtaken bool, err error)
}

// Announcer tells others that an episode is enriched. It may tell the same
// more than once. The record has its run, as far as it has come.
type Announcer interface {
	Announce(ctx context.Context, r *episode.Record) error
}
