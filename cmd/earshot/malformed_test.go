package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/audio/codec"
	"github.com/earshot-fm/earshot/dag"
	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/message"
)

var malformedInputs = flag.Int("malformed", 600, "how many malformed inputs TestMalformedInputs gives the worker")

// TestMalformedInputs gives the real pipeline, behind a worker and its queue,
// messages that are none, events that name what is no address, what broken feeds
// hold, and files of every format, damaged. Each ends at once: as a dead letter
// that says why, or, a file of which something can be heard, as an episode.
// Nothing is tried again, nothing ends the process, and in the end it has as many
// goroutines and open files as after the first few, and no more memory.
func TestMalformedInputs(t *testing.T) {
	const warm = 200
	b := newMalformedBench(t)
	b.work(warm)
	before := holdings(t, nil)
	for b.given < warm+*malformedInputs {
		b.work(min(500, warm+*malformedInputs-b.given))
	}
	after := holdings(t, &before)
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("%d goroutines and %d open files; %d and %d after the first %d inputs", after.goroutines, after.files, before.goroutines, before.files, warm)
	}
	// SQLite's caches and the runtime's own tables grow a little.
	if most := before.heap + 32<<20; after.heap > most {
		t.Errorf("%d MiB are held; %d MiB after the first %d inputs", after.heap>>20, before.heap>>20, warm)
	}

	reasons := map[string]int{}
	letters := 0
	err := b.pipeline.messaging.letters.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		letters++
		reasons[l.Reason]++
		if l.Reason == "" || l.Detail == "" || slices.Contains([]string{"failed too often", "never finished", "internal error", "panic"}, l.Reason) || l.Attempts != 1 {
			t.Errorf("%s: %q after %d attempts: %s", l.ID, l.Reason, l.Attempts, l.Detail)
		}
		return workers.Keep, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if letters != len(b.rejected) {
		t.Errorf("%d dead letters of %d rejections", letters, len(b.rejected))
	}
	if ended := len(b.rejected) + len(b.heard); ended != b.given || len(b.rejected) < b.given*3/4 {
		t.Errorf("%d given; %d ended, %d of them rejected", b.given, ended, len(b.rejected))
	}
	t.Logf("%d inputs (%d of them files, %d for ffmpeg): %d rejected %v, %d heard all the same; %d feeds, %d unreadable",
		b.given, b.files, b.forFFmpeg, len(b.rejected), reasons, len(b.heard), b.feeds, b.unreadable)
	t.Logf("before and after: %+v, %+v", before, after)
}

// malformedBench makes inputs and has the pipeline work on them.
type malformedBench struct {
	t        *testing.T
	pipeline *pipeline
	inputs   *malformedMaker
	folder   string

	given, files, forFFmpeg, feeds, unreadable int

	mu       sync.Mutex
	rejected map[string]bool // by LetterID
	heard    map[string]bool
}

func newMalformedBench(t *testing.T) *malformedBench {
	a := &app{err: t.Output(), probers: newProbers()}
	c := defaultConfig()
	c.Device.Kind, c.Device.WarmUp = devicesCPU, warmUpNever
	c.Fetch.LocalFiles = true
	c.untilEmpty = true
	p, err := a.openPipeline(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &malformedBench{
		t: t, pipeline: p, folder: t.TempDir(),
		inputs:   newMalformedMaker(t, rand.New(rand.NewPCG(6, 9))),
		rejected: map[string]bool{}, heard: map[string]bool{},
	}
}

// work gives the worker n inputs and waits until it has ended with all of them.
func (b *malformedBench) work(n int) {
	var raw [][]byte
	var files []string
	publish := func(e episode.Event) {
		e.Control.Targets = []string{"decode"}
		if err := b.pipeline.messaging.Publish(b.t.Context(), e); err != nil {
			b.t.Fatal(err)
		}
		b.given++
	}
	for until := b.given + n; b.given < until; {
		switch id := episode.ID(fmt.Sprintf("m%06d", b.given)); b.inputs.random.IntN(10) {
		case 0, 1, 2, 3:
			raw = append(raw, b.inputs.message(id))
			b.given++
		case 4:
			publish(b.inputs.event(id))
		case 5:
			events, err := b.inputs.feed()
			b.feeds++
			if err != nil {
				b.unreadable++
			}
			for i, e := range events[:min(len(events), until-b.given)] {
				e.ID = episode.ID(fmt.Sprintf("%s-%d", id, i))
				publish(e)
			}
		default:
			content := b.inputs.file()
			path := filepath.Join(b.folder, string(id))
			write(b.t, path, string(content))
			files = append(files, path)
			b.files++
			if format, _, err := codec.Sniff(strings.NewReader(string(content))); err == nil && format != codec.WAV && format != codec.FLAC {
				b.forFFmpeg++
			}
			publish(episode.Event{ID: id, Revision: 1, Enclosure: episode.Enclosure{URL: "file://" + path}})
		}
	}
	w := workers.New(b.enrich, b.pipeline.messaging.letters, workers.Options{MaxFailures: 1, Heads: b.pipeline.heads, Observe: b.observe})
	lanes := append([]workers.Lane{{Name: "messages", Source: rawMessages(raw), Slots: 2}}, b.pipeline.messaging.lanes...)
	if err := w.Run(b.t.Context(), lanes...); err != nil {
		b.t.Fatal(err)
	}
	for _, path := range files {
		if err := os.Remove(path); err != nil {
			b.t.Error(err)
		}
	}
}

func (b *malformedBench) enrich(ctx context.Context, d workers.Delivery) (workers.Outcome, error) {
	if _, err := b.pipeline.enrich(ctx, d.Event, func(dag.Event) {}); err != nil {
		return "", verdictError(err)
	}
	return workers.Enriched, nil
}

func (b *malformedBench) observe(d workers.Delivery, v workers.Verdict, _ time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := workers.LetterID(d)
	if b.rejected[id] || b.heard[id] {
		b.t.Errorf("%s ended twice", id)
	}
	switch v.Kind {
	case workers.Reject:
		b.rejected[id] = true
	case workers.Done:
		b.heard[id] = true
	default:
		b.t.Errorf("%s: %v", id, v)
	}
}

// rawMessages are messages of a topic, as they came.
type rawMessages [][]byte

func (m rawMessages) Receive(ctx context.Context, _ int, handle workers.Handler) error {
	for _, b := range m {
		d := workers.Delivery{Attempt: 1, Raw: b, FirstSeen: time.UnixMilli(1)}
		d.Event, d.Malformed = decodeEither(b)
		handle(ctx, d)
	}
	return nil
}

// decodeEither reads a message in the encoding that it seems to have.
func decodeEither(b []byte) (episode.Event, error) {
	e := message.Binary
	if len(b) > 0 && b[0] == '{' {
		e = message.JSON
	}
	return message.DecodePublished(b, e)
}

// held is what a process holds.
type held struct {
	goroutines, files int
	heap              uint64 // bytes
}

// holdings waits until the process holds no more than before did, or long
// enough for what ends by itself (idle connections of SQLite) to have ended.
func holdings(t *testing.T, before *held) held {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for tries := 0; ; tries++ {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil && !errors.Is(err, os.ErrNotExist) { // not every system has it
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := held{runtime.NumGoroutine(), len(open), m.HeapAlloc}
		if tries == 100 || before != nil && now.goroutines <= before.goroutines && now.files <= before.files || before == nil && tries == 5 {
			return now
		}
		<-tick.C
	}
}
