package enrich

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/artifact"
	"github.com/earshot-fm/earshot/dag/episode"
)

// world is drivers and models whose answers follow from the audio, and a count
// of what was asked of them.
type world struct {
	mu         sync.Mutex
	calls      []string
	language   string
	candidates []episode.LanguageCandidate
	topic      string
	best       int // the candidate that the ranker prefers
	fetchErr   error
	documents  documents
	doubts     []episode.Warning // of the recogniser
	punctuates bool              // the recogniser does by itself
	writing    []string          // languages of the punctuation model
	writeErr   error             // of the same
	newer      bool              // the index holds a newer version
	indexed    *episode.Record
	announced  *episode.Record
	objects    map[string][]byte
	published  *episode.Record
}

func (w *world) called(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, name)
}

func (w *world) Fetch(_ context.Context, url, path string, progress func(int64, int64)) error {
	w.called("fetch")
	if w.fetchErr != nil {
		return w.fetchErr
	}
	progress(1, 1)
	return os.WriteFile(path, []byte("audio at "+url), 0o600)
}

type fakeAudio struct{ *world }

func (f fakeAudio) Decode(_ context.Context, path string, tape *audio.Tape) (Heard, error) {
	f.called("decode")
	if _, err := os.ReadFile(path); err != nil {
		return Heard{}, err
	}
	err := tape.Write(make([]float32, 200*audio.TapeRate))
	tape.Finish(err)
	return Heard{Format: "wav", SampleRate: 44100, Channels: 2, Duration: 200, Loudness: &episode.Loudness{IntegratedLUFS: -20}}, err
}
func (fakeAudio) Build() string { return "fake" }

type fakeSpeech struct{ *world }

func (f fakeSpeech) Detect(ctx context.Context, tape audio.Reader) ([]episode.Span, Use, error) {
	f.called("speech")
	n, err := tape.Len(ctx)
	var out []episode.Span
	for at := episode.Seconds(0); at < episode.Seconds(n)/audio.TapeRate; at += 5 {
		out = append(out, episode.Span{Start: at + 0.5, End: at + 4.5})
	}
	return out, Use{Model: "speech@1", Items: 3, Batch: 2}, err
}

type fakeLanguage struct{ *world }

func (f fakeLanguage) Identify(context.Context, audio.Reader, []episode.Span) (episode.Language, Use, error) {
	f.called("language")
	return episode.Language{Code: f.language, Confidence: 0.9, Candidates: f.candidates}, Use{}, nil
}

type fakeTranscriber struct{ *world }

func (fakeTranscriber) Languages() []string { return []string{"en"} }
func (f fakeTranscriber) Plain() bool       { return !f.punctuates }
func (f fakeTranscriber) Transcribe(_ context.Context, _ audio.Reader, speech []episode.Span) (episode.Transcript, Use, error) {
	f.called("transcript")
	t := episode.Transcript{Source: "recognised", Warnings: slices.Clone(f.doubts)}
	for _, s := range speech {
		t.Segments = append(t.Segments, episode.Segment{Span: s, Text: strings.Repeat("words ", 12), Confidence: 0.8})
	}
	return t, Use{}, nil
}

type fakePunctuator struct{ *world }

func (f fakePunctuator) Languages() []string { return f.writing }

// Punctuate makes each segment a sentence.
func (f fakePunctuator) Punctuate(_ context.Context, segments []episode.Segment) ([][]string, Use, error) {
	f.called("punctuate")
	written := make([][]string, len(segments))
	for i, s := range segments {
		written[i] = strings.Fields(capital(s.Text) + ".")
	}
	return written, Use{Model: "marks@1"}, f.writeErr
}

type fakeSpeakers struct{ *world }

func (f fakeSpeakers) Find(_ context.Context, _ audio.Reader, speech []episode.Span) ([]episode.Turn, Use, error) {
	f.called("speakers")
	return []episode.Turn{{Speaker: "S1", Span: speech[0]}, {Speaker: "S2", Span: speech[1]}}, Use{Model: "voices@1"}, nil
}

type fakeSounds struct{ *world }

func (f fakeSounds) Detect(context.Context, audio.Reader) ([]episode.SoundEvent, Use, error) {
	f.called("sounds")
	return []episode.SoundEvent{{Label: "Music", ID: "/m/04rlf", Span: episode.Span{End: 4}, Confidence: 1}}, Use{}, nil
}

type fakeTopics struct{ *world }

func (fakeTopics) Languages() []string { return []string{"en"} }
func (f fakeTopics) Classify(_ context.Context, text Text) ([]episode.Topic, Use, error) {
	f.called("topics")
	return []episode.Topic{{Taxonomy: "iab-3.1", ID: "1", Name: f.topic, Score: 0.5}}, Use{}, nil
}

type fakePassages struct{ *world }

func (fakePassages) Languages() []string { return []string{"en"} }

// Encode puts what is said before the middle and after it at right angles.
func (f fakePassages) Encode(_ context.Context, texts []string) ([][]float32, Use, error) {
	f.called("embed")
	vectors := make([][]float32, len(texts))
	for i := range texts {
		vectors[i] = []float32{1, 0}
		if i > len(texts)/2 {
			vectors[i] = []float32{0, 1}
		}
	}
	return vectors, Use{Model: "passages@1"}, nil
}

type fakeKeywords struct{ *world }

func (fakeKeywords) Languages() []string { return []string{"en"} }
func (f fakeKeywords) Find(_ context.Context, parts [][]string, n int) ([][]episode.Keyword, Use, error) {
	f.called("keywords")
	found := make([][]episode.Keyword, len(parts))
	for i := range parts {
		found[i] = []episode.Keyword{{Text: "penalty", Score: 0.5}}
	}
	return found, Use{}, nil
}

type fakeAds struct{ *world }

func (f fakeAds) Find(context.Context, []episode.Segment, []episode.SoundEvent, episode.Seconds) ([]episode.Ad, Use, error) {
	f.called("ads")
	return []episode.Ad{{Span: episode.Span{Start: 100, End: 120}, Confidence: 0.9}}, Use{}, nil
}

type fakeRanker struct{ *world }

func (f fakeRanker) Rank(_ context.Context, candidates []episode.Span, _ Findings) ([]float64, Use, error) {
	f.called("rank")
	scores := make([]float64, len(candidates))
	scores[f.best%len(scores)] = 1
	return scores, Use{}, nil
}

type fakeRenderer struct{ *world }

func (f fakeRenderer) Render(_ context.Context, path string, span episode.Span) ([]RenderedAudio, error) {
	f.called("render")
	b, err := os.ReadFile(path)
	content := append(b, []byte(span.Start.Duration().String())...)
	sum := sha256.Sum256(content)
	r := episode.Rendition{Codec: "vorbis", Container: "ogg", SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(content))}
	return []RenderedAudio{{r, content}, {r, content}}, err
}
func (fakeRenderer) Build() string { return "fake" }

func (w *world) ObjectName(sha, ext string) string { return "objects/" + sha + "." + ext }
func (w *world) ManifestName(id episode.ID) string { return "manifests/" + string(id) }
func (w *world) Publish(_ context.Context, p Publication) (bool, error) {
	w.called("publish")
	w.objects, w.published = p.Objects, p.Record
	return false, nil
}
func (w *world) Put(_ context.Context, r *episode.Record) (bool, error) {
	w.called("index")
	w.indexed = r
	return w.newer, nil
}
func (w *world) Announce(_ context.Context, r *episode.Record) error {
	w.called("announce")
	w.announced = r
	return nil
}

// setup is a world and a store that outlives the enrichers made on it.
type setup struct {
	*world
	store *artifact.Store
}

func newSetup(t *testing.T) *setup {
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { _ = b.Close() })
	return &setup{&world{language: "en", topic: "Sports", writing: []string{"en"}}, artifact.New(b, t.TempDir())}
}

func (s *setup) enricher(t *testing.T, identities map[string]string) *Enricher {
	t.Helper()
	return s.configured(t, identities, "", "")
}

// configured is an enricher with the default graph, in which old is replaced
// by new.
func (s *setup) configured(t *testing.T, identities map[string]string, old, new string) *Enricher {
	t.Helper()
	task := map[string][]string{}
	for _, k := range kinds {
		if k.task != "" {
			task[k.task] = []string{"earshot-vad", "earshot-langid", "earshot-en", "earshot-punctuation", "earshot-sound", "earshot-topics", "earshot-passages", "earshot-keywords", "earshot-ads", "earshot-highlight", "earshot-passages", "earshot-keywords"}
		}
	}
	spec, err := dag.ParseSpec(bytes.Replace(DefaultGraph, []byte(old), []byte(new), 2), Vocabulary(task))
	if err != nil {
		t.Fatal(err)
	}
	w := s.world
	e, err := New(Options{
		Spec: spec, Generation: 3, Identities: identities, Store: s.store, Ledger: s.store, Scratch: t.TempDir(),
		Worker: "w1",
		Ports: Ports{
			Fetch: w, Documents: w.documents, Audio: fakeAudio{w}, Speech: fakeSpeech{w}, Language: fakeLanguage{w}, Transcript: fakeTranscriber{w}, Punctuation: fakePunctuator{w}, Speakers: fakeSpeakers{w},
			Sounds: fakeSounds{w}, Topics: fakeTopics{w}, Passages: fakePassages{w}, Keywords: fakeKeywords{w}, Ads: fakeAds{w}, Highlight: fakeRanker{w}, Preview: fakeRenderer{w},
			Publish: w, Index: w, Announce: w,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// enrich runs the event and gives the result and the sorted calls it caused.
func (s *setup) enrich(t *testing.T, e *Enricher, ev episode.Event) (Result, string) {
	t.Helper()
	s.calls = nil
	r, err := e.Enrich(t.Context(), ev, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.calls)
	return r, strings.Join(s.calls, " ")
}

func event() episode.Event {
	return episode.Event{ID: "e1", Podcast: "p", Title: "Penalty", Revision: 7, PublishedAt: time.Unix(1, 0), FirstSeen: time.Now(),
		Enclosure: episode.Enclosure{URL: "https://example.org/a.mp3"}}
}

const effects = "announce index publish"

func TestARecordHoldsWhatAllNodesFound(t *testing.T) {
	s := newSetup(t)
	got, _ := s.enrich(t, s.enricher(t, nil), event())
	r := got.Record
	switch {
	case r.Episode.Revision != 7 || r.Episode.Generation != 3 || r.Episode.Duration != 200 || r.Episode.Enclosure.Bytes == 0 || len(r.Episode.Enclosure.SHA256) != 64:
		t.Errorf("episode: %+v", r.Episode)
	case r.Language.Code != "en" || r.Transcript == nil || len(r.SoundEvents) != 1 || len(r.Topics) != 1 || len(r.Ads) != 1 || r.Speakers != nil || !slices.Equal(r.Gaps, []episode.Gap{noSpeakers}):
		t.Errorf("record: %+v", r)
	case len(r.Chapters) != 2 || r.Chapters[0] != (episode.Chapter{Title: "Penalty"}) || r.Chapters[1].Start < 90 || r.Chapters[1].Start > 120:
		t.Errorf("chapters: %+v", r.Chapters)
	case len(r.Keywords) != 1 || r.Embedding == nil || r.Embedding.Model != "passages@1" || len(r.Embedding.Values) != 2:
		t.Errorf("keywords %+v, embedding %+v", r.Keywords, r.Embedding)
	case r.Preview == nil || len(r.Preview.Renditions) != 2 || r.Preview.Overlap(r.Ads[0].Span) > 0:
		t.Errorf("preview: %+v", r.Preview)
	case s.objects[r.Preview.Renditions[0].Object] == nil:
		t.Errorf("published %v", s.objects)
	case r.Run.Latency.FirstSeenToPreview <= 0 || len(r.Run.Latency.CriticalPath) < 3 || r.Run.Latency.CriticalPath[0] != "fetch":
		t.Errorf("latency: %+v", r.Run.Latency)
	case r.Run.Nodes["speech"].Model != "speech@1" || r.Run.Nodes["speech"].Batch != 2:
		t.Errorf("speech ran as %+v", r.Run.Nodes["speech"])
	}
}

// What a recogniser doubts is said once, among the record's warnings, and again
// when its transcript is reused.
func TestARecognisersDoubtsAreTheRecords(t *testing.T) {
	s := newSetup(t)
	s.doubts = []episode.Warning{{Code: "transcript-temperature", Detail: "3 of 9 windows"}}
	for range 2 {
		r, _ := s.enrich(t, s.enricher(t, nil), event())
		want := []episode.Warning{{Node: "transcript", Code: "transcript-temperature", Detail: "3 of 9 windows"}}
		if !slices.Equal(r.Record.Warnings, want) || r.Record.Transcript.Warnings != nil {
			t.Errorf("warnings %+v, of the transcript %+v", r.Record.Warnings, r.Record.Transcript.Warnings)
		}
	}
}

// noSpeakers is the gap of the built-in graph: no model for speakers is built
// in.
var noSpeakers = episode.Gap{Node: "speakers", Reason: "no model configured"}

func TestSpeakersAreToldWithAModel(t *testing.T) {
	s := newSetup(t)
	got, _ := s.enrich(t, s.configured(t, nil, "speakers: {}", "speakers: {model: earshot-vad}"), event())
	want := []episode.Turn{{Speaker: "S1", Span: episode.Span{Start: 0.5, End: 4.5}}, {Speaker: "S2", Span: episode.Span{Start: 5.5, End: 9.5}}}
	if r := got.Record; !slices.Equal(r.Speakers, want) || len(r.Gaps) != 0 || r.Run.Nodes["speakers"].Model != "voices@1" {
		t.Errorf("speakers %v, gaps %v", r.Speakers, r.Gaps)
	}
	got, _ = s.enrich(t, s.configured(t, nil, "speakers: {}", "speakers: {enabled: false}"), event())
	if r := got.Record; r.Speakers != nil || len(r.Gaps) != 1 || r.Gaps[0].Node != "speakers" {
		t.Errorf("turned off: speakers %v, gaps %v", r.Speakers, r.Gaps)
	}
}

func TestASecondRunRepeatsOnlyTheEffects(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	first, _ := s.enrich(t, e, event())
	second, calls := s.enrich(t, e, event())
	if calls != effects {
		t.Errorf("a second run called: %s", calls)
	}
	a, _ := first.Record.Content()
	b, _ := second.Record.Content()
	if string(a) != string(b) {
		t.Errorf("contents differ:\n%s\n%s", a, b)
	}
}

func TestAnotherAddressOfTheSameRevisionDownloadsNothing(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	s.enrich(t, e, event())
	ev := event()
	ev.Enclosure.URL += "?signature=2"
	if _, calls := s.enrich(t, e, ev); calls != effects {
		t.Errorf("called: %s", calls)
	}
	ev.Revision++
	if _, calls := s.enrich(t, e, ev); !strings.Contains(calls, "fetch") {
		t.Errorf("a new revision called: %s", calls)
	}
}

func TestARecordShowsNoSecretOfAnAddress(t *testing.T) {
	s := newSetup(t)
	e := s.enricher(t, nil)
	for name, change := range map[string]func(*episode.Event){
		"user": func(ev *episode.Event) { ev.Enclosure.URL = "https://user:hunter2@example.org/a.mp3?auth=hunter2" },
		"private": func(ev *episode.Event) {
			ev.Private, ev.Enclosure.URL = true, "https://example.org/hunter2/a.mp3?auth=hunter2"
		},
	} {
		ev := event()
		change(&ev)
		got, _ := s.enrich(t, e, ev)
		doc, err := episode.Marshal(got.Record)
		if err != nil || strings.Contains(string(doc), "hunter2") || got.Record.Episode.Enclosure.URL == "" {
			t.Errorf("%s: %v\n%s", name, err, doc)
		}
	}
	if got, _ := s.enrich(t, e, event()); got.Record.Episode.Enclosure.URL != event().Enclosure.URL {
		t.Errorf("a public address is shown as %s", got.Record.Episode.Enclosure.URL)
	}
}

func TestAChangedTopicModelFetchesNoAudio(t *testing.T) {
	s := newSetup(t)
	s.enrich(t, s.enricher(t, nil), event())
	s.topic = "Travel"
	got, calls := s.enrich(t, s.enricher(t, map[string]string{"topics": "v2"}), event())
	if calls != "announce index publish rank topics" || got.Record.Topics[0].Name != "Travel" {
		t.Errorf("called: %s; topics %v", calls, got.Record.Topics)
	}
	// The preview's span moves: now the audio is wanted again, from the store.
	s.best, s.topic = 5, "Science"
	if _, calls := s.enrich(t, s.enricher(t, map[string]string{"topics": "v3"}), event()); calls != "announce index publish rank render topics" {
		t.Errorf("called: %s", calls)
	}
}

func TestALanguageWithoutARecogniserIsAGapThatTheRestWorksAround(t *testing.T) {
	s := newSetup(t)
	s.language = "sv"
	got, _ := s.enrich(t, s.enricher(t, nil), event())
	r := got.Record
	if r.Transcript != nil || r.Preview == nil || len(r.Topics) != 0 || len(r.Ads) != 0 {
		t.Errorf("record: %+v", r)
	}
	want := []episode.Gap{
		{Node: "transcript", Reason: `no recogniser for language "sv"`},
		noSpeakers,
		{Node: "topics", Reason: `no topic model for language "sv"`},
		{Node: "passages", Reason: `no embedding model for language "sv"`},
		{Node: "chapters", Reason: `needs passages: no embedding model for language "sv"`},
		{Node: "keywords", Reason: `no keyword model for language "sv"`},
		{Node: "ads", Reason: `needs transcript: no recogniser for language "sv"`},
	}
	if !slices.Equal(r.Gaps, want) {
		t.Errorf("gaps: %v, want %v", r.Gaps, want)
	}
}

// An older revision may have had a preview: that there is none is published.
func TestThatThereIsNoPreviewIsPublished(t *testing.T) {
	for change, into := range map[string]string{
		"model: earshot-highlight": "enabled: false",
		"preview: {}":              "preview: {enabled: false}",
	} {
		s := newSetup(t)
		got, calls := s.enrich(t, s.configured(t, nil, change, into), event())
		switch r := got.Record; {
		case r.Preview != nil || s.published == nil || s.published.Preview != nil || len(s.objects) != 0:
			t.Errorf("%s: record %+v; published %+v, %d objects", into, r.Preview, s.published, len(s.objects))
		case !strings.Contains(calls, "publish") || strings.Contains(calls, "render"):
			t.Errorf("%s: called %s", into, calls)
		case r.Run.Nodes["publish"].Status != "ran" || r.Run.Nodes["preview"].Status != "gap" || r.Run.Latency.FirstSeenToPreview != 0 || len(r.Run.Latency.CriticalPath) != 0:
			t.Errorf("%s: run %+v", into, r.Run)
		case !slices.ContainsFunc(r.Gaps, func(g episode.Gap) bool { return g.Node == "preview" }):
			t.Errorf("%s: gaps %v", into, r.Gaps)
		}
	}
}

func TestThePublishersLanguageCounts(t *testing.T) {
	heard := []episode.LanguageCandidate{{Code: "de", Confidence: 0.5}, {Code: "en", Confidence: 0.2}, {Code: "nl", Confidence: 0.05}}
	for _, c := range []struct{ model, declared, want string }{
		{"und", "en-GB", "en"},
		{"und", "EN_us", "en"},
		{"und", "nl", "und"}, // the model thinks it unlikely
		{"und", "fr", "und"}, // the model did not think of it
		{"und", "", "und"},
		{"de", "en", "en"}, // likelier than what the model heard
		{"de", "fr", "de"},
	} {
		s := newSetup(t)
		s.language, s.candidates = c.model, heard
		ev := event()
		ev.Language = c.declared
		got, _ := s.enrich(t, s.enricher(t, nil), ev)
		if l := got.Record.Language; l.Code != c.want || (got.Record.Transcript != nil) != (c.want == "en") {
			t.Errorf("model %q, declared %q: %+v, want %q", c.model, c.declared, l, c.want)
		}
	}
}

func TestTargetsRunOnlyWhatTheyNeed(t *testing.T) {
	s := newSetup(t)
	ev := event()
	ev.Control.Targets = []string{"language"}
	got, calls := s.enrich(t, s.enricher(t, nil), ev)
	if calls != "decode fetch language speech" || got.Record != nil {
		t.Errorf("called: %s", calls)
	}
	ev.Control = episode.Control{Ping: true}
	if _, calls := s.enrich(t, s.enricher(t, nil), ev); calls != "" {
		t.Errorf("a ping called: %s", calls)
	}
}

func TestFailuresAndOvertakenAreTold(t *testing.T) {
	s := newSetup(t)
	s.newer = true
	if got, calls := s.enrich(t, s.enricher(t, nil), event()); !got.Overtaken || strings.Contains(calls, "announce") {
		t.Errorf("a newer version in the index: overtaken %v, called %s", got.Overtaken, calls)
	}
	for _, c := range []struct {
		err  error
		kind dag.Kind
	}{{dag.Reject("gone", io.EOF), dag.KindReject}, {io.ErrUnexpectedEOF, dag.KindRetry}} {
		s := newSetup(t)
		s.fetchErr = c.err
		_, err := s.enricher(t, nil).Enrich(t.Context(), event(), nil)
		f, ok := errors.AsType[*dag.Failure](err)
		if !ok || f.Kind != c.kind || f.Node != "fetch" {
			t.Errorf("%v became %v", c.err, err)
		}
	}
	_, err := s.enricher(t, nil).Enrich(t.Context(), episode.Event{ID: "x"}, nil)
	if f, ok := errors.AsType[*dag.Failure](err); !ok || f.Kind != dag.KindReject {
		t.Errorf("an event without a revision gives %v", err)
	}
}
