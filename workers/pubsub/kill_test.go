package pubsub

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers"
)

// workUntilKilled is the child of TestAKilledWorkersMessagesComeBack: it takes
// events, says so, and comes to no end with them.
func workUntilKilled(address string) int {
	ctx := context.Background()
	c, err := Open(ctx, Options{Project: os.Getenv("EARSHOT_TEST_PUBSUB_PROJECT"), Emulator: address, Lease: shortestLease})
	if err == nil {
		err = c.Live().Receive(ctx, 2, func(ctx context.Context, d workers.Delivery) workers.Verdict {
			fmt.Println("took", d.Event.ID)
			<-ctx.Done()
			return workers.Verdict{Kind: workers.Release}
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// takeAndDie has a child take n events and kills it.
func takeAndDie(t *testing.T, address, project string, n int) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "EARSHOT_TEST_PUBSUB_CHILD="+address, "EARSHOT_TEST_PUBSUB_PROJECT="+project)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range n {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "took ") {
			t.Errorf("the child said %q", lines.Text())
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", child.ProcessState)
	}
}

func comeBack(t *testing.T, c *Client) {
	t.Helper()
	got := make(chan workers.Delivery, 10)
	receive(t, c.Live(), 2, func(_ context.Context, d workers.Delivery) workers.Verdict {
		got <- d
		return done()
	})
	back := map[episode.ID]int{}
	for range 2 {
		d := next(t, got)
		back[d.Event.ID] = d.Attempt
	}
	if len(back) != 2 || back[event(1).ID] != 2 || back[event(2).ID] != 2 {
		t.Errorf("came back (attempt): %v", back)
	}
}

func TestAKilledWorkersMessagesComeBack(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		server, clock := inMemory(t), newClock()
		server.SetTimeNowFunc(clock.now)
		c := open(t, server.Address, Options{Project: "p"})
		publish(t, c, event(1), event(2))
		takeAndDie(t, server.Address, "p", 2)
		clock.move(ackDeadline + time.Second)
		comeBack(t, c)
	})
	if address := emulated(t); address != "" {
		t.Run("emulator", func(t *testing.T) {
			c := quick(t, open(t, address, Options{}))
			publish(t, c, event(1), event(2))
			takeAndDie(t, address, c.options.Project, 2)
			comeBack(t, c)
		})
	}
}
