package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/earshot-fm/earshot/dag"
)

// progress shows how far episodes are: a bar each on a terminal, a line for
// each milestone elsewhere.
type progress struct {
	bars  *mpb.Progress // nil: plain lines
	out   io.Writer
	mu    sync.Mutex
	began time.Time
}

func newProgress(w io.Writer) *progress {
	p := &progress{out: w, began: time.Now()}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(28), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return p
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// milestones are the nodes whose end gets a line where there are no bars.
var milestones = map[string]bool{"fetch": true, "decode": true, "transcript": true, "preview": true, "index": true}

// episode gives an observer for one episode's run of so many nodes, and what
// to call when it has ended.
func (p *progress) episode(title string, nodes int) (observe func(dag.Event), done func(err error)) {
	if p.bars == nil {
		return func(e dag.Event) {
				if e.Kind == dag.Stopped && milestones[e.Node] {
					p.line("%s: %s", title, e.Node)
				}
			}, func(err error) {
				if err != nil {
					p.line("%s: %v", title, err)
				}
			}
	}
	var mu sync.Mutex
	now := ""
	bar := p.bars.AddBar(int64(nodes),
		mpb.PrependDecorators(decor.Name(clip(title, 30), decor.WC{W: 32, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			mu.Lock()
			defer mu.Unlock()
			return " " + now
		})),
	)
	set := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		now = s
	}
	return func(e dag.Event) {
			switch e.Kind {
			case dag.Started:
				set(e.Node)
			case dag.Stopped:
				bar.Increment()
			}
		}, func(err error) {
			if err != nil {
				set(err.Error())
				bar.Abort(false)
				return
			}
			set("done")
			bar.SetTotal(-1, true)
		}
}

func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
}

// wait returns when the bars have been drawn for the last time.
func (p *progress) wait() {
	if p.bars != nil {
		p.bars.Wait()
	}
}

// clip shortens s to at most n characters.
func clip(s string, n int) string {
	r := []rune(printable(s))
	if len(r) <= n {
		return string(r)
	}
	return string(r[:n-1]) + "…"
}
