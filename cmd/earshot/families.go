package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/enrich"
	"github.com/earshot-fm/earshot/gpu"
	"github.com/earshot-fm/earshot/models"
	"github.com/earshot-fm/earshot/models/ads"
	"github.com/earshot-fm/earshot/models/asr"
	"github.com/earshot-fm/earshot/models/asr/transducer"
	"github.com/earshot-fm/earshot/models/asr/whisper"
	"github.com/earshot-fm/earshot/models/highlight"
	"github.com/earshot-fm/earshot/models/keyword"
	"github.com/earshot-fm/earshot/models/langid"
	"github.com/earshot-fm/earshot/models/passage"
	"github.com/earshot-fm/earshot/models/punctuation"
	"github.com/earshot-fm/earshot/models/sound"
	"github.com/earshot-fm/earshot/models/sound/clips"
	"github.com/earshot-fm/earshot/models/speaker"
	"github.com/earshot-fm/earshot/models/text"
	"github.com/earshot-fm/earshot/models/topic"
	"github.com/earshot-fm/earshot/models/vad"
	"github.com/earshot-fm/earshot/models/vad/silero"
)

// families are the kinds of model that can do each task, by the family that a
// manifest names: another kind is a line here. A task is named as its node.
var families = map[string]map[string]fitting{
	"speech": {
		"frame-classifier": speech(vad.NewRunner, vad.New),
		"silero":           speech(silero.NewRunner, silero.New),
	},
	"language": {
		"window-classifier":   language(langid.NewRunner, langid.New),
		"waveform-classifier": language(langid.NewRunner, langid.New),
		"whisper":             language(whisper.NewRunner, whisper.NewIdentifier),
	},
	"transcript": {
		"ctc-phones":          transcript(asr.NewRunner, asr.New),
		"ctc":                 transcript(asr.NewCTCRunner, asr.NewCTC),
		"whisper":             transcript(whisper.NewRunner, whisper.New),
		"whisper-beam-search": transcript(whisper.NewBeamRunner, whisper.NewBeam),
		"transducer":          transcript(transducer.NewRunner, transducer.New),
	},
	"punctuation": {
		punctuation.Family: punctuator(punctuation.NewRunner, punctuation.New),
	},
	"speakers": {
		"waveform-embedding": speakers(speaker.NewRunner, speaker.New),
		"window-embedding":   speakers(speaker.NewRunner, speaker.New),
	},
	"sound-events": {
		"frame-classifier":   sounds(sound.NewRunner, sound.New),
		clips.ClipClassifier: sounds(clips.NewRunner, clips.New),
		clips.PatchWaveform:  sounds(clips.NewRunner, clips.New),
	},
	"topics": {
		"hashed-words":        topics(topic.NewRunner, topic.New),
		"sequence-classifier": topics(topic.NewSequenceRunner, topic.NewSequence),
		"zero-shot":           topics(topic.NewZeroShotRunner, topic.NewZeroShot),
	},
	"passages": {
		"hashed-words":     passages(passage.NewRunner, passage.New),
		"sentence-encoder": passages(text.NewRunner, text.New),
	},
	"keywords": {
		"hashed-words": keywords(keyword.NewRunner, keyword.New),
	},
	"ads": {
		"hashed-chain": advertisements(ads.NewRunner, ads.New),
	},
	"highlight": {
		"features": ranking(highlight.NewRunner, highlight.New),
	},
}

// tasksOf are the tasks that a model can do: its own, and what else its family
// gives. A multilingual Whisper tells the language by its first token.
func tasksOf(m *models.Model) []string {
	f := &m.Manifest
	if f.Task == "transcript" && f.Family == "whisper" && len(f.Languages) > 1 {
		return []string{f.Task, "language"}
	}
	return []string{f.Task}
}

// fitting fits a model to its task's port.
type fitting func(h host, m *models.Model, ports *enrich.Ports) error

// fit fits a model to a task's port by its family.
func fit(h host, task string, m *models.Model, ports *enrich.Ports) error {
	f, err := familyOf(task, m)
	if err != nil {
		return err
	}
	return f(h, m, ports)
}

// familyOf finds the family of a model among those of a task.
func familyOf(task string, m *models.Model) (fitting, error) {
	known := families[task]
	if known == nil {
		return nil, fmt.Errorf("%s is a model for %q, and a task is one of %s", m.Manifest.Ref(), task, strings.Join(slices.Sorted(maps.Keys(families)), ", "))
	}
	f, ok := known[m.Manifest.Family]
	if !ok {
		return nil, fmt.Errorf("%s is of family %q, and a model for %s can be one of %s", m.Manifest.Ref(), m.Manifest.Family, task, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return f, nil
}

// host runs models: the scheduler's batches, or a rehearsal's own.
type host struct {
	scheduler *gpu.Scheduler
	wiring    *wiring    // that the scheduler's queues are of
	rehearsal *rehearsal // nil: the scheduler runs
}

// lineUp makes a task of a model, its runner and the queue that runs it.
func lineUp[In, Out any, R models.Runner[In, Out], T any](h host, m *models.Model, newRunner func(*models.Model) (R, error), newTask func(*models.Model, models.Queue[In, Out]) (T, error)) (task T, err error) {
	r, err := newRunner(m)
	if err != nil {
		return task, err
	}
	if h.rehearsal != nil {
		return newTask(m, rehearse[In, Out](h.rehearsal, m, r))
	}
	q, err := gpu.NewQueue[In, Out](h.scheduler, m, r)
	if err != nil {
		return task, err
	}
	h.wiring.queues = append(h.wiring.queues, q)
	return newTask(m, fitted[In, Out]{q, m.Manifest.Ref()})
}

// fitted is a queue whose model, where it is too large for the device, leaves a
// gap in episodes: they get all that the rest can give.
type fitted[In, Out any] struct {
	models.Queue[In, Out]
	model string
}

func (q fitted[In, Out]) Do(ctx context.Context, in In) (models.Answer[Out], error) {
	a, err := q.Queue.Do(ctx, in)
	if errors.Is(err, gpu.ErrTooLarge) {
		// Without the bytes, which are measured: the record is to be the same everywhere.
		err = dag.Gap("%s is too large for the device's memory", q.model)
	}
	return a, err
}
