package queue

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
	"github.com/earshot-fm/earshot/workers/workerstest"
)

const childVisibility = 2 * time.Second

// workUntilKilled is the child of TestKilledAtRandom. It publishes events
// (saying "published N" once each is safe) and works on them; each time it
// begins or ends with one, it appends a line to the journal beside the queue.
func workUntilKilled(path string) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	q, err := Open(ctx, path, Options{Visibility: childVisibility, Poll: 10 * time.Millisecond})
	if err != nil {
		return fail(err)
	}
	journal, err := os.OpenFile(filepath.Join(filepath.Dir(path), "journal"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return fail(err)
	}
	var base int
	if _, err := fmt.Sscan(os.Getenv("EARSHOT_TEST_QUEUE_BASE"), &base); err != nil {
		return fail(err)
	}
	published := make(chan error, 1)
	go func() {
		for n := range 5 {
			if _, err := q.Publish(ctx, workerstest.Event(base+n)); err != nil {
				published <- err
				return
			}
			if _, err := fmt.Printf("published %s\n", workerstest.Event(base+n).ID); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	err = q.Receive(ctx, 2, func(ctx context.Context, d workers.Delivery) workers.Verdict {
		line := func(what string) error {
			_, err := fmt.Fprintf(journal, "%s %s %d %d\n", what, d.Event.ID, os.Getpid(), time.Now().UnixNano())
			return err
		}
		if err := line("begin"); err != nil {
			panic(err)
		}
		work := time.NewTimer(time.Duration(rand.IntN(20)) * time.Millisecond)
		defer work.Stop()
		select {
		case <-work.C:
		case <-ctx.Done():
			return workers.Verdict{Kind: workers.Release, Err: context.Cause(ctx)}
		}
		if err := line("end"); err != nil {
			panic(err)
		}
		return done()
	})
	if err != nil {
		return fail(err)
	}
	return fail(<-published)
}

// Two processes work on one file and are killed at random, again and again.
// No event that was published is lost, and none is in work twice at once.
func TestKilledAtRandom(t *testing.T) {
	const rounds = 30
	var (
		path      = filepath.Join(t.TempDir(), "queue.db")
		published = map[episode.ID]bool{}
		random    = rand.New(rand.NewPCG(1, 2))
	)
	note := func(line string) {
		published[episode.ID(strings.TrimPrefix(line, "published "))] = true
	}
	for round := range rounds {
		type child struct {
			command *exec.Cmd
			lines   *bufio.Scanner
		}
		var children []child
		for n := range 2 {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "EARSHOT_TEST_QUEUE_CHILD="+path, fmt.Sprintf("EARSHOT_TEST_QUEUE_BASE=%d", 1000*round+100*n))
			c.Stderr = os.Stderr
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			children = append(children, child{c, bufio.NewScanner(out)})
		}
		for _, c := range children {
			// The kill comes a random moment after a random number of events was
			// published.
			for range random.IntN(6) {
				if !c.lines.Scan() {
					break
				}
				note(c.lines.Text())
			}
			later := time.NewTimer(time.Duration(random.IntN(30)) * time.Millisecond)
			<-later.C
			if err := c.command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for c.lines.Scan() { // said before the kill
				note(c.lines.Text())
			}
			if err := c.command.Wait(); err == nil || c.command.ProcessState.ExitCode() != -1 {
				t.Fatalf("the child ended by itself: %v", c.command.ProcessState)
			}
		}
	}

	visits := readJournal(t, filepath.Join(filepath.Dir(path), "journal"))
	q := openAt(t, path, Options{UntilEmpty: true})
	err := q.Receive(t.Context(), 1, func(_ context.Context, d workers.Delivery) workers.Verdict {
		now := time.Now()
		visits[d.Event.ID] = append(visits[d.Event.ID], visit{process: os.Getpid(), began: now, ended: now})
		return done()
	})
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for id, all := range visits {
		for i := 1; i < len(all); i++ {
			before, after := all[i-1], all[i]
			again++
			if !before.ended.IsZero() && after.began.Before(before.ended) || before.ended.IsZero() && after.began.Sub(before.began) < childVisibility/2 {
				t.Errorf("%s was in work twice at once: %+v and %+v", id, before, after)
			}
		}
	}
	for id := range published {
		if all := visits[id]; len(all) == 0 || all[len(all)-1].ended.IsZero() {
			t.Errorf("%s was published and lost: %+v", id, all)
		}
	}
	if len(published) < rounds || again == 0 {
		t.Errorf("%d events, %d delivered again: the kills hit nothing", len(published), again)
	}
}

// visit is one handler's work on an event; ended is zero when it was killed.
type visit struct {
	process      int
	began, ended time.Time
}

// readJournal reads what the children wrote, by event, in order of beginning.
func readJournal(t *testing.T, path string) map[episode.ID][]visit {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	visits := map[episode.ID][]visit{}
	for line := range strings.Lines(string(body)) {
		var (
			what        string
			id          episode.ID
			process     int
			nanoseconds int64
		)
		if _, err := fmt.Sscan(line, &what, &id, &process, &nanoseconds); err != nil {
			t.Fatalf("journal: %q: %v", line, err)
		}
		all, at := visits[id], time.Unix(0, nanoseconds)
		if what == "begin" {
			visits[id] = append(all, visit{process: process, began: at})
			continue
		}
		for i := range all {
			if all[i].process == process && all[i].ended.IsZero() {
				all[i].ended = at
			}
		}
	}
	return visits
}
