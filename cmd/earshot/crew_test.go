package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// crew is the workers of a site: processes of the real program, and what they
// print of each verdict.
type crew struct {
	t    *testing.T
	site *site

	mu      sync.Mutex
	seen    chan struct{} // closed and replaced when a verdict was printed
	ended   map[edition]int
	failed  int // verdicts that ended nothing
	logged  int // lines of all logs
	killed  time.Time
	running map[*process]struct{}
}

type edition struct {
	ID       episode.ID
	Revision episode.Revision
}

// process is one worker.
type process struct {
	*exec.Cmd
	crew   *crew
	log    bytes.Buffer  // guarded by the crew
	exited chan struct{} // closed when it has
}

// Write takes the log over.
func (p *process) Write(b []byte) (int, error) {
	p.crew.mu.Lock()
	defer p.crew.mu.Unlock()
	p.crew.logged += bytes.Count(b, []byte("\n"))
	p.crew.tell()
	return p.log.Write(b)
}

func (p *process) tail() string {
	p.crew.mu.Lock()
	defer p.crew.mu.Unlock()
	return tail(p.log.String())
}

func (p *process) gone() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// tell wakes those that wait. c.mu is held.
func (c *crew) tell() {
	close(c.seen)
	c.seen = make(chan struct{})
}

func newCrew(t *testing.T, s *site) *crew {
	c := &crew{t: t, site: s, seen: make(chan struct{}), ended: map[edition]int{}, running: map[*process]struct{}{}}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range c.all() {
				_ = p.Process.Signal(syscall.SIGQUIT) // it tells where it is
				<-p.exited
				t.Logf("a worker that still ran said:\n%s", p.log.String())
			}
		}
		for _, p := range c.all() {
			_ = p.Process.Kill() // it may have ended by itself
			<-p.exited
		}
	})
	return c
}

// hire starts a worker on its own folder, or again on one.
func (c *crew) hire(state string, arguments ...string) *process {
	c.t.Helper()
	return c.start(builtCommand(c.t, append([]string{"stream", "-v", "-o", "json", "--config", c.site.config, "--state", state, "--stand-in", "60ms"}, arguments...)...))
}

func (c *crew) start(cmd *exec.Cmd) *process {
	c.t.Helper()
	p := &process{Cmd: cmd, crew: c, exited: make(chan struct{})}
	p.Stderr = p
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.StdoutPipe()
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	c.running[p] = struct{}{}
	c.mu.Unlock()
	go func() {
		c.read(out)
		_ = p.Wait() // who waits for it looks at how it ended
		if code := p.ProcessState.ExitCode(); code > 0 {
			c.t.Errorf("a worker ended by itself with exit code %d:\n%s", code, p.tail())
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, p)
		close(p.exited)
		c.tell()
	}()
	return p
}

func (c *crew) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var v struct {
			ID       episode.ID
			Revision episode.Revision
			Verdict  workers.Kind
		}
		if json.Unmarshal(lines.Bytes(), &v) != nil || v.Verdict == "" { // cut by a kill, or an audit line
			continue
		}
		c.mu.Lock()
		if v.Verdict == workers.Done {
			c.ended[edition{v.ID, v.Revision}]++
		} else {
			c.failed++
		}
		c.tell()
		c.mu.Unlock()
	}
}

func (c *crew) all() (left []*process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.running {
		left = append(left, p)
	}
	return left
}

// patience is a bound for what hangs; no verdict depends on it.
const patience = 5 * time.Minute

// until waits for what verdicts bring about.
func (c *crew) until(what string, holds func() bool) {
	c.t.Helper()
	if !c.orPass(patience, holds) {
		c.t.Fatalf("not after %s: %s", patience, what)
	}
}

// orPass waits for what verdicts and logs bring about, or for a time to pass.
func (c *crew) orPass(d time.Duration, holds func() bool) bool {
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		seen, ok := c.seen, holds()
		c.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-seen:
		case <-timeout.C:
			return false
		}
	}
}

// untilDone waits until each event has ended, so many times at least.
func (c *crew) untilDone(times int, events ...episode.Event) {
	c.t.Helper()
	missing := func() (titles []string) {
		for _, e := range events {
			if c.ended[edition{e.ID, e.Revision}] < times {
				titles = append(titles, e.Title)
			}
		}
		return titles
	}
	if !c.orPass(patience, func() bool { return len(missing()) == 0 }) {
		c.mu.Lock()
		titles := missing()
		c.mu.Unlock()
		c.site.drained(c.t) // says what became of them
		c.t.Fatalf("not done after %s: %v", patience, titles)
	}
}

// lines are those of all logs so far.
func (c *crew) lines() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logged
}

// kill is kill -9.
func (c *crew) kill(p *process) {
	c.t.Helper()
	if err := p.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	c.died(p)
}

// died waits until a worker that was killed, or kills itself, is gone.
func (c *crew) died(p *process) {
	<-p.exited
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = time.Now()
}

// leaseOver is for how long Pub/Sub keeps a message for a worker that was killed: the
// configured ten seconds, and the pause that its retry policy adds.
const leaseOver = 15 * time.Second

// dismiss ends the workers as an operator does. What a killed worker held comes
// back when its lease is over: those that are left work on until then.
func (c *crew) dismiss() {
	c.t.Helper()
	if !c.killed.IsZero() {
		over := time.NewTimer(time.Until(c.killed.Add(leaseOver)))
		<-over.C
	}
	left := c.all()
	for _, p := range left {
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			c.t.Error(err)
		}
	}
	for _, p := range left {
		<-p.exited
		if !p.ProcessState.Success() {
			c.t.Errorf("a worker ended with %v:\n%s", p.ProcessState, p.tail())
		}
	}
}

// drained checks that nothing waits on any subscription, and no dead letter.
func (s *site) drained(t *testing.T) {
	t.Helper()
	var looking sync.WaitGroup
	for name, source := range map[string]workers.Source{"live": s.pubsub.Live(), "backlog": s.pubsub.Backlog(), "removals": s.pubsub.Removals()} {
		looking.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := source.Receive(ctx, 10, func(_ context.Context, d workers.Delivery) workers.Verdict {
				t.Errorf("left on %s: %s, revision %d, attempt %d", name, d.Event.ID, d.Event.Revision, d.Attempt)
				return workers.Verdict{Kind: workers.Done, Outcome: workers.Passed}
			})
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	looking.Go(func() {
		err := s.pubsub.Sift(t.Context(), func(l workers.DeadLetter) (workers.Fate, error) {
			t.Errorf("dead letter: %s: %s: %s", l.ID, l.Reason, strings.TrimSpace(l.Detail))
			return workers.Keep, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	looking.Wait()
}
