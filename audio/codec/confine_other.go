//go:build !linux

package codec

import (
	"context"
	"io"
	"os"
	"os/exec"
)

// Outside Linux there is nothing to confine a child with: it runs as it is, and
// Confine says so.
func shimCommand(ctx context.Context, program string, _ confinement, args []string) *exec.Cmd {
	if program == shimProbe {
		return exec.CommandContext(ctx, "echo", `{"missing":["confinement needs Linux"]}`)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{}
	return cmd
}

func growPipe(io.Reader) {}

type howEnded int

const (
	endedByItself howEnded = iota
	endedBySignal
	endedByCPULimit
)

func ending(state *os.ProcessState, _ limits) howEnded {
	if state.ExitCode() < 0 {
		return endedBySignal
	}
	return endedByItself
}
