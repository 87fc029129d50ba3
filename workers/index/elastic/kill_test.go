package elastic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// childVariable holds, in the child that TestKilledWhilePutting kills, the
// node's address and the aliases.
const childVariable = "EARSHOT_TEST_ELASTIC_CHILD"

// putUntilKilled puts growing revisions of one episode, and a line for each.
func putUntilKilled(where string) int {
	ctx := context.Background() // it has no test to end with
	parts := strings.Split(where, " ")
	x, err := Open(Options{URLs: parts[:1], Episodes: parts[1], Segments: parts[2], Refresh: Later})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	e, err := x.Get(ctx, "e")
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for revision := e.Version.Revision + 1; ; revision++ {
		if _, err := x.Put(ctx, document("e", revision, 1+int(revision)%20)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if _, err := os.Stdout.WriteString("\n"); err != nil {
			return 1
		}
	}
}

// killAfter kills the child when it has written so many lines.
type killAfter struct {
	child       *exec.Cmd
	lines, seen int
}

func (k *killAfter) Write(p []byte) (int, error) {
	k.seen += bytes.Count(p, []byte("\n"))
	if k.seen >= k.lines {
		if err := k.child.Process.Kill(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestKilledWhilePutting(t *testing.T) {
	onNodes(t, func(t *testing.T, url string) {
		x := create(t, url)
		acknowledged := 0
		for round := range 5 {
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{url, x.options.Episodes, x.options.Segments}, " "))
			out := &killAfter{child: child, lines: 1 + round%3}
			child.Stdout, child.Stderr = out, os.Stderr
			if err := child.Run(); err == nil || out.seen == 0 {
				t.Fatalf("the child ended by itself: %v", err)
			}
			acknowledged += out.seen
			e, err := x.Get(t.Context(), "e")
			if err != nil || int(e.Version.Revision) < acknowledged {
				t.Fatalf("revision %v after %d acknowledged, %v", e.Version.Revision, acknowledged, err)
			}
			acknowledged = int(e.Version.Revision)
			if err := x.refresh(t.Context(), x.options.Episodes, x.options.Segments); err != nil {
				t.Fatal(err)
			}
			page := find(t, x, index.Query{Text: "edition*", Moments: index.MaxMoments})
			if page.Total != 1 || len(page.Hits[0].Moments) == 0 {
				t.Fatalf("%+v", page)
			}
			// What the child had sent may be done only now: one version, whichever.
			var revision int
			if _, err := fmt.Sscanf(page.Hits[0].Title, "edition%d", &revision); err != nil || revision < acknowledged || len(page.Hits[0].Moments) != 1+revision%20 {
				t.Fatalf("revision %d with %d moments, %v", revision, len(page.Hits[0].Moments), err)
			}
			for _, m := range page.Hits[0].Moments {
				if m.Text != "said in "+page.Hits[0].Title {
					t.Errorf("%s is shown with %q", page.Hits[0].Title, m.Text)
				}
			}
		}
		put(t, x, index.Stored, document("e", episode.Revision(acknowledged+100), 2))
		if n, editions := segmentsHeld(t, x, x.writeSegments(), "e"); n != 2 {
			t.Errorf("%v", editions)
		}
	})
}
