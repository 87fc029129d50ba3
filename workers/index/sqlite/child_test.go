package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/earshot-fm/earshot/dag/episode"
	"github.com/earshot-fm/earshot/workers/index"
)

// ctx is the child's: it has no test to end with.
var ctx = context.Background()

func edition(revision episode.Revision) index.Document {
	d := index.Document{ID: "e", Version: episode.Version{Revision: revision}}
	for range 1 + revision%20 {
		d.Segments = append(d.Segments, index.Segment{Text: fmt.Sprintf("edition%d", revision)})
	}
	return d
}

// killAfter kills the child when it has written so many lines.
type killAfter struct {
	child *exec.Cmd
	lines int
	then  *strings.Builder
}

func (k *killAfter) Write(p []byte) (int, error) {
	k.then.Write(bytes.Repeat([]byte("\n"), bytes.Count(p, []byte("\n"))))
	if k.then.Len() >= k.lines {
		if err := k.child.Process.Kill(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
