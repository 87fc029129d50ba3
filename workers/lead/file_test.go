package lead_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/earshot-fm/earshot/workers/lead"
	"github.com/earshot-fm/earshot/workers/lead/leadtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("EARSHOT_TEST_LEAD_CHILD"); path != "" {
		err := lead.NewFile(path, time.Millisecond).Lead(context.Background(), func(ctx context.Context) error {
			fmt.Println("leading")
			<-ctx.Done() // killed before
			return nil
		})
		fmt.Println(err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	leadtest.Run(t, func(t *testing.T) func(string) lead.Leader {
		path := filepath.Join(t.TempDir(), "feeds.lock")
		return func(string) lead.Leader { return lead.NewFile(path, time.Millisecond) }
	})
}

func TestDeathHandsLeadershipOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "feeds.lock")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "EARSHOT_TEST_LEAD_CHILD="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "leading\n" {
		t.Fatalf("%q, %v", line, err)
	}
	worked := make(chan struct{})
	led := make(chan error, 1)
	go func() {
		led <- lead.NewFile(path, time.Millisecond).Lead(t.Context(), func(context.Context) error { close(worked); return nil })
	}()
	select {
	case <-worked:
		t.Error("two lead")
	default:
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-worked
	if err := <-led; err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child was not killed")
	}
}

func TestAFileThatCannotBeMadeIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "feeds.lock")
	if err := lead.NewFile(path, 0).Lead(t.Context(), func(context.Context) error { return nil }); err == nil {
		t.Error("led without a lock")
	}
}
