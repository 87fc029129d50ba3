package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/index"
)

// jumping is a clock that jumps every so many readings: an hour ahead, two hours
// back, and to the time that it is.
type jumping struct {
	mu       sync.Mutex
	readings int
	every    int
	jumps    int
}

func (j *jumping) now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.readings++; j.readings%j.every == 0 {
		j.jumps++
	}
	at := time.Now().Round(0) // without the monotonic part, which does not jump
	switch j.jumps % 3 {
	case 1:
		return at.Add(time.Hour)
	case 2:
		return at.Add(-time.Hour)
	}
	return at
}

// TestClocksMayJump runs a worker whose queue, leases, dead letters and previews
// go by a clock that jumps an hour, on the embedded queue, where times are what
// keeps an event from two workers. What it ends with is what it ends with by a
// clock that goes as it should.
func TestClocksMayJump(t *testing.T) {
	calm := func() time.Time { return time.Now() }
	want := clocked(t, calm)
	jumps := &jumping{every: 20}
	same(t, clocked(t, jumps.now), want)
	if jumps.jumps < 6 {
		t.Errorf("the clock has jumped %d times", jumps.jumps)
	}
	t.Logf("%d jumps", jumps.jumps)
}

// clocked takes episodes through the embedded parts by a clock.
func clocked(t *testing.T, now func() time.Time) map[string]string {
	t.Helper()
	config := stateFolder(t) + "/config.yaml"
	write(t, config, "device: {kind: cpu, warm_up: never}\nworker: {slots: 4, visibility: 5s, max_deliveries: 100000}\n")
	a := &app{out: io.Discard, err: io.Discard, configPath: config, state: stateFolder(t), format: "json", logFormat: "text", probers: newProbers()}
	c, err := a.loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	c.standIn, c.untilEmpty, c.now = 30*time.Millisecond, true, now
	p, err := a.openPipeline(t.Context(), c, a.state)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	events := shortEpisodes(24)
	for _, e := range events {
		if err := p.messaging.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	tracer, closeTracing, err := openTracing(t.Context(), c.Worker.Name)
	if err != nil {
		t.Fatal(err)
	}
	p.closers.add(closeTracing)
	s := &streamer{app: a, pipeline: p, health: p.health(), tracer: tracer, log: slog.New(slog.DiscardHandler)}
	if err := s.run(t.Context(), nil, false); err != nil {
		t.Fatal(err)
	}
	err = p.messaging.letters.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
		t.Errorf("dead letter: %+v", l)
		return workers.Keep, nil
	})
	if err != nil {
		t.Error(err)
	}
	out := map[string]string{}
	for i, e := range events {
		entry, err := p.index.Get(t.Context(), e.ID)
		if err != nil {
			t.Errorf("%s: %v", e.Title, err)
			continue
		}
		doc, err := episode.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		out["entry of "+e.Title] = string(doc)
		page, err := p.index.Search(t.Context(), index.Query{Text: ownWord(i)})
		if err != nil || page.Total != 1 {
			t.Errorf("%s is found %d times: %v", e.Title, page.Total, err)
		}
	}
	(&site{origin: p.layout.origin}).published(t, out)
	return out
}
