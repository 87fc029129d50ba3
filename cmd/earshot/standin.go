package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
)

// standIn takes the place of download, codecs and models where only what is
// around them is looked at: load and fault tests (stream --stand-in). It costs
// a fixed time an episode, and what it hears follows from the enclosure's
// address alone, so that two runs can be compared.
type standIn struct{ cost time.Duration }

// standInParts are the calls among which the cost is divided: of decode,
// transcript and preview, which come one after the other.
const standInParts = 3

func (s standIn) fit(ports *enrich.Ports) {
	ports.Fetch, ports.Documents, ports.Audio, ports.Preview = s, nil, s, s
	ports.Speech, ports.Language, ports.Transcript, ports.Punctuation = heardSpeech{}, s, s, nil
	ports.Sounds, ports.Topics, ports.Passages, ports.Keywords = heardSounds{}, s, s, heardKeywords{}
	ports.Ads, ports.Highlight = heardAds{}, s
}

func (s standIn) work(ctx context.Context) error {
	timer := time.NewTimer(s.cost / standInParts)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

const standInSeconds = 60 // of an episode

func (s standIn) Fetch(_ context.Context, address, path string, progress func(done, total int64)) error {
	progress(int64(len(address)), int64(len(address)))
	return os.WriteFile(path, []byte(address), 0o600)
}

// Decode gives a tape whose first samples are the file's hash, which is all
// that tells episodes apart.
func (s standIn) Decode(ctx context.Context, path string, tape *audio.Tape) (enrich.Heard, error) {
	file, err := os.ReadFile(path)
	if err == nil {
		err = s.work(ctx)
	}
	if err == nil {
		samples := make([]float32, standInSeconds*audio.TapeRate)
		for i, b := range sha256.Sum256(file) {
			samples[i] = float32(b) / 256
		}
		err = tape.Write(samples)
	}
	tape.Finish(err)
	return enrich.Heard{Format: "stand-in", SampleRate: audio.TapeRate, Channels: 1, Duration: standInSeconds, ShortTerm: []episode.Decibels{}}, err
}

func (standIn) Build() string       { return "stand-in" }
func (standIn) Languages() []string { return []string{"en"} }
func (standIn) Plain() bool         { return false }

func (standIn) Identify(context.Context, audio.Reader, []episode.Span) (episode.Language, enrich.Use, error) {
	return episode.Language{Code: "en", Confidence: 1, Candidates: []episode.LanguageCandidate{{Code: "en", Confidence: 1}}}, enrich.Use{}, nil
}

var standInWords = strings.Fields("penalty goal keeper night planet star dust bread flour oven river boat harbour stage applause music letter garden winter market")

// Transcribe says words that follow from the tape's first samples.
func (s standIn) Transcribe(ctx context.Context, tape audio.Reader, speech []episode.Span) (episode.Transcript, enrich.Use, error) {
	if err := s.work(ctx); err != nil {
		return episode.Transcript{}, enrich.Use{}, err
	}
	head := make([]float32, sha256.Size)
	if _, err := tape.ReadAt(ctx, head, 0); err != nil {
		return episode.Transcript{}, enrich.Use{}, err
	}
	var seed [sha256.Size]byte
	for i, v := range head {
		seed[i] = byte(v * 256)
	}
	random := rand.New(rand.NewChaCha8(seed))
	t := episode.Transcript{Language: "en", Source: "recognised"}
	for _, span := range speech {
		var words []string
		for range 12 {
			words = append(words, standInWords[random.IntN(len(standInWords))])
		}
		t.Segments = append(t.Segments, episode.Segment{Span: span, Text: strings.Join(words, " "), Confidence: 0.9})
	}
	return t, enrich.Use{Model: "stand-in@1"}, nil
}

func (standIn) Classify(context.Context, enrich.Text) ([]episode.Topic, enrich.Use, error) {
	return []episode.Topic{{Taxonomy: "iab-3.1", ID: "483", Name: "Sports", Score: 0.9}}, enrich.Use{}, nil
}

func (standIn) Encode(_ context.Context, texts []string) ([][]float32, enrich.Use, error) {
	vectors := make([][]float32, len(texts))
	for i := range vectors {
		vectors[i] = []float32{1, 0}
	}
	return vectors, enrich.Use{Model: "stand-in@1"}, nil
}

func (standIn) Rank(_ context.Context, candidates []episode.Span, _ enrich.Findings) ([]float64, enrich.Use, error) {
	return make([]float64, len(candidates)), enrich.Use{}, nil
}

// Render gives 4 KiB for each of two renditions.
func (s standIn) Render(ctx context.Context, path string, span episode.Span) ([]enrich.RenderedAudio, error) {
	file, err := os.ReadFile(path)
	if err == nil {
		err = s.work(ctx)
	}
	if err != nil {
		return nil, err
	}
	var rendered []enrich.RenderedAudio
	for _, kbps := range []int{96, 160} {
		seed := sha256.Sum256(fmt.Appendf(file, " %v %d", span, kbps))
		random := rand.NewChaCha8(seed)
		content := make([]byte, 4096)
		for i := 0; i < len(content); i += 8 {
			binary.LittleEndian.PutUint64(content[i:], random.Uint64())
		}
		sum := sha256.Sum256(content)
		rendered = append(rendered, enrich.RenderedAudio{Content: content, Rendition: episode.Rendition{
			Codec: "vorbis", Container: "ogg", BitrateKbps: kbps, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(content)),
			Duration: span.Len(), SampleRate: audio.TapeRate, Channels: 1,
		}})
	}
	return rendered, nil
}

type heardSpeech struct{}

func (heardSpeech) Detect(context.Context, audio.Reader) (spans []episode.Span, _ enrich.Use, _ error) {
	for at := episode.Seconds(0); at < standInSeconds; at += 5 {
		spans = append(spans, episode.Span{Start: at + 0.5, End: at + 4.5})
	}
	return spans, enrich.Use{}, nil
}

type heardSounds struct{}

func (heardSounds) Detect(context.Context, audio.Reader) ([]episode.SoundEvent, enrich.Use, error) {
	return []episode.SoundEvent{}, enrich.Use{}, nil
}

type heardKeywords struct{}

func (heardKeywords) Languages() []string { return []string{"en"} }
func (heardKeywords) Find(_ context.Context, parts [][]string, _ int) ([][]episode.Keyword, enrich.Use, error) {
	return make([][]episode.Keyword, len(parts)), enrich.Use{}, nil
}

type heardAds struct{}

func (heardAds) Find(context.Context, []episode.Segment, []episode.SoundEvent, episode.Seconds) ([]episode.Ad, enrich.Use, error) {
	return nil, enrich.Use{}, nil
}
