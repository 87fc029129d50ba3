package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/earshot-fm/earshot/audio"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
)

// rehearsal takes a model through its task as an episode would, on fixed
// input, and keeps the items that the task gave to its runner, so that they
// can be run again in other batches.
type rehearsal struct {
	sessions models.Sessions
	kept     kept
}

// kept is a rehearsed queue without its types.
type kept interface {
	check(ctx context.Context) (models.Rehearsal, error)
	workload() (gpu.Workload, error)
}

// rehearsed is a queue that runs each item by itself and keeps it.
type rehearsed[In, Out any] struct {
	model    *models.Model
	runner   models.Runner[In, Out]
	sessions models.Sessions

	mu    sync.Mutex // held in a run: two at a time would leave the arena larger than any of them needs
	items []In
}

func rehearse[In, Out any](r *rehearsal, m *models.Model, runner models.Runner[In, Out]) models.Queue[In, Out] {
	q := &rehearsed[In, Out]{model: m, runner: runner, sessions: r.sessions}
	r.kept = q
	return q
}

// check runs the items that were kept in batches.
func (q *rehearsed[In, Out]) check(ctx context.Context) (models.Rehearsal, error) {
	return models.VerifyRunner(ctx, q.model, q.runner, q.sessions, q.items)
}

// workload makes batches of them.
func (q *rehearsed[In, Out]) workload() (gpu.Workload, error) {
	return gpu.NewWorkload(q.model, q.runner, q.items)
}

func (q *rehearsed[In, Out]) Do(ctx context.Context, item In) (models.Answer[Out], error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	began := time.Now()
	out, err := models.RunBatch(ctx, q.model, q.runner, q.sessions, []In{item})
	if err != nil {
		return models.Answer[Out]{}, err
	}
	return models.Answer[Out]{Value: out[0], Batch: 1, Ran: time.Since(began)}, nil
}

// takeThrough does a task of a model for the fixed episodes, on open sessions.
// The error is about doing it at all; faults are what is wrong with its answers.
func takeThrough(ctx context.Context, m *models.Model, task string, sessions models.Sessions) (r *rehearsal, faults []string, err error) {
	r = &rehearsal{sessions: sessions}
	var ports enrich.Ports
	if err := fit(host{rehearsal: r}, task, m, &ports); err != nil {
		return r, nil, err
	}
	// Two episodes of one length, so that items of one shape differ.
	for take := range rehearsalTakes {
		fault, err := perform(ctx, task, ports, take)
		if err != nil {
			return r, faults, err
		}
		if fault != "" {
			faults = append(faults, fault)
		}
	}
	return r, faults, nil
}

// verifyTask rehearses a task of a model on fixed input. The error is about
// running it at all; what it does wrong is in the rehearsal's faults.
func verifyTask(ctx context.Context, runtime models.Runtime, m *models.Model, task, device string) (found models.Rehearsal, err error) {
	sessions := models.Sessions{}
	defer func() { err = errors.Join(err, closeSessions(sessions)) }()
	var witness models.Witness
	for _, name := range m.Manifest.Sessions {
		s, err := witness.Open(ctx, runtime, m, name, device)
		if err != nil {
			return found, err
		}
		sessions[name] = s
	}
	r, faults, err := takeThrough(ctx, m, task, sessions)
	if found.Faults = append(witness.Faults(), faults...); err != nil || len(found.Faults) > 0 {
		return found, err // what is wrong alone is wrong in any batch
	}
	found, err = r.kept.check(ctx)
	found.Faults = append(witness.Faults(), found.Faults...)
	return found, err
}

func closeSessions(sessions models.Sessions) error {
	var errs []error
	for _, s := range sessions {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// The fixed episodes: half a minute of tones, noise and silence each.
const (
	rehearsalLength = 30
	rehearsalTakes  = 2
)

// perform runs a task on a fixed episode and says what is wrong with its
// answer.
func perform(ctx context.Context, task string, p enrich.Ports, take int) (fault string, err error) {
	tape, err := fixedTape(rehearsalLength, take)
	if err != nil {
		return "", err
	}
	defer tape.Close()
	speech := []episode.Span{{Start: 0.5, End: 9}, {Start: 10, End: 13.5}, {Start: 14, End: 29}}
	segments := fixedSegments(take)
	switch task {
	case "speech":
		var spans []episode.Span
		spans, _, err = p.Speech.Detect(ctx, tape)
		fault = spansFault(spans)
	case "language":
		var l episode.Language
		l, _, err = p.Language.Identify(ctx, tape, speech)
		if !finite(float64(l.Confidence)) {
			fault = fmt.Sprintf("the language's confidence is %v", float64(l.Confidence))
		}
	case "transcript":
		var t episode.Transcript
		t, _, err = p.Transcript.Transcribe(ctx, tape, speech)
		fault = transcriptFault(t)
	case "punctuation":
		var written [][]string
		written, _, err = p.Punctuation.Punctuate(ctx, segments)
		if err == nil && len(written) != len(segments) {
			fault = fmt.Sprintf("%d segments written for %d", len(written), len(segments))
		}
	case "speakers":
		var turns []episode.Turn
		turns, _, err = p.Speakers.Find(ctx, tape, speech)
		for _, t := range turns {
			if f := spansFault([]episode.Span{t.Span}); f != "" {
				fault = "a speaker's turn: " + f
			}
		}
	case "sound-events":
		var events []episode.SoundEvent
		events, _, err = p.Sounds.Detect(ctx, tape)
		for _, e := range events {
			if f := spansFault([]episode.Span{e.Span}); f != "" || !finite(float64(e.Confidence)) {
				fault = fmt.Sprintf("sound event %q: %s, confidence %v", e.Label, f, float64(e.Confidence))
			}
		}
	case "topics":
		_, _, err = p.Topics.Classify(ctx, enrich.Text{Title: "A rehearsal", Description: "Of a model, on fixed input.", Transcript: segments})
	case "passages":
		texts := []string{segments[0].Text, segments[1].Text, segments[2].Text}
		var vectors [][]float32
		vectors, _, err = p.Passages.Encode(ctx, texts)
		if err == nil && len(vectors) != len(texts) {
			fault = fmt.Sprintf("%d embeddings of %d texts", len(vectors), len(texts))
		}
	case "keywords":
		_, _, err = p.Keywords.Find(ctx, [][]string{{segments[0].Text, segments[1].Text, segments[2].Text}}, 5)
	case "ads":
		_, _, err = p.Ads.Find(ctx, segments, nil, rehearsalLength)
	case "highlight":
		heard := enrich.Heard{Duration: rehearsalLength, ShortTerm: slices.Repeat([]episode.Decibels{-18, -20, -23}, rehearsalLength/3), Loudness: &episode.Loudness{IntegratedLUFS: episode.Decibels(-19 + take), TruePeakDBTP: -1}}
		var scores []float64
		scores, _, err = p.Highlight.Rank(ctx, speech, enrich.Findings{Heard: heard, Segments: segments})
		if err == nil && (len(scores) != len(speech) || slices.ContainsFunc(scores, func(s float64) bool { return !finite(s) })) {
			fault = fmt.Sprintf("scores %v for %d candidates", scores, len(speech))
		}
	default:
		err = fmt.Errorf("no rehearsal for task %q", task)
	}
	return fault, err
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func spansFault(spans []episode.Span) string {
	for _, s := range spans {
		// A last window may reach past the end by a frame.
		if !(s.Start >= 0 && s.End >= s.Start && s.End <= rehearsalLength+0.1) {
			return fmt.Sprintf("span %v to %v of an episode of %d s", float64(s.Start), float64(s.End), rehearsalLength)
		}
	}
	return ""
}

func transcriptFault(t episode.Transcript) string {
	for _, s := range t.Segments {
		spans := []episode.Span{s.Span}
		for _, w := range s.Words {
			spans = append(spans, w.Span)
		}
		if f := spansFault(spans); f != "" {
			return fmt.Sprintf("segment %q: %s", s.Text, f)
		}
		if !finite(float64(s.Confidence)) {
			return fmt.Sprintf("segment %q has confidence %v", s.Text, float64(s.Confidence))
		}
	}
	return ""
}

// fixedTape is an episode of tones that move as voices do, noise, and silence.
func fixedTape(seconds, take int) (*audio.Tape, error) {
	samples := make([]float32, seconds*audio.TapeRate)
	state := uint32(1 + take)
	for i := range samples {
		t := float64(i) / audio.TapeRate
		state = state*1664525 + 1013904223 // Numerical Recipes' generator
		noise := float64(int32(state)) / (1 << 31)
		switch int(t) % 10 {
		case 9:
		case 8:
			samples[i] = float32(0.1 * noise)
		default:
			pitch := 120 + 70*float64(take) + 30*math.Sin(2*math.Pi*0.7*t)
			swell := 0.5 + 0.5*math.Sin(2*math.Pi*4*t) // syllables come about four a second
			x := 0.0
			for harmonic := 1.0; harmonic < 12; harmonic++ {
				x += math.Sin(2*math.Pi*pitch*harmonic*t) / harmonic
			}
			samples[i] = float32(0.15*swell*x + 0.005*noise)
		}
	}
	tape, err := audio.NewTape("")
	if err != nil {
		return nil, err
	}
	if err := tape.Write(samples); err != nil {
		return nil, errors.Join(err, tape.Close())
	}
	tape.Finish(nil)
	return tape, nil
}

func fixedSegments(take int) []episode.Segment {
	texts := [rehearsalTakes][]string{{
		"welcome to a rehearsal where every model hears the same episode",
		"this part is brought to you by nobody at all so use no code at any checkout",
		"and that is the end of it thank you for listening",
	}, {
		"tonight the goalkeeper saved two penalties and the city stayed awake",
		"we went down to the harbour where boats are painted in march before any rain falls",
		"after the break a doctor talks about sleep and music",
	}}[take]
	var out []episode.Segment
	for i, text := range texts {
		start := episode.Seconds(10 * i)
		words := []episode.Word{}
		plain := plainWords(text)
		for j, w := range plain {
			at := start + episode.Seconds(9*float64(j)/float64(len(plain)))
			words = append(words, episode.Word{Span: episode.Span{Start: at, End: at + 0.3}, Text: w, Confidence: 0.9})
		}
		out = append(out, episode.Segment{Span: episode.Span{Start: start, End: start + 9}, Text: text, Confidence: 0.9, Words: words})
	}
	return out
}
