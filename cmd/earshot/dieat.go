package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/earshot-fm/earshot/dag"
)

// dieAt kills this process, as kill -9 does, when a point of the work is
// reached: the kill test's way to stop it in gaps that no outside signal could
// hit.
type dieAt struct {
	point string
	left  atomic.Int64
}

// parseDieAt reads NODE:started, NODE:stopped or verdict, and :N for the n-th
// time. Empty gives nil, which never kills.
func parseDieAt(s string) (*dieAt, error) {
	if s == "" {
		return nil, nil
	}
	point, n := s, int64(1)
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		if v, err := strconv.ParseInt(s[i+1:], 10, 64); err == nil {
			point, n = s[:i], v
		}
	}
	if n < 1 || point != "verdict" && !strings.HasSuffix(point, ":started") && !strings.HasSuffix(point, ":stopped") {
		return nil, fmt.Errorf("--die-at %q: want NODE:started, NODE:stopped or verdict, and :N", s)
	}
	d := &dieAt{point: point}
	d.left.Store(n)
	return d, nil
}

func (d *dieAt) observe(e dag.Event) {
	switch e.Kind {
	case dag.Started, dag.Stopped:
		d.reached(e.Node + ":" + string(e.Kind))
	}
}

func (d *dieAt) reached(point string) {
	if d == nil || d.point != point || d.left.Add(-1) != 0 {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal has done its work
}
