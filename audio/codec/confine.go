package codec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

type exitError = exec.ExitError

// The confinement of children. os/exec can set neither rlimits nor Landlock nor
// seccomp for a child, so the child is this program again, under shimName: it
// confines itself and then becomes ffmpeg. That happens in this package's
// initialisation, so that no program that decodes can forget it.
const (
	shimName   = "earshot-codec-shim"
	shimProbe  = "probe"
	shimFailed = 97
)

// limits are what a child may use.
type limits struct {
	CPU         time.Duration `json:"cpu"`
	MemoryBytes uint64        `json:"memory_bytes"` // of address space
	FileBytes   uint64        `json:"file_bytes"`   // the longest file it may write; pipes do not count
	OpenFiles   uint64        `json:"open_files"`
}

// confinement is what the shim is told.
type confinement struct {
	limits
	Files int `json:"files"` // that the child is given; it gets no other descriptor
}

// decodeLimits grants what the costliest honest file of a size could need: ten
// times what was seen of low-bitrate Opus.
func decodeLimits(size int64) limits {
	return limits{
		CPU:         2*time.Minute + time.Duration(size/25_000)*time.Second,
		MemoryBytes: 3 << 30,
		OpenFiles:   64,
	}
}

// confined prepares a child that runs program (an absolute path) with nothing
// but its standard streams and files, which are its descriptors from 3 on. The
// child's environment is empty.
func confined(ctx context.Context, program string, l limits, args []string, files ...*os.File) *exec.Cmd {
	cmd := shimCommand(ctx, program, confinement{l, len(files)}, args)
	cmd.ExtraFiles = files
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Confinement says which of the mechanisms that confine ffmpeg this machine's
// kernel provides.
type Confinement struct {
	Active  []string `json:"active"`
	Missing []string `json:"missing"` // with the reason of each
}

func (c Confinement) String() string {
	s := strings.Join(c.Active, ", ")
	if s == "" {
		s = "none"
	}
	if len(c.Missing) > 0 {
		s += " (missing: " + strings.Join(c.Missing, "; ") + ")"
	}
	return s
}

// Confine starts a child that confines itself as ffmpeg would be, and reports.
func (d *Decoder) Confine(ctx context.Context) (Confinement, error) {
	var c Confinement
	cmd := confined(ctx, shimProbe, decodeLimits(0), nil)
	out, err := cmd.Output()
	if err != nil {
		var exit *exitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return c, fmt.Errorf("codec: trying the confinement of children: %w", err)
	}
	if err := json.Unmarshal(out, &c); err != nil {
		return c, fmt.Errorf("codec: trying the confinement of children: %w", err)
	}
	return c, nil
}
